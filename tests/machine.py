"""A simulated machine: the real batcher and the real estimate, on a clock of their own."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pending import new_request, pending_chunk
from talkmill.engine import Request
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.windows import Windows
from talkmill.engine.decoding.plan import DecodePlan
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
    started_s: float = math.nan
    done_s: float = math.nan
    num_left: int = 0
    num_sent: int = -1
    to_send: list[float] = field(default_factory=list)  # lengths of chunks not in the queue yet

    @property
    def waited_s(self) -> float:
        return self.started_s - self.submitted_s

    @property
    def took_s(self) -> float:
        return self.done_s - self.submitted_s


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

    def ask(
        self, length_s: float, max_queue_s: float = math.inf, plan: DecodePlan | None = None
    ) -> Asked | None:
        predicted_s = self.estimate.wait_s(length_s)
        if predicted_s > max_queue_s:
            return None
        one = Asked(length_s, self._now_s, predicted_s, Load(), new_request(plan=plan))
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
            one.num_sent += 1
            start = one.num_sent * 30 * SAMPLE_RATE
            window = _FITTED.of(EncoderWindow.FITTED, round(length_s * SAMPLE_RATE))
            item = pending_chunk(
                one.request,
                one.num_sent,
                span=Span(start, start + round(length_s * SAMPLE_RATE)),
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
            one.done_s = self._now_s
            one.request.cancel()  # done

    def _start_batches(self) -> None:
        while self._idle and (turn := self.batcher.next_batch(self._now_s)).batch:
            self._idle -= 1
            for item in turn.batch:
                one = self._by_id[item.request.id]
                self.estimate.taken(one.load, item.cost_s)
                if math.isnan(one.started_s):
                    one.started_s = self._now_s
            took_s = 0.05 + sum(item.cost_s for item in turn.batch) / self._rate
            heapq.heappush(self._ends, (self._now_s + took_s, next(self._ids), turn))


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield instants at random, so many a second on average."""
    draw = random.Random(seed)
    now_s = 0.0
    while (now_s := now_s + draw.expovariate(rate)) < seconds:
        yield now_s
