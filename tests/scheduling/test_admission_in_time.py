"""Admission by the predicted wait: what is refused, and whose request is refused first."""

from __future__ import annotations

import pytest

from talkmill.engine import Overloaded
from talkmill.engine.scheduling import admission as admission_module
from talkmill.engine.scheduling.admission import Admission, Permit

RATE = 10.0  # audio seconds per second
CHUNK_S = 30.0
TURN_S = 60.0


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(admission_module, "time", clock)
    return clock


def new_admission(max_queue_s: float = 10.0) -> Admission:
    admission = Admission(1000, 2**30, max_queue_s)
    admission.start(RATE, TURN_S, num_workers=2)
    return admission


def queued(admission: Admission, audio_s: float, client: str = "") -> Permit:
    permit = admission.admit(client)
    permit.enqueue(audio_s)
    return permit


def fill(admission: Admission, seconds: float, client: str = "") -> list[Permit]:
    """Queue requests of 10 s of audio that take so many seconds of the machine."""
    return [queued(admission, 10.0, client) for _ in range(round(seconds * RATE / 10))]


def test_wait_is_the_audio_ahead_over_the_rate() -> None:
    admission = new_admission()
    fill(admission, 5)
    assert admission.load.wait_s == pytest.approx(5.0)
    assert admission.load.audio_s == pytest.approx(50.0)


def test_request_that_would_wait_too_long_is_refused_with_the_prediction_and_the_limit() -> None:
    admission = new_admission()
    fill(admission, 10)
    late = queued(admission, 14.0)
    with pytest.raises(Overloaded, match=r"about 11\.4 s, over the limit of 10 s") as refused:
        admission.admit()
    assert refused.value.retry_after_s == pytest.approx(1.4)
    late.release()
    admission.admit()
    assert admission.load.num_refused == {"queue": 1}


def test_no_limit_refuses_nothing() -> None:
    fill(new_admission(max_queue_s=0), 100)


def test_own_audio_is_no_wait() -> None:
    queued(new_admission(), 3 * 3600.0)


def test_request_is_refused_whose_deadline_comes_before_its_turn() -> None:
    admission = new_admission()
    fill(admission, 5)
    with pytest.raises(Overloaded, match=r"about 5\.0 s, and the deadline is in 4\.0 s") as refused:
        admission.admit(timeout_s=4.0)
    assert refused.value.retry_after_s == 1.0
    admission.admit(timeout_s=6.0)
    assert admission.load.num_refused == {"deadline": 1}


def test_upload_counts_and_is_checked_again_when_it_is_complete() -> None:
    admission = new_admission()
    uploading = admission.admit()
    fill(admission, 10)
    queued(admission, 5.0)
    with pytest.raises(Overloaded, match="the wait would be"):
        uploading.enqueue(1.0)


def test_chunk_counts_until_it_is_done_and_its_features_as_memory() -> None:
    admission = new_admission()
    permit = queued(admission, 30.0)
    permit.sent(0, 30.0, 1000)
    permit.read(0.0)
    assert (admission.load.audio_s, admission.load.num_bytes) == (30.0, 1000)
    permit.taken(0)
    assert admission.load.wait_s == pytest.approx(30.0 / RATE / 3)  # one of two workers
    permit.done(0)
    assert (admission.load.audio_s, admission.load.wait_s, admission.load.num_bytes) == (0, 0, 0)


def test_what_a_file_holds_beyond_its_header_counts_as_it_is_found() -> None:
    admission = new_admission()
    permit = queued(admission, 1.0)
    permit.read(0.0)
    for index in range(3):
        permit.sent(index, 30.0, 0)
    assert admission.load.audio_s == 90.0


def decode(permit: Permit, clock: Clock, first: int, num_chunks: int, rate: float = RATE) -> None:
    """Have chunks of a file decoded, one after the other."""
    for index in range(first, first + num_chunks):
        permit.sent(index, CHUNK_S, 0)
        permit.read(3 * 3600.0 - index * CHUNK_S)
        permit.taken(index)
        clock.now_s += CHUNK_S / rate
        permit.done(index)


def test_rate_is_learnt_from_what_is_done_while_requests_wait(clock: Clock) -> None:
    admission = new_admission()
    files = [queued(admission, 3 * 3600.0) for _ in range(2)]
    decode(files[0], clock, 0, 20, rate=40.0)
    for file in files:
        file.release()
    clock.now_s += 1000  # nothing to do is no time that counts
    fill(admission, 5)
    assert admission.load.wait_s == pytest.approx(50 / 40, rel=0.05)


def test_file_after_its_first_turn_takes_turns_and_refuses_no_command(clock: Clock) -> None:
    admission = new_admission()
    for _ in range(2):
        decode(queued(admission, 3 * 3600.0), clock, 0, 2)
    assert admission.load.wait_s == 0
    queued(admission, 5.0)
    with pytest.raises(Overloaded):  # it would come back after the turns of two others
        queued(admission, 3600.0)


def test_client_over_its_share_is_refused_first() -> None:
    admission = new_admission()
    greedy = fill(admission, 8, "greedy")
    with pytest.raises(Overloaded, match=r"requests of greedy .* over its share of 7\.5 s"):
        admission.admit("greedy")
    modest = fill(admission, 2, "modest")
    greedy.pop().release()
    with pytest.raises(Overloaded, match=r"over its share of 5 s"):
        admission.admit("greedy")
    modest += fill(admission, 1, "modest")
    assert admission.load.num_refused == {"client": 2}


def test_share_is_free_while_the_queue_is_short() -> None:
    admission = new_admission()
    fill(admission, 2, "other")
    fill(admission, 3, "one")
    admission.admit("one")


def test_ended_request_counts_no_more() -> None:
    admission = new_admission()
    permit = queued(admission, 40.0)
    permit.sent(0, 30.0, 500)
    permit.release()
    permit.sent(1, 30.0, 500)
    permit.taken(0)
    permit.done(0)
    assert (admission.load.audio_s, admission.load.num_bytes) == (0, 0)
