from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fakes import PATIENCE_S, features_of
from pending import heard, new_request
from talkmill.engine import InvalidAudio, ModelError, Request
from talkmill.engine.audio.preparation import AudioReport, Preparation, Prepared
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.scheduling.batcher import Batcher
from talkmill.engine.scheduling.chunk_cost import ChunkCost
from talkmill.engine.scheduling.feeder import _STEPS_PER_TURN as TURN
from talkmill.engine.scheduling.feeder import Feeder
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.scheduling.queue import ChunkQueue
from talkmill.engine.types import Chunk, Span

COST = ChunkCost(0.0, 0.0, 0.0, 1)


class FakePreparation(Preparation):
    """Gives `num_chunks` chunks, then raises `error` if there is one."""

    def __init__(self, num_chunks: int, error: Exception | None = None) -> None:
        self.report = AudioReport()
        self.num_given = 0
        self.closed = threading.Event()
        self._num_chunks = num_chunks
        self._error = error

    @property
    def is_ready(self) -> bool:
        return True

    @property
    def coming_s(self) -> float:
        return 0.0

    def listen(self, on_ready: Callable[[], None]) -> None:
        pass

    def __next__(self) -> Prepared:
        if self.num_given == self._num_chunks:
            raise self._error or StopIteration
        chunk = Chunk(self.num_given, np.zeros(1, np.float32), (Span(0, 1),))
        self.num_given += 1
        return Prepared(chunk, features_of(1), FULL_WINDOW)

    def close(self) -> None:
        self.closed.set()


class Bench:
    """A feeder of one thread, and the queue that its chunks go to, one chunk a batch."""

    def __init__(self, max_ahead: int = 4, max_waiting: int = 1000) -> None:
        self.queue = ChunkQueue(Batcher(1, 1), max_waiting)
        self.feeder = Feeder(self.queue, num_threads=1, max_ahead=max_ahead)

    def add(
        self, num_chunks: int, error: Exception | None = None, request: Request | None = None
    ) -> tuple[Request, FakePreparation]:
        request = request or new_request()
        preparation = FakePreparation(num_chunks, error)
        self.feeder.add(request, preparation)
        return request, preparation

    def take(self, count: int) -> list[PendingChunk]:
        return [item for _ in range(count) for item in self.queue.take()]

    def close(self) -> None:
        self.queue.close()
        self.feeder.close()

    def rest(self) -> None:
        """Wait until the feeder has nothing to do: a request added now has had its turn."""
        _, preparation = self.add(0)
        assert preparation.closed.wait(PATIENCE_S)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_chunks_come_in_order_and_the_preparation_is_closed(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(3)
    found = bench.take(3)
    assert [item.index for item in found] == [0, 1, 2]
    assert all(item.request is request for item in found)
    assert preparation.closed.wait(PATIENCE_S)
    for index in range(3):
        request.chunk_done(index, [], COST)
    assert request.future.result(PATIENCE_S).text == ""


def owners(bench: Bench, count: int) -> list[Request]:
    """Return whose the next chunks are, in the order in which they were prepared."""
    items = bench.take(count)
    bench.close()
    return [item.request for item in sorted(items, key=lambda item: item.put_s)]


def test_requests_take_turns_of_some_steps() -> None:
    bench = Bench(max_ahead=100)
    first, _ = bench.add(TURN + 3)
    second, _ = bench.add(TURN + 3)
    bench.feeder.start()

    found = owners(bench, 2 * TURN + 6)

    assert found == [first] * TURN + [second] * TURN + [first] * 3 + [second] * 3


def test_short_requests_without_end_do_not_starve_a_file() -> None:
    bench = Bench(max_ahead=100)
    file, _ = bench.add(3 * TURN)
    for _ in range(30 * TURN):
        bench.add(1)
    bench.feeder.start()

    found = owners(bench, 33 * TURN)

    third_turn = [place for place, owner in enumerate(found) if owner is file][2 * TURN :]
    assert third_turn[0] < 25 * TURN


def test_request_with_enough_chunks_ahead_is_set_aside_until_one_is_done(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(100)
    bench.take(4)
    bench.rest()
    assert preparation.num_given == 4
    request.chunk_done(0, [], COST)
    bench.take(1)
    bench.rest()
    assert preparation.num_given == 5


def test_one_chunk_goes_out_while_the_language_is_unknown(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(3, request=new_request(language=None))
    bench.take(1)
    bench.rest()
    assert preparation.num_given == 1
    request.hear(heard(("en", 0.5)))
    request.chunk_done(0, [], COST)
    assert [item.index for item in bench.take(2)] == [1, 2]


def test_nothing_is_prepared_without_room() -> None:
    bench = Bench(max_waiting=2)
    _, preparation = bench.add(4)
    bench.feeder.start()
    while bench.queue.num_waiting < 2:
        assert preparation.num_given <= 2
    assert preparation.num_given == 2
    assert [item.index for item in bench.take(4)] == [0, 1, 2, 3]
    bench.close()


@pytest.mark.parametrize("num_chunks", [0, 2])
def test_fault_of_the_audio_is_the_answer(bench: Bench, num_chunks: int) -> None:
    bench.feeder.start()
    error = InvalidAudio("damaged")
    request, preparation = bench.add(num_chunks, error)
    assert request.future.exception(PATIENCE_S) is error
    assert preparation.closed.wait(PATIENCE_S)


def test_bug_fails_one_request_and_the_thread_goes_on(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(0, ZeroDivisionError())
    error = request.future.exception(PATIENCE_S)
    assert isinstance(error, ModelError)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert preparation.closed.wait(PATIENCE_S)
    bench.rest()


def test_given_up_request_is_closed_unread(bench: Bench) -> None:
    request, preparation = bench.add(3)
    request.cancel()
    bench.feeder.start()
    assert preparation.closed.wait(PATIENCE_S)
    assert preparation.num_given == 0


def test_expired_request_is_closed_unread(bench: Bench) -> None:
    request, preparation = bench.add(3, request=new_request(deadline_s=0.0))
    bench.feeder.start()
    assert preparation.closed.wait(PATIENCE_S)
    assert preparation.num_given == 0
    assert request.is_done


def test_request_given_up_while_set_aside_is_closed(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(100)
    bench.take(4)
    bench.rest()
    request.cancel()
    assert preparation.closed.wait(PATIENCE_S)


def test_closing_closes_what_is_set_aside(bench: Bench) -> None:
    bench.feeder.start()
    _, aside = bench.add(100)
    bench.take(4)
    bench.rest()
    bench.close()
    assert aside.closed.is_set()


def test_closing_closes_what_waits_for_room() -> None:
    bench = Bench(max_waiting=1)
    bench.feeder.start()
    _, blocked = bench.add(2)
    while bench.queue.num_waiting < 1:
        assert not blocked.closed.is_set()
    _, waiting = bench.add(1)
    bench.close()
    assert blocked.closed.is_set()
    assert waiting.closed.is_set()


def test_request_that_comes_after_closing_is_closed(bench: Bench) -> None:
    bench.feeder.start()
    bench.close()
    _, preparation = bench.add(1)
    assert preparation.closed.is_set()
