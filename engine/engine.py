"""The engine: wires the stages, owns their life, and takes requests. No logic of its own."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import BinaryIO

from .audio.duration_guess import guess_duration_s
from .audio.growing import GrowingFile
from .audio.vad import preload as preload_vad
from .config import EngineConfig
from .counters import Counters
from .decoding.effort import effort
from .errors import EngineFailed, NotReady
from .live.options import CheckedLive, LiveOptions, check_live
from .live.passes import EnginePasses
from .live.session import OnEvent, Session
from .live.sessions import Sessions
from .model.device import machine_bytes, resolve_runtime
from .model.files import find_model, public_name
from .model.loading import LoadedModel, load_model
from .options import CheckedOptions, check_options
from .scheduling.active_requests import ActiveRequests
from .scheduling.admission import NO_PERMIT, Admission, Permit
from .scheduling.pipeline import Pipeline
from .scheduling.request import OnSegment, Request
from .scheduling.supervision import OnFailure
from .state import State
from .tuning import with_tuning
from .types import TranscribeOptions, Transcript

_FAILED_STOP_S = 1.0

_log = logging.getLogger(__name__)


class Engine(Counters):
    """Turns audio into transcripts. Thread-safe.

    with Engine(EngineConfig()) as engine:
        print(engine.transcribe(Path("speech.flac").read_bytes()).text)
    """

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        model: LoadedModel | None = None,
        on_failure: OnFailure = lambda error: None,
    ) -> None:
        """Take the settings; `start` does the work.

        Args:
            config: The settings.
            model: Used instead of loading the one that `config` names.
            on_failure: Called once, from one of the engine's threads, when it cannot go on: the
                process should then report that it is not serving, and exit.
        """
        self.config = config or EngineConfig()
        self._given_model = model
        self._on_failure = on_failure
        self._admission = Admission(
            self.config.max_requests,
            self.config.max_inflight_bytes or machine_bytes() // 4,
            self.config.max_queue_s,
        )
        self._lock = threading.Lock()
        self._state = State.LOADING  # or READY or FAILED; draining is known to the admission
        self._failure = ""  # why it failed
        self._active = ActiveRequests()
        self._sessions = Sessions(self.config.max_audio_s)
        self._pipeline: Pipeline | None = None

    def __enter__(self) -> Engine:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the admitted requests, and stop."""
        self.close()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        is_draining = self._admission.is_draining and self._state is not State.FAILED
        return State.DRAINING if is_draining else self._state

    @property
    def model_name(self) -> str:
        """What requests call the model."""
        return self._given_model.name if self._given_model else public_name(self.config.model)

    def start(self) -> None:
        """Load the model, warm it up, and start the threads.

        Raises:
            ConfigError: The settings cannot work on this machine.
        """
        model = self._load()
        preload_vad()
        start_s = time.monotonic()
        model.warm_up()
        warm_up_s = time.monotonic() - start_s
        self._pipeline = pipeline = Pipeline(model, self.config, self._fail)
        pipeline.start()
        self._admission.start(
            pipeline.rate_from_warm_up(warm_up_s),
            turn_s=pipeline.turn_s,
            num_workers=pipeline.num_workers,
        )
        self._state = State.READY
        _log.info("ready: %s on %s", model.name, model.runtime)

    def admit(self, client: str = "", timeout_s: float | None = None) -> Permit:
        """Return a permit for one request, to be released by the caller when it has ended.

        Args:
            client: Who asks; clients share the queue.
            timeout_s: Seconds after which the answer is of no use.

        Raises:
            NotReady: The engine is draining.
            Overloaded: Over the limit of concurrent requests, or the wait would be too long.
        """
        return self._admission.admit(client, timeout_s)

    def check(self, options: TranscribeOptions) -> CheckedOptions:
        """Return options as the model will honour them; `submit` takes them.

        Raises:
            RequestError: An option is refused; the message says why.
            NotReady: The engine is loading, closed or failed.
        """
        return check_options(self._ready_pipeline().model, options, self.config.beams)

    def submit(
        self,
        audio: bytes | BinaryIO | GrowingFile,
        options: TranscribeOptions | CheckedOptions | None = None,
        *,
        permit: Permit | None = None,
        timeout_s: float | None = None,
        use_cache: bool = True,
        cache_scope: str = "",
        on_segment: OnSegment | None = None,
    ) -> Request:
        """Take a request and return at once; its `future` resolves to the transcript.

        Args:
            audio: A whole audio file; or a seekable file object, or a file that is still coming,
                which the engine closes, also when it refuses the request.
            options: What to do with it; what `check` returned is not checked again.
            permit: From `admit`, to be released by the caller. Without one, the engine takes one
                and releases it when the request ends.
            timeout_s: Seconds after which the answer is of no use.
            use_cache: Whether an earlier answer to the same question will do; never where the file
                is still coming.
            cache_scope: Only an answer to a request of the same scope will do: a caller, if callers
                must not learn what others have sent.
            on_segment: Called with each segment, in order, from the engine's threads; must not
                block.

        Raises:
            RequestError: An option or the audio is refused; the message says why.
            Refused: Over a limit, or not ready.
        """
        with contextlib.ExitStack() as undo:
            source = io.BytesIO(audio) if isinstance(audio, bytes) else audio
            undo.callback(source.close)
            if not isinstance(options, CheckedOptions):
                options = self.check(options or TranscribeOptions())
            is_growing = isinstance(source, GrowingFile)
            expected_s = guess_duration_s(source, self.config.max_audio_bytes)
            own = NO_PERMIT if permit else undo.enter_context(self.admit(timeout_s=timeout_s))
            request = Request(
                options,
                use_cache=use_cache and not is_growing,
                cache_scope=cache_scope,
                deadline_s=None if timeout_s is None else time.monotonic() + timeout_s,
                on_segment=on_segment,
                permit=permit or own,
            )
            request.permit.enqueue(expected_s, timeout_s, effort(request.plan))
            self._start_request(request, source, expected_s, own)
            undo.pop_all()
            return request

    def transcribe(
        self, audio: bytes | BinaryIO, options: TranscribeOptions | None = None
    ) -> Transcript:
        """Return the transcript of a whole audio file; see `submit`."""
        return self.submit(audio, options).future.result()

    def check_live(self, options: LiveOptions) -> CheckedLive:
        """Return a session's options as the model will honour them; see `check`."""
        return check_live(self._ready_pipeline().model, options, self.config.beams)

    def open_session(
        self,
        options: LiveOptions | CheckedLive | None = None,
        *,
        permit: Permit | None = None,
        on_event: OnEvent,
    ) -> Session:
        """Return a live session: audio goes in as it is spoken, events come out.

        Args:
            options: What to do with it; what `check_live` returned is not checked again.
            permit: From `admit`, to be released by the caller. Without one, the engine takes one
                and releases it when the session ends.
            on_event: See `Session`.

        Raises:
            RequestError: An option is refused; the message says why.
            Refused: Over a limit, or not ready.
        """
        if not isinstance(options, CheckedLive):
            options = self.check_live(options or LiveOptions())
        windows = self._ready_pipeline().model.runtime.windows
        most = windows.max_samples(options.final.encoder_window)
        with contextlib.ExitStack() as undo:
            own = NO_PERMIT if permit else undo.enter_context(self.admit())
            passes = EnginePasses(self._ready_pipeline, self._active, permit or own)
            session = self._sessions.open(options, passes, most, on_event, on_end=own.release)
            undo.pop_all()
            return session

    def drain(self) -> Future[None]:
        """Admit no more requests; the future resolves when the last admitted one has ended.

        Live sessions answer what they have heard, and end.
        """
        idle = self._admission.drain()
        self._sessions.close_all("the engine is draining")
        return idle

    def close(self, drain_s: float | None = None, stop_s: float | None = None) -> bool:
        """Drain for at most `drain_s` seconds, fail what is left, and stop.

        Args:
            drain_s: None for as long as it takes.
            stop_s: Longest wait for the batches that run then, in seconds; None for as long as it
                takes, and little where the engine has failed, as its threads may hang.

        Returns:
            Whether every thread has ended; those that have not end with the process.
        """
        with contextlib.suppress(TimeoutError):
            self.drain().result(drain_s)
        with self._lock:
            pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return True
        self._active.fail(NotReady("the engine was closed before the answer"))
        if stop_s is None and self._state is State.FAILED:
            stop_s = _FAILED_STOP_S
        return pipeline.close(stop_s)

    def _load(self) -> LoadedModel:
        if (model := self._given_model) is not None:
            return replace(model, runtime=resolve_runtime(self.config, model.properties))
        files = find_model(self.config.model, self.config.revision)
        return load_model(with_tuning(self.config, files), files)

    def _start_request(
        self, request: Request, source: BinaryIO | GrowingFile, expected_s: float, own: Permit
    ) -> None:
        with self._lock:  # it may be closed or have failed since the options were checked
            pipeline = self._ready_pipeline()
            self._active.add(request, on_end=own.release)
        pipeline.add(request, source, expected_s)

    def _ready_pipeline(self) -> Pipeline:
        pipeline = self._pipeline
        if pipeline is None or self._state is not State.READY:
            state = "closed" if self._state is State.READY else self._state.value
            raise NotReady(f"the engine is not ready: {self._failure or state}")
        return pipeline

    def _fail(self, error: EngineFailed) -> None:
        with self._lock:
            is_first = self._state is not State.FAILED
            self._state = State.FAILED
            self._failure = self._failure or f"failed: {error}"
        if is_first:
            # Not a fault of theirs: another server can answer them.
            self._active.fail(NotReady(f"the engine failed before the answer: {error}"))
            self._on_failure(error)
