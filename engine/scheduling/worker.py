"""The threads that drive the model: ask the batcher, run the batch, hand each chunk its answer.

Whatever happens to a batch, each of its requests hears of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..decoding.exact import ExactLane, ExactTask
from ..errors import DeviceLost, ModelError, NotReady
from ..model.loading import LoadedModel
from ..model.protocol import EncoderOutput, SpeechModel
from ..model.whisper_ct2 import is_out_of_memory
from ..transcript.segments import to_segments
from .batcher import Batcher, BatchKey, PendingChunk
from .request import ChunkCost, Request

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
    item: PendingChunk
    queue_s: float
    encode_s: float
    joined_s: float
    num_live: int  # as it joined


class WorkerPool:
    """Runs what the batcher gives on every replica. Thread-safe."""

    def __init__(
        self,
        batcher: Batcher,
        model: LoadedModel,
        workers_per_replica: int,
        *,
        on_room: Callable[[], None],
        on_chunk_done: Callable[[Request], None],
        on_device_lost: Callable[[DeviceLost], None],
    ) -> None:
        """Take the parts; `start` starts the threads.

        Args:
            batcher: The queue; the pool owns it from here on.
            model: Its replicas do the work.
            workers_per_replica: Batches in the works at once on each.
            on_room: Called when the queue may have become shorter; must not wait for the pool.
            on_chunk_done: Called when a request may send more.
            on_device_lost: Called when a device is beyond repair.
        """
        self.stats = WorkerStats()
        self._batcher = batcher
        self._model = model
        self._tokenizer = model.tokenizer
        self._on_room = on_room
        self._on_chunk_done = on_chunk_done
        self._on_device_lost = on_device_lost
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._run, args=(replica,), name=f"talkmill-worker-{i}-{j}", daemon=True
            )
            for i, replica in enumerate(model.replicas)
            for j in range(workers_per_replica)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, item: PendingChunk) -> None:
        """Queue a chunk."""
        with self._changed:
            self._batcher.put(item)
            self._changed.notify()

    def close(self) -> None:
        """Finish the batches in the works, fail what still waits, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for item in self._batcher.drain():
            item.request.fail(NotReady("the engine was closed before the answer"))

    def _run(self, replica: SpeechModel) -> None:
        while batch := self._next_batch():
            if batch[0].key.plan is None:
                self._run_exact_lane(replica, batch)
            else:
                self._decode(replica, batch)

    def _next_batch(self) -> list[PendingChunk]:
        """Return the next batch, waiting for it; empty once the pool is closed."""
        with self._changed:
            while not self._closed:
                batch = self._batcher.next_batch(time.monotonic())
                self._on_room()
                if batch:
                    return batch
                self._changed.wait(self._batcher.wait_s(time.monotonic()))
        return []

    def _batch_between_steps(self, num_live_rows: int) -> list[PendingChunk]:
        """Return what is next while the exact lane has so many rows, without waiting for it."""
        with self._changed:
            if self._closed or not num_live_rows:
                return []
            batch = self._batcher.next_batch(time.monotonic(), num_live_rows)
            self._on_room()
        return batch

    def _run_exact_lane(self, replica: SpeechModel, batch: list[PendingChunk]) -> None:
        """Decode a batch of the exact lane, and what joins it on the way, until none is live.

        Batches of the native lane run between two steps; the lanes take turns of equal time.
        """
        live: dict[ExactTask, _LiveChunk] = {}
        turn_ends_s = 0.0
        try:
            lane = replica.exact_lane(self._model.vocabulary)
            while batch or live:
                if batch := [item for item in batch if not item.request.is_done]:
                    if batch[0].key.plan is None:
                        live |= self._join(replica, lane, batch, len(live))
                    else:
                        start_s = time.monotonic()
                        self._decode(replica, batch)
                        turn_ends_s = 2 * time.monotonic() - start_s
                    batch = []
                for task, tokens in lane.step():
                    self._leave(live.pop(task), tokens)
                if time.monotonic() >= turn_ends_s:
                    batch = self._batch_between_steps(lane.num_rows)
        except DeviceLost as error:
            self._lose([*(one.item for one in live.values()), *batch], error)
        except Exception as error:  # who is at fault is found as in any batch
            if is_out_of_memory(error):
                rows = sum(task.plan.num_rows for task in live)
                rows += sum(item.request.plan.num_rows for item in batch)
                self._remember(_EXACT_LANE, rows, error)
            _log.warning("the exact lane failed, its %d chunks start again: %s", len(live), error)
            self._decode(replica, [*(one.item for one in live.values()), *batch])

    def _join(
        self, replica: SpeechModel, lane: ExactLane, batch: list[PendingChunk], num_live: int
    ) -> dict[ExactTask, _LiveChunk]:
        start_s = time.monotonic()
        encoded, prompts = self._encode(replica, batch)
        encoded_s = time.monotonic()
        tasks = [_exact_task(item, prompt) for item, prompt in zip(batch, prompts, strict=True)]
        lane.add(encoded, tasks)
        with self._changed:
            self.stats.num_batches += 1
        encode_s = (encoded_s - start_s) / len(batch)
        return {
            task: _LiveChunk(item, start_s - item.put_s, encode_s, encoded_s, num_live + len(batch))
            for task, item in zip(tasks, batch, strict=True)
        }

    def _leave(self, one: _LiveChunk, tokens: list[int]) -> None:
        with self._changed:
            self.stats.num_chunks += 1
        generate_s = (time.monotonic() - one.joined_s) / one.num_live
        cost = ChunkCost(one.queue_s, one.encode_s, generate_s, one.num_live)
        self._hand_over(one.item, tokens, cost)

    def _decode(self, replica: SpeechModel, batch: list[PendingChunk]) -> None:
        """Run a batch; if it fails, run its halves, until the chunk at fault stands alone."""
        batch = [item for item in batch if not item.request.is_done]
        if not batch:
            return
        try:
            answers, costs = self._infer(replica, batch)
        except DeviceLost as error:
            self._lose(batch, error)
        except Exception as error:  # whatever it is, nobody may wait for ever
            if len(batch) == 1:
                _log.exception("request %d: the model failed", batch[0].request.id)
                self._fail(batch, "the model failed on this audio", error)
                return
            if is_out_of_memory(error) and batch[0].key.plan is not None:
                self._remember(batch[0].key, len(batch), error)
            else:
                _log.warning("a batch of %d failed and is split: %s", len(batch), error)
            middle = len(batch) // 2
            self._decode(replica, batch[:middle])
            self._decode(replica, batch[middle:])
        else:
            for item, tokens, cost in zip(batch, answers, costs, strict=True):
                self._hand_over(item, tokens, cost)

    def _remember(self, key: BatchKey, size: int, error: Exception) -> None:
        with self._changed:
            limit = self._batcher.did_not_fit(key, size)
        if limit is not None:
            _log.warning(
                "no memory for %d at once: from now on at most %d of their kind: %s",
                size,
                limit,
                error,
            )

    def _lose(self, batch: list[PendingChunk], error: DeviceLost) -> None:
        _log.critical("device lost: %s", error)
        self._fail(batch, "the device failed", error)
        self._on_device_lost(error)

    def _fail(self, batch: list[PendingChunk], message: str, cause: Exception) -> None:
        with self._changed:
            self.stats.num_failed_chunks += len(batch)
        for item in batch:
            failure = ModelError(message)
            failure.__cause__ = cause
            item.request.fail(failure)

    def _infer(
        self, replica: SpeechModel, batch: list[PendingChunk]
    ) -> tuple[list[list[int]], list[ChunkCost]]:
        start_s = time.monotonic()
        encoded, prompts = self._encode(replica, batch)
        encoded_s = time.monotonic()
        if (plan := batch[0].key.plan) is not None:
            answers = replica.generate(encoded, prompts, plan)
        else:
            tasks = [_exact_task(item, prompt) for item, prompt in zip(batch, prompts, strict=True)]
            answers = replica.exact_lane(self._model.vocabulary).run(encoded, tasks)
        generated_s = time.monotonic()
        if len(answers) != len(batch):
            raise RuntimeError(f"{len(batch)} chunks, {len(answers)} answers. This is a bug.")
        with self._changed:
            self.stats.num_batches += 1
            self.stats.num_chunks += len(batch)
        return answers, [
            ChunkCost(
                queue_s=start_s - item.put_s,
                encode_s=(encoded_s - start_s) / len(batch),
                generate_s=(generated_s - encoded_s) / len(batch),
                batch_size=len(batch),
            )
            for item in batch
        ]

    def _encode(
        self, replica: SpeechModel, batch: list[PendingChunk]
    ) -> tuple[EncoderOutput, list[list[int]]]:
        encoded = replica.encode(np.stack([item.features for item in batch]))
        self._detect_languages(replica, encoded, batch)
        return encoded, [self._prompt(item.request) for item in batch]

    def _hand_over(self, item: PendingChunk, tokens: list[int], cost: ChunkCost) -> None:
        timestamps = item.request.options.timestamps
        try:
            segments = to_segments(tokens, item.spans, self._tokenizer, timestamps=timestamps)
            item.request.chunk_done(item.index, segments, cost)
        except Exception as error:  # a listener of one request must not cost the others
            _log.exception("request %d: its answer could not be delivered", item.request.id)
            self._fail([item], "the answer could not be delivered", error)
        self._on_chunk_done(item.request)

    def _detect_languages(
        self, replica: SpeechModel, encoded: EncoderOutput, batch: list[PendingChunk]
    ) -> None:
        # Only a request's first chunk comes here without a language: the rest waits for it.
        unknown = [(row, item) for row, item in enumerate(batch) if item.request.language is None]
        if unknown:
            detected = replica.detect_language(encoded)
            for row, item in unknown:
                item.request.set_language(*detected[row])

    def _prompt(self, request: Request) -> list[int]:
        options = request.options
        assert request.language is not None
        return self._tokenizer.prompt(
            request.language, options.task, options.timestamps, request.previous
        )


def _exact_task(item: PendingChunk, prompt: list[int]) -> ExactTask:
    request = item.request
    return ExactTask(
        prompt=prompt,
        plan=request.plan,
        seed=request.seed,
        chunk=item.index,
        is_wanted=lambda: not request.expire(time.monotonic()),
    )
