"""The predicted wait beside the true one: the real batcher and estimate, on a clock of their own."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from pending import new_request, pending_chunk
from talkmill.engine import Request
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.windows import Windows
from talkmill.engine.scheduling.batcher import Batcher, Turn
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.scheduling.wait_estimate import Load, WaitEstimate
from talkmill.engine.types import EncoderWindow, Span

RATE = 20.0  # audio seconds per second of each worker
NUM_WORKERS = 2
_FEATURES = np.zeros((1, 1), np.float32)
_FITTED = Windows(EncoderWindow.FITTED)


@dataclass
class Asked:
    """A request of the simulation: what was predicted for it, and what became of it."""

    length_s: float
    submitted_s: float
    predicted_s: float
    load: Load
    request: Request
    started_s: float = -1.0
    num_left: int = 0
    to_send: list[float] = field(default_factory=list)  # lengths of chunks not in the queue yet

    @property
    def waited_s(self) -> float:
        return self.started_s - self.submitted_s


class Machine:
    """Workers on a clock that jumps from event to event. A batch takes as long as its audio."""

    def __init__(self, speed: float = 1.0) -> None:
        self.batcher = Batcher(
            8,
            4,
            max_batch_positions=6_000,
            num_sharing=NUM_WORKERS,
            num_workers=NUM_WORKERS,
            turn_s=60.0,
        )
        self.estimate = WaitEstimate()
        # The first guess is wrong by half.
        self.estimate.start(0.5 * RATE * NUM_WORKERS, 60.0, NUM_WORKERS)
        self.asked: list[Asked] = []
        self._rate = RATE * speed
        self._now_s = 0.0
        self._idle = NUM_WORKERS
        self._ends: list[tuple[float, int, Turn]] = []
        self._by_id: dict[int, Asked] = {}
        self._ids = itertools.count()

    def run_until(self, now_s: float) -> None:
        while self._ends and self._ends[0][0] <= now_s:
            self._now_s, _, turn = heapq.heappop(self._ends)
            self._idle += 1
            for item in turn.batch:
                self._done(item)
            self.batcher.finished(turn)
            self._start_batches()
        self._now_s = now_s

    def ask(self, length_s: float, max_queue_s: float = np.inf) -> Asked | None:
        predicted_s = self.estimate.wait_s(length_s)
        if predicted_s > max_queue_s:
            return None
        one = Asked(length_s, self._now_s, predicted_s, Load(), new_request())
        one.to_send = [30.0] * int(length_s // 30) + [length_s % 30] * (length_s % 30 > 0)
        one.num_left = len(one.to_send)
        self.asked.append(one)
        self._by_id[one.request.id] = one
        self.estimate.add(one.load, self._now_s)
        self.estimate.read(one.load, length_s)
        self._send(one)
        self._start_batches()
        return one

    def _send(self, one: Asked) -> None:
        while one.to_send and one.num_left - len(one.to_send) < 12:
            length_s = one.to_send.pop(0)
            window = _FITTED.of(EncoderWindow.FITTED, round(length_s * SAMPLE_RATE))
            item = pending_chunk(
                one.request,
                span=Span(0, round(length_s * SAMPLE_RATE)),
                features=_FEATURES,
                window=window,
                put_s=self._now_s,
            )
            self.estimate.read(one.load, sum(one.to_send), item.cost_s)
            self.batcher.put(item)

    def _done(self, item: PendingChunk) -> None:
        one = self._by_id[item.request.id]
        self.estimate.done(one.load, item.cost_s, self._now_s)
        one.num_left -= 1
        self._send(one)
        if not one.num_left:
            self.estimate.remove(one.load, self._now_s)
            one.request.cancel()  # done

    def _start_batches(self) -> None:
        while self._idle and (turn := self.batcher.next_batch(self._now_s)).batch:
            self._idle -= 1
            for item in turn.batch:
                one = self._by_id[item.request.id]
                self.estimate.taken(one.load, item.cost_s)
                if one.started_s < 0:
                    one.started_s = self._now_s
            took_s = 0.05 + sum(item.cost_s for item in turn.batch) / self._rate
            heapq.heappush(self._ends, (self._now_s + took_s, next(self._ids), turn))


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    draw = random.Random(seed)
    now_s = 0.0
    while (now_s := now_s + draw.expovariate(rate)) < seconds:
        yield now_s


def commands(draw: random.Random) -> float:
    return draw.uniform(1, 6)


def mixed(draw: random.Random) -> float:
    return draw.choice([2.0, 4.0, 8.0, 15.0, 28.0, 45.0])


@pytest.mark.parametrize("num_files", [0, 1, 3])
@pytest.mark.parametrize("lengths", [commands, mixed])
@pytest.mark.parametrize("speed", [0.3, 1.0])
def test_predicted_wait_is_within_a_quarter_of_the_true_one_at_twice_the_load(
    lengths: Callable[[random.Random], float], num_files: int, speed: float
) -> None:
    draw = random.Random(0)
    mean_s = sum(lengths(draw) + 1 for _ in range(500)) / 500
    machine = Machine(speed)
    for _ in range(num_files):
        machine.ask(3 * 3600.0)
    for now_s in arrivals(2 * speed * RATE * NUM_WORKERS / mean_s, 120, seed=1):
        machine.run_until(now_s)
        machine.ask(lengths(draw), max_queue_s=10.0)
    machine.run_until(200)
    waits = [
        (one.predicted_s, one.waited_s)
        for one in machine.asked
        if one.submitted_s > 10 and one.length_s < 60
    ]
    errors = sorted(abs(p - w) / max(w, 1.0) for p, w in waits)
    print(
        len(waits),
        np.mean(waits, axis=0),
        errors[len(errors) // 2],
        errors[int(len(errors) * 0.9)],
        max(w for _, w in waits),
        machine.estimate.rate,
    )
    assert errors[len(errors) // 2] < 0.25
