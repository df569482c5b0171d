from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from fakes import PATIENCE_S, features_of
from talkmill.engine import InvalidAudio, ModelError, Request, TranscribeOptions
from talkmill.engine.audio.preparation import AudioReport, Preparation
from talkmill.engine.scheduling.feeder import Feeder
from talkmill.engine.scheduling.request import ChunkCost
from talkmill.engine.types import Chunk, Features, Span

COST = ChunkCost(0.0, 0.0, 0.0, 1)


class FakePreparation(Preparation):
    """Gives so many chunks, then perhaps an error."""

    def __init__(self, num_chunks: int, error: Exception | None = None) -> None:
        self.report = AudioReport()
        self.num_given = 0
        self.closed = threading.Event()
        self._num_chunks = num_chunks
        self._error = error

    def __next__(self) -> tuple[Chunk, Features]:
        if self.num_given == self._num_chunks:
            raise self._error or StopIteration
        chunk = Chunk(self.num_given, np.zeros(1, np.float32), (Span(0, 1),))
        self.num_given += 1
        return chunk, features_of(1)

    def close(self) -> None:
        self.closed.set()


class Bench:
    """A feeder of one thread whose chunks go into a queue."""

    def __init__(self, max_ahead: int = 4) -> None:
        self.delivered: queue.Queue[tuple[Request, Chunk]] = queue.Queue()
        self.room = True
        self.feeder = Feeder(
            1,
            max_ahead=max_ahead,
            has_room=lambda: self.room,
            deliver=lambda request, chunk, _: self.delivered.put((request, chunk)),
        )

    def add(
        self, num_chunks: int, error: Exception | None = None, request: Request | None = None
    ) -> tuple[Request, FakePreparation]:
        request = request or Request(TranscribeOptions(), language="en")
        preparation = FakePreparation(num_chunks, error)
        self.feeder.add(request, preparation)
        return request, preparation

    def take(self, count: int) -> list[tuple[Request, Chunk]]:
        return [self.delivered.get(timeout=PATIENCE_S) for _ in range(count)]

    def rest(self) -> None:
        """Wait until the feeder has nothing to do: a request added now has had its turn."""
        _, preparation = self.add(0)
        assert preparation.closed.wait(PATIENCE_S)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.feeder.close()


def test_chunks_come_in_order_and_the_end_is_told(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(3)
    found = bench.take(3)
    assert [chunk.index for _, chunk in found] == [0, 1, 2]
    assert preparation.closed.wait(PATIENCE_S)
    for index in range(3):
        request.chunk_done(index, [], COST)
    assert request.future.result(PATIENCE_S).text == ""


def test_requests_take_turns(bench: Bench) -> None:
    first, _ = bench.add(3)
    second, _ = bench.add(3)
    bench.feeder.start()
    owners = [request for request, _ in bench.take(6)]
    assert owners == [first, second] * 3


def test_request_with_enough_chunks_ahead_is_set_aside_until_one_is_done(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(100)
    bench.take(4)
    bench.rest()
    assert preparation.num_given == 4
    request.chunk_done(0, [], COST)
    bench.feeder.resume(request)
    bench.take(1)
    bench.rest()
    assert preparation.num_given == 5


def test_one_chunk_goes_out_while_the_language_is_unknown(bench: Bench) -> None:
    bench.feeder.start()
    request, preparation = bench.add(3, request=Request(TranscribeOptions()))
    bench.take(1)
    bench.rest()
    assert preparation.num_given == 1
    request.set_language("en", 0.5)
    request.chunk_done(0, [], COST)
    bench.feeder.resume(request)
    assert [chunk.index for _, chunk in bench.take(2)] == [1, 2]


def test_nothing_is_prepared_without_room(bench: Bench) -> None:
    bench.room = False
    _, preparation = bench.add(1)
    bench.feeder.start()
    bench.feeder.wake()
    assert preparation.num_given == 0
    bench.room = True
    bench.feeder.wake()
    bench.take(1)


@pytest.mark.parametrize("num_chunks", [0, 2])
def test_fault_of_the_audio_is_the_answer(bench: Bench, num_chunks: int) -> None:
    bench.feeder.start()
    error = InvalidAudio("damaged")
    request, preparation = bench.add(num_chunks, error)
    assert request.future.exception(PATIENCE_S) is error
    assert preparation.closed.wait(PATIENCE_S)


def test_fault_of_ours_fails_one_request_and_the_thread_goes_on(bench: Bench) -> None:
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
    request, preparation = bench.add(
        3, request=Request(TranscribeOptions(), language="en", deadline_s=0.0)
    )
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


def test_closing_closes_what_waits_and_what_is_set_aside(bench: Bench) -> None:
    bench.feeder.start()
    _, aside = bench.add(100)
    bench.take(4)
    bench.rest()
    bench.room = False
    _, waiting = bench.add(1)
    bench.feeder.close()
    assert aside.closed.is_set()
    assert waiting.closed.is_set()


def test_request_that_comes_after_closing_is_closed(bench: Bench) -> None:
    bench.feeder.start()
    bench.feeder.close()
    _, preparation = bench.add(1)
    assert preparation.closed.is_set()
