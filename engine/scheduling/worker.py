"""The threads that drive the model: take a batch, run it, hand each chunk its answer over.

Whatever happens to a batch, each of its requests is answered or fails.
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..audio.windows import FULL_WINDOW
from ..decoding.exact import ExactLane, ExactTask
from ..decoding.hypothesis import Hypothesis
from ..errors import DeviceLost, EngineFailed, ModelError, NotReady
from ..model.loading import LoadedModel
from ..model.whisper_ct2 import is_out_of_memory
from ..types import EncoderWindow
from .batch_key import BatchKey
from .chunk_cost import ChunkCost
from .live_chunk import LiveChunk
from .pending_chunk import PendingChunk
from .queue import ChunkQueue
from .request import Request
from .runner import DecodedChunk, Runner
from .supervision import Crew, Hand, OnFailure
from .window_guard import WindowGuard
from .worker_stats import WorkerStats

_EXACT_LANE = BatchKey(None, 0)
_CATCHING_UP = 3.0  # without it, calls of the exact lane waited a third longer than others
_MANY_FAILED = 3  # requests in a row that the model fails on, before it is tried on its own sample

_log = logging.getLogger(__name__)

_Done = tuple[DecodedChunk, ChunkCost]


class WorkerPool:
    """Runs what the queue gives on every replica. Thread-safe."""

    def __init__(
        self,
        queue: ChunkQueue,
        model: LoadedModel,
        guard: WindowGuard,
        on_failure: OnFailure,
        stuck_after_s: float = math.inf,
    ) -> None:
        """Take the parts; `start` starts the threads.

        Args:
            queue: Where the batches come from.
            model: Its replicas do the work, each on as many threads as its runtime has workers.
            guard: Counts the chunks in fitted windows that are decoded again.
            on_failure: Called when a device is lost, a model is broken, or a thread dies twice.
            stuck_after_s: Longest honest time of one call of the model, in seconds.
        """
        self.stats = WorkerStats()
        self._queue = queue
        self._guard = guard
        self._on_failure = on_failure
        self._crew = Crew(on_failure, stuck_after_s)
        for i, replica in enumerate(model.replicas):
            for j in range(model.runtime.workers):
                runner = Runner(replica, model, _is_wanted)
                self._crew.hire(f"talkmill-worker-{i}-{j}", functools.partial(self._work, runner))

    @property
    def num_restarts(self) -> int:
        """Threads that were started again after an error of ours."""
        return self._crew.num_restarts

    def start(self) -> None:
        """Start the threads."""
        self._crew.start()

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish the batches that run, fail the chunks that wait, and stop the threads.

        Args:
            timeout_s: Longest wait for the batches that run, in seconds.

        Returns:
            Whether every thread has ended.
        """
        self._queue.close()
        has_ended = self._crew.join(timeout_s)
        for item in self._queue.drain():
            item.request.fail(NotReady("the engine was closed before the answer"))
        return has_ended

    def _work(self, runner: Runner, hand: Hand) -> None:
        while batch := self._take():
            self._serve(runner, hand, batch)
            del batch  # it would live until the next one is taken

    def _serve(self, runner: Runner, hand: Hand, batch: list[PendingChunk]) -> None:
        _hold(hand, batch)
        run = self._run_exact_lane if batch[0].key.is_exact else self._run_batch
        for decoded, cost in run(runner, hand, batch):
            self._hand_over(decoded, cost)
            hand.let_go(decoded.item.request, decoded.item.index)
        hand.clear()

    def _take(self, num_live_rows: int = 0) -> list[PendingChunk]:
        try:
            if num_live_rows:
                return self._queue.take_between_steps(num_live_rows)
            return self._queue.take()
        except BaseException as error:  # all threads share it, and what it has lost is not known
            self._on_failure(EngineFailed(f"the queue failed with {type(error).__name__}"))
            raise

    def _hand_over(self, decoded: DecodedChunk, cost: ChunkCost) -> None:
        item = decoded.item
        window = decoded.again.window if decoded.again is not None else item.window
        if item.window.kind is EncoderWindow.FITTED and window is FULL_WINDOW:
            self._guard.count_fallback()
        if decoded.has_fitted_failed is not None:
            self._guard.count(has_failed=decoded.has_fitted_failed)
        try:
            item.request.warn(item.index, decoded.warnings)
            if decoded.again is not None:
                _log.debug("request %d: decoded again: %s", item.request.id, decoded.reason)
                item.request.chunk_repeated(cost)
                self._queue.put(replace(decoded.again, put_s=time.monotonic()))
            else:
                item.request.hear(decoded.heard, decoded.previous)
                item.request.chunk_done(
                    item.index, decoded.segments, cost, num_written=decoded.num_written
                )
        except Exception as error:  # a fault of one request's listener must not cost the others
            _log.exception("request %d: its answer could not be delivered", item.request.id)
            self._fail([item], "the answer could not be delivered", error)

    def _run_batch(
        self, runner: Runner, hand: Hand, batch: Sequence[PendingChunk]
    ) -> Iterator[_Done]:
        """Run a batch; if it fails, run its halves, until the chunk at fault is alone."""
        batch = [item for item in batch if not item.request.is_done]
        if not batch:
            return
        try:
            done = self._run_timed(runner, hand, batch)
        except DeviceLost as error:
            self._device_lost(batch, error)
        except Exception as error:  # whatever it is, each request must be answered or fail
            if len(batch) == 1:
                _log.exception("request %d: the model failed", batch[0].request.id)
                self._fail(batch, "the model failed on this audio", error)
                self._doubt(runner, hand, batch[0].request)
                return
            if is_out_of_memory(error) and not batch[0].key.is_exact:
                self._shrink_after_oom(batch[0].key, len(batch), error)
            else:
                _log.warning("a batch of %d failed and is split: %s", len(batch), error)
            middle = len(batch) // 2
            yield from self._run_batch(runner, hand, batch[:middle])
            yield from self._run_batch(runner, hand, batch[middle:])
        else:
            hand.failed.clear()
            yield from done

    def _doubt(self, runner: Runner, hand: Hand, request: Request) -> None:
        """Try the model on its own sample once it has failed on several requests in a row.

        What callers send cannot bring a sound model down; a broken one is not kept.
        """
        hand.failed.add(request.id)
        if len(hand.failed) < _MANY_FAILED:
            return
        hand.failed.clear()
        try:
            runner.probe()
        except Exception as error:  # whatever it is, the model is of no use
            _log.critical("the model fails on its own sample too: %s", error)
            self._on_failure(EngineFailed("the model fails on every audio"))
        else:
            _log.warning("%d requests failed in a row; the model itself is sound", _MANY_FAILED)

    def _run_timed(self, runner: Runner, hand: Hand, batch: list[PendingChunk]) -> list[_Done]:
        start_s = time.monotonic()
        encoded = runner.encode(batch)
        encoded_s = time.monotonic()
        hand.step()
        decoded = runner.add_words(runner.decode(encoded))
        decoded_s = time.monotonic()
        self.stats.count(num_batches=1, num_chunks=len(batch))
        return [
            (
                chunk,
                ChunkCost(
                    queue_s=start_s - chunk.item.put_s,
                    encode_s=(encoded_s - start_s) / len(batch),
                    generate_s=(decoded_s - encoded_s) / len(batch),
                    batch_size=len(batch),
                ),
            )
            for chunk in decoded
        ]

    def _run_exact_lane(
        self, runner: Runner, hand: Hand, batch: list[PendingChunk]
    ) -> Iterator[_Done]:
        """Run a batch of the exact lane, and what joins it, until no chunk is live.

        Batches of the native lane run between two steps. The lanes take turns of equal time; while
        the next chunk waits for the exact lane, that has `_CATCHING_UP` times as much.
        """
        live: dict[ExactTask, LiveChunk] = {}
        exact_until_s = 0.0  # until then the exact lane has its turn
        try:
            lane = runner.new_lane()
            while batch or live:
                if batch := [item for item in batch if not item.request.is_done]:
                    if batch[0].key.is_exact:
                        live |= self._join(runner, lane, batch, len(live))
                    else:
                        start_s = time.monotonic()
                        yield from self._run_batch(runner, hand, batch)
                        end_s, is_late = time.monotonic(), self._queue.is_exact_first
                        exact_until_s = end_s + (end_s - start_s) * (_CATCHING_UP if is_late else 1)
                    batch = []
                for task, hypothesis in lane.step():
                    done = self._leave(runner, live[task], hypothesis)
                    hand.failed.clear()
                    del live[task]
                    yield done
                if lane.num_rows and time.monotonic() >= exact_until_s:
                    batch = self._take(lane.num_rows)
                    _hold(hand, batch)
                hand.step()
        except DeviceLost as error:
            self._device_lost([*(one.item for one in live.values()), *batch], error)
        except Exception as error:  # the chunk at fault is found as in any batch
            if is_out_of_memory(error):
                plans = [*(task.plan for task in live), *(item.plan for item in batch)]
                self._shrink_after_oom(_EXACT_LANE, sum(one.num_rows for one in plans), error)
            _log.warning("the exact lane failed, its %d chunks start again: %s", len(live), error)
            yield from self._run_batch(runner, hand, [*(one.item for one in live.values()), *batch])

    def _join(
        self, runner: Runner, lane: ExactLane, batch: list[PendingChunk], num_live: int
    ) -> dict[ExactTask, LiveChunk]:
        start_s = time.monotonic()
        encoded = runner.encode(batch)
        encoded_s = time.monotonic()
        tasks = runner.tasks(encoded)
        lane.add(encoded.output, tasks)
        self.stats.count(num_batches=1)
        encode_s = (encoded_s - start_s) / len(batch)
        num_live += len(batch)
        return {
            task: LiveChunk(encoded, row, start_s - item.put_s, encode_s, encoded_s, num_live)
            for row, (task, item) in enumerate(zip(tasks, encoded.items, strict=True))
        }

    def _leave(self, runner: Runner, one: LiveChunk, hypothesis: Hypothesis) -> _Done:
        (decoded,) = runner.add_words([runner.finish(one.encoded, one.row, hypothesis)])
        self.stats.count(num_chunks=1)
        generate_s = (time.monotonic() - one.joined_s) / one.num_live
        return decoded, ChunkCost(one.queue_s, one.encode_s, generate_s, one.num_live)

    def _shrink_after_oom(self, key: BatchKey, size: int, error: Exception) -> None:
        limit = self._queue.shrink_after_oom(key, size)
        if limit is not None:
            _log.warning(
                "out of memory with a batch of %d: batches of this kind are at most %d from now "
                "on: %s",
                size,
                limit,
                error,
            )

    def _device_lost(self, batch: Sequence[PendingChunk], error: DeviceLost) -> None:
        _log.critical("device lost: %s", error)
        self._fail(batch, "the device failed", error)
        self._on_failure(error)

    def _fail(self, batch: Sequence[PendingChunk], message: str, cause: Exception) -> None:
        self.stats.count(num_failed_chunks=len(batch))
        cause.__context__ = cause.__traceback__ = None  # their frames refer to the requests
        for item in batch:
            failure = ModelError(message)
            failure.__cause__ = cause
            item.request.fail(failure)


def _is_wanted(request: Request) -> bool:
    """Return whether someone waits for the answer; a request past its deadline fails here."""
    return not request.expire(time.monotonic())


def _hold(hand: Hand, batch: Sequence[PendingChunk]) -> None:
    for item in batch:
        hand.hold(item.request, item.index)
