from __future__ import annotations

import threading

import pytest

from talkmill.engine import NotReady, Overloaded
from talkmill.engine.scheduling.admission import Admission


def test_one_request_more_than_the_limit_is_refused_with_the_limit() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    permits = [admission.admit() for _ in range(2)]
    with pytest.raises(Overloaded, match="limit of 2 concurrent"):
        admission.admit()
    permits[0].release()
    assert admission.admit() is not None


def test_permit_counts_until_it_is_released_and_once() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    with admission.admit() as permit:
        admission.admit()
        assert admission.num_admitted == 2
    permit.release()
    assert admission.num_admitted == 1


def test_permit_is_released_when_its_request_raises() -> None:
    admission = Admission(max_requests=1, max_bytes=100)
    with pytest.raises(ZeroDivisionError), admission.admit():
        raise ZeroDivisionError
    assert admission.num_admitted == 0


def test_nothing_is_admitted_once_a_drain_has_begun() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    admission.drain()
    assert admission.is_draining
    with pytest.raises(NotReady, match="draining"):
        admission.admit()


def test_drain_ends_at_once_where_no_permit_is_held() -> None:
    assert Admission(max_requests=1, max_bytes=100).drain().done()


def test_drain_ends_with_the_last_permit() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    first, second = admission.admit(), admission.admit()
    idle = admission.drain()
    first.release()
    assert not idle.done()
    second.release()
    assert idle.done()
    assert admission.drain() is idle


def test_limit_holds_for_many_threads() -> None:
    admission = Admission(max_requests=5, max_bytes=100)
    start = threading.Barrier(20)
    refused: list[Overloaded] = []

    def ask() -> None:
        start.wait()
        try:
            admission.admit()
        except Overloaded as error:
            refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (admission.num_admitted, len(refused)) == (5, 15)


def test_memory_beyond_the_limit_is_refused_and_comes_back_with_the_permit() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    first, second = admission.admit(), admission.admit()
    first.reserve(60)
    second.reserve(40)
    with pytest.raises(Overloaded, match="limit of 100 bytes in flight"):
        second.reserve(1)
    first.release()
    second.reserve(60)
    assert admission.load.num_bytes == 100
