"""One loaded model with everything that serves it: feeder, queue, workers, cache."""

from __future__ import annotations

import functools
import os
import time
from typing import BinaryIO

from ..audio.decode import SAMPLE_RATE
from ..audio.features import log_mel
from ..audio.growing import GrowingFile
from ..audio.preparation import AudioReport, Preparation, Prepared
from ..audio.sources import GrowingSource, WholeFile
from ..config import EngineConfig
from ..model.loading import LoadedModel
from ..model.runtime import Runtime
from ..model.versions import library_versions
from ..types import Chunk
from .batcher import Batcher
from .cache import AnswerCache, CacheStats, MemoryStore
from .feeder import Feeder
from .pending_chunk import PendingChunk
from .queue import ChunkQueue
from .request import Request
from .supervision import OnFailure
from .window_guard import WindowGuard
from .worker import WorkerPool
from .worker_stats import WorkerStats

# About 1 MB a chunk: this bounds the memory of the queue, whatever the number of requests.
_MIN_QUEUED_CHUNKS = 256
_QUEUED_BATCHES_PER_WORKER = 8
# No request may end the server: base takes four minutes on two cores for four files with 16 beams
# and no end of text, and a step of large-v3's decoder is 20 times as much work.
_STUCK_AFTER_S = {"cpu": 7200.0, "cuda": 600.0}


class Pipeline:
    """Takes requests from their audio to their answer. Thread-safe.

    Attributes:
        model: The model that it serves.
        num_workers: Batches that run at once.
        turn_s: Audio in a request's turn, in seconds; see `Batcher`.
    """

    def __init__(
        self,
        model: LoadedModel,
        config: EngineConfig,
        on_failure: OnFailure,
    ) -> None:
        """Make the parts; `start` starts their threads.

        Args:
            model: The model to serve.
            config: The settings; what concerns the device is taken from the model's runtime.
            on_failure: Called from one of its threads when it cannot go on.
        """
        self.model = model
        self._max_audio_s = config.max_audio_s
        runtime = model.runtime
        self.num_workers = num_workers = runtime.workers * len(model.replicas)
        window = runtime.windows.of_frames(runtime.windows.typical_frames[-1])
        full_batch = _full_batch(runtime, window.num_positions)
        self.turn_s = full_batch * config.max_batch_share * window.num_frames / 100
        batcher = Batcher(
            runtime.batch_size,
            max_per_request=max(1, int(runtime.batch_size * config.max_batch_share)),
            max_wait_s=config.max_batch_wait_ms / 1000,
            max_batch_positions=runtime.batch_positions,
            num_sharing=num_workers if runtime.device == "cpu" else 1,
            turn_s=self.turn_s,
            num_workers=num_workers,
        )
        stuck_after_s = config.stuck_after_s or _STUCK_AFTER_S[runtime.device]
        most_queued = _QUEUED_BATCHES_PER_WORKER * runtime.batch_size * num_workers
        self._queue = ChunkQueue(batcher, max_waiting=max(_MIN_QUEUED_CHUNKS, most_queued))
        self._guard = WindowGuard(runtime.windows)
        self._cache = _make_cache(model, config.cache_bytes)
        self._feeder = Feeder(
            self._queue,
            num_threads=config.prepare_threads or len(os.sched_getaffinity(0)),
            max_ahead=runtime.batch_size * (num_workers + 1),
            cache=self._cache,
            on_failure=on_failure,
            stuck_after_s=stuck_after_s,
        )
        self._workers = WorkerPool(self._queue, model, self._guard, on_failure, stuck_after_s)

    @property
    def stats(self) -> WorkerStats:
        """What the workers have done so far."""
        return self._workers.stats

    @property
    def cache_stats(self) -> CacheStats:
        """Requests that may be answered from the cache, by how they were answered."""
        return self._cache.stats if self._cache else CacheStats()

    @property
    def num_waiting_chunks(self) -> int:
        """Chunks that wait for the model."""
        return self._queue.num_waiting

    @property
    def num_window_fallbacks(self) -> int:
        """Chunks that were decoded again in the full window."""
        return self._guard.num_fallbacks

    @property
    def num_thread_restarts(self) -> int:
        """Threads that were started again after an error of ours."""
        return self._workers.num_restarts + self._feeder.num_restarts

    def rate_from_warm_up(self, warm_up_s: float) -> float:
        """Return the audio seconds per second that all workers do, as the warm-up tells.

        Its short answers make up for the first calls, which are slow.
        """
        frames = sum(self.model.runtime.windows.typical_frames) * len(self.model.replicas)
        return self.num_workers * frames / 100 / max(warm_up_s, 1e-3)

    def start(self) -> None:
        """Start the threads."""
        self._workers.start()
        self._feeder.start()

    def add(
        self, request: Request, source: BinaryIO | GrowingFile, expected_s: float = 0.0
    ) -> None:
        """Take a request and its audio file, which is closed however the request ends.

        Args:
            request: The request.
            source: The audio file, whole or still coming.
            expected_s: About how much audio that is, in seconds.
        """
        kind = request.checked.encoder_window
        preparation = Preparation(
            GrowingSource(source) if isinstance(source, GrowingFile) else WholeFile(source),
            request.options.vad,
            self.model.replicas[0].n_mels,
            self._max_audio_s,
            max_samples=self.model.runtime.windows.max_samples(kind),
            choose_window=functools.partial(self._guard.choose, kind),
            vad_options=request.options.vad_options,
            channels=request.options.channels,
            has_turns=request.checked.is_multi,
        )
        self._feeder.add(request, preparation, expected_s)

    def add_chunk(self, request: Request, chunk: Chunk) -> None:
        """Take a request for one chunk of audio, which is cut already. Computes its features.

        Args:
            request: The request.
            chunk: Its only chunk, index 0.
        """
        start_s = time.thread_time()
        window = self._guard.choose(request.checked.encoder_window, len(chunk.samples))
        features = log_mel(chunk.samples, self.model.replicas[0].n_mels, window.num_frames)
        report = AudioReport(num_samples=len(chunk.samples))
        report.speech_of[0] = sum(span.end - span.start for span in chunk.speech)
        report.features_s = time.thread_time() - start_s
        item = PendingChunk.of(request, Prepared(chunk, features, window), time.monotonic())
        request.chunk_sent(
            window.kind,
            chunk.spans[0].start / SAMPLE_RATE,
            audio_s=report.duration_s,
            num_bytes=features.nbytes,
        )
        request.audio_done(report)
        self._queue.put(item)

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish the batches that run, and stop. Other requests are failed by their owner.

        Args:
            timeout_s: Longest wait for the threads of each kind, in seconds.

        Returns:
            Whether every thread has ended.
        """
        self._queue.close()
        has_fed = self._feeder.close(timeout_s)
        return self._workers.close(timeout_s) and has_fed


def _full_batch(runtime: Runtime, num_positions: int) -> int:
    """Return the chunks in a full batch."""
    if not runtime.batch_positions:
        return runtime.batch_size
    return min(runtime.batch_size, max(1, runtime.batch_positions // num_positions))


def _make_cache(model: LoadedModel, max_bytes: int) -> AnswerCache | None:
    if not max_bytes:
        return None
    fingerprint = f"{model.name} {model.fingerprint} {library_versions()}"
    return AnswerCache(MemoryStore(max_bytes), fingerprint)
