"""The threads that drive the model: take a batch, run it, hand each chunk its answer over.

Whatever happens to a batch, each of its requests is answered or fails.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..audio.windows import FULL_WINDOW
from ..decoding.exact import ExactLane, ExactTask
from ..decoding.hypothesis import Hypothesis
from ..decoding.plan import Strategy
from ..errors import DeviceLost, ModelError, NotReady
from ..model.loading import LoadedModel
from ..model.whisper_ct2 import is_out_of_memory
from ..types import EncoderWindow
from .batch_key import BatchKey
from .chunk_cost import ChunkCost
from .pending_chunk import PendingChunk
from .queue import ChunkQueue
from .request import Request
from .runner import DecodedChunk, EncodedBatch, Runner
from .window_guard import WindowGuard

_EXACT_LANE = BatchKey(None, 0)
_log = logging.getLogger(__name__)


@dataclass
class WorkerStats:
    """What the workers have done so far.

    Attributes:
        num_chunks: Chunks decoded.
        num_batches: Batches they came in.
        num_failed_chunks: Chunks that the model failed on.
    """

    num_chunks: int = 0
    num_batches: int = 0
    num_failed_chunks: int = 0

    @property
    def mean_batch_size(self) -> float:
        """Chunks in a batch, on average."""
        return self.num_chunks / self.num_batches if self.num_batches else 0.0


@dataclass(frozen=True)
class _LiveChunk:
    """A chunk in the exact lane.

    Attributes:
        encoded: The batch that it joined with.
        row: Its row there.
        queue_s: Seconds that it waited for a worker.
        encode_s: Its share of the batch's encoder time.
        joined_s: Instant at which it joined.
        num_live: Chunks in the lane at that instant.
    """

    encoded: EncodedBatch
    row: int
    queue_s: float
    encode_s: float
    joined_s: float
    num_live: int

    @property
    def item(self) -> PendingChunk:
        """The chunk itself."""
        return self.encoded.items[self.row]


_Done = tuple[DecodedChunk, ChunkCost]


class WorkerPool:
    """Runs what the queue gives on every replica. Thread-safe."""

    def __init__(
        self,
        queue: ChunkQueue,
        model: LoadedModel,
        guard: WindowGuard,
        on_device_lost: Callable[[DeviceLost], None],
    ) -> None:
        """Take the parts; `start` starts the threads.

        Args:
            queue: Where the batches come from.
            model: Its replicas do the work, each on as many threads as its runtime has workers.
            guard: Counts the chunks in fitted windows that are decoded again.
            on_device_lost: Called when a device cannot be used any more.
        """
        self.stats = WorkerStats()
        self._stats_lock = threading.Lock()
        self._queue = queue
        self._guard = guard
        self._on_device_lost = on_device_lost
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(Runner(replica, model, _is_wanted),),
                name=f"talkmill-worker-{i}-{j}",
                daemon=True,
            )
            for i, replica in enumerate(model.replicas)
            for j in range(model.runtime.workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Finish the batches that run, fail the chunks that wait, and stop the threads."""
        self._queue.close()
        for thread in self._threads:
            thread.join()
        for item in self._queue.drain():
            item.request.fail(NotReady("the engine was closed before the answer"))

    def _work(self, runner: Runner) -> None:
        while batch := self._queue.take():
            self._serve(runner, batch)
            del batch  # it would live until the next one is taken

    def _serve(self, runner: Runner, batch: list[PendingChunk]) -> None:
        run = self._run_exact_lane if batch[0].key.is_exact else self._run_batch
        for decoded, cost in run(runner, batch):
            self._hand_over(decoded, cost)

    def _hand_over(self, decoded: DecodedChunk, cost: ChunkCost) -> None:
        item = decoded.item
        if item.window.kind is EncoderWindow.FITTED:
            is_fallback = decoded.again is not None and decoded.again.window is FULL_WINDOW
            # What is drawn says little of the windows.
            is_drawn = item.plan.strategy is Strategy.SAMPLE
            is_telling = not (item.num_attempts or is_drawn)
            self._guard.count(is_fallback=is_fallback, is_telling=is_telling)
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

    def _run_batch(self, runner: Runner, batch: Sequence[PendingChunk]) -> Iterator[_Done]:
        """Run a batch; if it fails, run its halves, until the chunk at fault is alone."""
        batch = [item for item in batch if not item.request.is_done]
        if not batch:
            return
        try:
            done = self._run_timed(runner, batch)
        except DeviceLost as error:
            self._device_lost(batch, error)
        except Exception as error:  # whatever it is, each request must be answered or fail
            if len(batch) == 1:
                _log.exception("request %d: the model failed", batch[0].request.id)
                self._fail(batch, "the model failed on this audio", error)
                return
            if is_out_of_memory(error) and not batch[0].key.is_exact:
                self._shrink_after_oom(batch[0].key, len(batch), error)
            else:
                _log.warning("a batch of %d failed and is split: %s", len(batch), error)
            middle = len(batch) // 2
            yield from self._run_batch(runner, batch[:middle])
            yield from self._run_batch(runner, batch[middle:])
        else:
            yield from done

    def _run_timed(self, runner: Runner, batch: list[PendingChunk]) -> list[_Done]:
        start_s = time.monotonic()
        encoded = runner.encode(batch)
        encoded_s = time.monotonic()
        decoded = runner.add_words(runner.decode(encoded))
        decoded_s = time.monotonic()
        self._count(num_batches=1, num_chunks=len(batch))
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

    def _run_exact_lane(self, runner: Runner, batch: list[PendingChunk]) -> Iterator[_Done]:
        """Run a batch of the exact lane, and what joins it, until no chunk is live.

        Batches of the native lane run between two steps; the lanes take turns of equal time.
        """
        live: dict[ExactTask, _LiveChunk] = {}
        native_until_s = 0.0  # until then the exact lane has its turn
        try:
            lane = runner.new_lane()
            while batch or live:
                if batch := [item for item in batch if not item.request.is_done]:
                    if batch[0].key.is_exact:
                        live |= self._join(runner, lane, batch, len(live))
                    else:
                        start_s = time.monotonic()
                        yield from self._run_batch(runner, batch)
                        native_until_s = 2 * time.monotonic() - start_s
                    batch = []
                for task, hypothesis in lane.step():
                    done = self._leave(runner, live[task], hypothesis)
                    del live[task]
                    yield done
                if lane.num_rows and time.monotonic() >= native_until_s:
                    batch = self._queue.take_between_steps(lane.num_rows)
        except DeviceLost as error:
            self._device_lost([*(one.item for one in live.values()), *batch], error)
        except Exception as error:  # the chunk at fault is found as in any batch
            if is_out_of_memory(error):
                rows = sum(task.plan.num_rows for task in live)
                rows += sum(item.plan.num_rows for item in batch)
                self._shrink_after_oom(_EXACT_LANE, rows, error)
            _log.warning("the exact lane failed, its %d chunks start again: %s", len(live), error)
            yield from self._run_batch(runner, [*(one.item for one in live.values()), *batch])

    def _join(
        self, runner: Runner, lane: ExactLane, batch: list[PendingChunk], num_live: int
    ) -> dict[ExactTask, _LiveChunk]:
        start_s = time.monotonic()
        encoded = runner.encode(batch)
        encoded_s = time.monotonic()
        tasks = runner.tasks(encoded)
        lane.add(encoded.output, tasks)
        self._count(num_batches=1)
        encode_s = (encoded_s - start_s) / len(batch)
        num_live += len(batch)
        return {
            task: _LiveChunk(encoded, row, start_s - item.put_s, encode_s, encoded_s, num_live)
            for row, (task, item) in enumerate(zip(tasks, encoded.items, strict=True))
        }

    def _leave(self, runner: Runner, one: _LiveChunk, hypothesis: Hypothesis) -> _Done:
        (decoded,) = runner.add_words([runner.finish(one.encoded, one.row, hypothesis)])
        self._count(num_chunks=1)
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
        self._on_device_lost(error)

    def _fail(self, batch: Sequence[PendingChunk], message: str, cause: Exception) -> None:
        self._count(num_failed_chunks=len(batch))
        cause.__context__ = cause.__traceback__ = None  # their frames refer to the requests
        for item in batch:
            failure = ModelError(message)
            failure.__cause__ = cause
            item.request.fail(failure)

    def _count(
        self, *, num_batches: int = 0, num_chunks: int = 0, num_failed_chunks: int = 0
    ) -> None:
        with self._stats_lock:
            self.stats.num_batches += num_batches
            self.stats.num_chunks += num_chunks
            self.stats.num_failed_chunks += num_failed_chunks


def _is_wanted(request: Request) -> bool:
    """Return whether someone waits for the answer; a request past its deadline fails here."""
    return not request.expire(time.monotonic())
