"""The engine: wires the stages, owns their life, and takes requests. No logic of its own."""

from __future__ import annotations

import enum
import io
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from .audio.preparation import Preparation
from .audio.vad import preload as preload_vad
from .config import EngineConfig
from .errors import (
    AudioTooLong,
    DeviceLost,
    InvalidAudio,
    ModelError,
    NotReady,
    Overloaded,
)
from .model.device import resolve_runtime
from .model.files import find_model
from .model.loading import LoadedModel, load_model
from .options import check_options
from .scheduling.batcher import Batcher, BatchKey, PendingChunk
from .scheduling.cache import AnswerCache, CacheStats, MemoryStore, library_versions
from .scheduling.feeder import Feeder
from .scheduling.request import OnSegment, Request
from .scheduling.worker import WorkerPool, WorkerStats
from .tuning import with_tuning
from .types import (
    Chunk,
    Features,
    TranscribeOptions,
    Transcript,
)

_log = logging.getLogger(__name__)


class State(enum.Enum):
    """Where an engine is in its life."""

    LOADING = "loading"
    READY = "ready"
    CLOSED = "draining"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class _Stages:
    """What runs between `start` and `close`."""

    model: LoadedModel
    cache: AnswerCache | None
    batcher: Batcher
    feeder: Feeder
    workers: WorkerPool


class Engine:
    """Turns audio into transcripts. Thread-safe.

    with Engine(EngineConfig()) as engine:
        print(engine.transcribe(Path("speech.flac").read_bytes()).text)
    """

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        model: LoadedModel | None = None,
        on_failure: Callable[[DeviceLost], None] = lambda error: None,
    ) -> None:
        """Take the settings; `start` does the work.

        Args:
            config: The settings.
            model: Used instead of loading the one that `config` names.
            on_failure: Called once, from a worker's thread, when a device is lost: the process
                should then report that it is not serving, and exit.
        """
        self.config = config or EngineConfig()
        self._given_model = model
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._state = State.LOADING
        self._active: set[Request] = set()
        self._stages: _Stages | None = None

    def __enter__(self) -> Engine:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what was taken, and stop."""
        self.close()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def stats(self) -> WorkerStats:
        """What the workers have done so far."""
        return self._stages.workers.stats if self._stages else WorkerStats()

    @property
    def cache_stats(self) -> CacheStats:
        """How requests that may be answered from the cache have fared."""
        return self._stages.cache.stats if self._stages and self._stages.cache else CacheStats()

    @property
    def num_requests(self) -> int:
        """Requests in the works now."""
        return len(self._active)

    @property
    def num_waiting_chunks(self) -> int:
        """Chunks that wait for the model now."""
        return len(self._stages.batcher) if self._stages else 0

    @property
    def device(self) -> str:
        """What the model runs on, "cpu" or "cuda"; empty while that is not known."""
        return self._stages.model.runtime.device if self._stages else ""

    @property
    def model_name(self) -> str:
        """What requests call the model."""
        return self._given_model.name if self._given_model else self.config.model

    def start(self) -> None:
        """Load the model, warm it up, and start the threads.

        Raises:
            ConfigError: The settings cannot work on this machine.
        """
        config, model = self.config, self._load()
        runtime = model.runtime
        preload_vad()
        model.warm_up()
        num_workers = runtime.workers * len(model.replicas)
        batcher = Batcher(
            runtime.batch_size,
            max_per_request=max(1, int(runtime.batch_size * config.max_batch_share)),
            max_wait_s=config.max_batch_wait_ms / 1000,
            max_batch_frames=runtime.batch_frames,
            num_sharing=num_workers if runtime.device == "cpu" else 1,
        )
        cache = self._make_cache(model)
        workers = WorkerPool(
            batcher,
            model,
            runtime.workers,
            on_room=lambda: feeder.wake(),
            on_chunk_done=lambda request: feeder.resume(request),
            on_device_lost=self._device_lost,
        )
        feeder = Feeder(
            config.prepare_threads or len(os.sched_getaffinity(0)),
            max_ahead=runtime.batch_size * (num_workers + 1),
            # About 1 MB a chunk: this bounds what waits, whatever the number of requests.
            has_room=lambda: len(batcher) < max(256, 8 * runtime.batch_size * num_workers),
            deliver=self._deliver,
            cache=cache,
        )
        self._stages = _Stages(model, cache, batcher, feeder, workers)
        workers.start()
        feeder.start()
        self._state = State.READY
        _log.info("ready: %s on %s", model.name, runtime)

    def _load(self) -> LoadedModel:
        if (model := self._given_model) is not None:
            return replace(model, runtime=resolve_runtime(self.config, model.properties))
        files = find_model(self.config.model, self.config.revision)
        return load_model(with_tuning(self.config, files), files)

    def submit(
        self,
        audio: bytes | BinaryIO,
        options: TranscribeOptions | None = None,
        *,
        model: str = "",
        timeout_s: float | None = None,
        use_cache: bool = True,
        on_segment: OnSegment | None = None,
    ) -> Request:
        """Take a request and return at once; its `future` resolves to the transcript.

        Args:
            audio: A whole audio file, or a seekable file object, which the engine closes, also
                where it refuses.
            options: What to do with it.
            model: The model that the caller expects; empty for any.
            timeout_s: After so long the answer is of no use.
            use_cache: Whether an earlier answer to the same will do, where nothing is drawn.
            on_segment: Called with each segment, in order, from a worker's thread; must not block.

        Raises:
            RequestError: Something that was asked for cannot be.
            Refused: Not now.
        """
        source = io.BytesIO(audio) if isinstance(audio, bytes) else audio
        try:
            request = self._make_request(
                source, options or TranscribeOptions(), model, timeout_s, use_cache, on_segment
            )
            self._submit(source, request)
            return request
        except BaseException:
            source.close()
            raise

    def _make_request(
        self,
        source: BinaryIO,
        options: TranscribeOptions,
        model: str,
        timeout_s: float | None,
        use_cache: bool,
        on_segment: OnSegment | None,
    ) -> Request:
        stages = self._ready_stages()
        self._check_size(source)
        checked = check_options(stages.model, options, model)
        return Request(
            options,
            plan=checked.plan,
            prompt_length=checked.prompt_length,
            language=checked.language,
            previous=checked.previous,
            question=checked.question(options) if use_cache and stages.cache else None,
            deadline_s=None if timeout_s is None else time.monotonic() + timeout_s,
            on_segment=on_segment,
            warnings=checked.warnings,
        )

    def _submit(self, source: BinaryIO, request: Request) -> None:
        stages = self._ready_stages()
        self._admit(request)
        preparation = Preparation(
            source,
            request.options.vad,
            stages.model.replicas[0].n_mels,
            self.config.max_audio_s,
            stages.model.runtime.window_frames,
        )
        stages.feeder.add(request, preparation)

    def _make_cache(self, model: LoadedModel) -> AnswerCache | None:
        if not self.config.cache_bytes:
            return None
        fingerprint = f"{model.name} {model.fingerprint} {library_versions()}"
        return AnswerCache(MemoryStore(self.config.cache_bytes), fingerprint)

    def check(self, options: TranscribeOptions, model: str = "") -> None:
        """Refuse what `submit` would refuse, whatever the audio.

        Raises:
            RequestError: Something that was asked for cannot be.
            Refused: Not now.
        """
        check_options(self._ready_stages().model, options, model)

    def transcribe(
        self, audio: bytes | BinaryIO, options: TranscribeOptions | None = None
    ) -> Transcript:
        """Return the transcript of a whole audio file; see `submit`."""
        return self.submit(audio, options).future.result()

    def close(self, drain_s: float | None = None) -> None:
        """Take nothing new, finish what was taken for at most `drain_s`, and stop."""
        with self._changed:
            if self._state is State.READY:
                self._state = State.CLOSED
            self._changed.wait_for(lambda: not self._active, drain_s)
            stages, self._stages = self._stages, None
        if stages is None:
            return
        self._fail_active(NotReady("the engine was closed before the answer"))
        stages.feeder.close()
        stages.workers.close()

    def _ready_stages(self) -> _Stages:
        stages = self._stages
        if stages is None or self._state is not State.READY:
            raise NotReady(f"the engine is {self._state.value}")
        return stages

    def _check_size(self, source: BinaryIO) -> None:
        num_bytes = source.seek(0, io.SEEK_END)
        source.seek(0)
        if num_bytes == 0:
            raise InvalidAudio("the audio is empty")
        limit = self.config.max_audio_bytes
        if num_bytes > limit:
            raise AudioTooLong(f"audio of {num_bytes} bytes is over the limit of {limit} bytes")

    def _admit(self, request: Request) -> None:
        with self._changed:
            if self._state is not State.READY:  # it was, a moment ago
                raise NotReady(f"the engine is {self._state.value}")
            if len(self._active) >= self.config.max_requests:
                raise Overloaded(f"{self.config.max_requests} requests are in the works already")
            self._active.add(request)
        request.future.add_done_callback(lambda _: self._release(request))

    def _release(self, request: Request) -> None:
        with self._changed:
            self._active.discard(request)
            self._changed.notify_all()

    def _deliver(self, request: Request, chunk: Chunk, features: Features) -> None:
        stages = self._stages
        if stages is None:
            return
        key = BatchKey.of(request.plan, request.prompt_length, features.shape[1])
        item = PendingChunk(request, chunk.index, chunk.spans, features, key, time.monotonic())
        stages.workers.put(item)

    def _device_lost(self, error: DeviceLost) -> None:
        with self._changed:
            first = self._state is not State.FAILED
            self._state = State.FAILED
        if first:
            self._fail_active(ModelError("the device failed"))
            self._on_failure(error)

    def _fail_active(self, error: ModelError | NotReady) -> None:
        with self._changed:
            active = list(self._active)
        for request in active:
            request.fail(error)
