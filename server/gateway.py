"""The way of a call, the same for gRPC and HTTP: authenticate, parse, ready, check, upload, submit.

`admit` does the first step and reads the call's options; the protocol's module parses the request;
`check` waits for the model and checks the request's options; `receive` takes the upload;
`transcribe` and `stream` submit. Knows neither gRPC nor HTTP. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import BinaryIO

from ..engine import (
    CheckedLive,
    CheckedOptions,
    DeadlineExceeded,
    Engine,
    GrowingFile,
    LiveOptions,
    OnEvent,
    OnSegment,
    Request,
    Segment,
    Session,
    State,
    TranscribeOptions,
    Transcript,
)
from .auth import Access
from .call import CallOptions, read_switch
from .config import ServerConfig
from .loading import LoadingModel
from .metrics import Metrics
from .models import ServedModels
from .open_calls import OpenCalls
from .receiving import store
from .spool import Spool


class Gateway:
    """One engine, as gRPC and HTTP see it.

    Attributes:
        metrics: Where calls are counted.
        models: The names of the model.
        draining: Set once no more calls are admitted.
    """

    def __init__(
        self, engine: Engine, access: Access, metrics: Metrics, config: ServerConfig
    ) -> None:
        """Take the parts.

        Args:
            engine: What answers.
            access: Who may call.
            metrics: Where calls are counted.
            config: The settings.
        """
        self.metrics = metrics
        self.models = ServedModels(engine, config.served_names)
        self.draining = asyncio.Event()
        self._engine = engine
        self._access = access
        # How long a call waits for a model that is loading, by protocol.
        self._loading_wait_s = {"grpc": 0.0, "http": config.loading_wait_s}
        self._shares_cache = config.share_cache
        self._loading = LoadingModel(engine)
        self._open = OpenCalls()

    @property
    def state(self) -> State:
        """Where the engine is in its life."""
        return self._engine.state

    def settled(self) -> None:
        """Wake the calls that wait for the model: it is loaded, or loading has failed."""
        self._loading.settled()

    async def drain(self) -> Future[None]:
        """Admit no more calls; the future resolves when the last admitted call has ended."""
        self.draining.set()
        return await asyncio.to_thread(self._engine.drain)

    def refuse_the_rest(self, reason: str) -> None:
        """End every call that is still open with `NotReady`; `reason` follows "the server has"."""
        self._open.refuse(f"the server has {reason}")

    def authenticate(self, headers: Mapping[str, str], peer: str = "") -> str:
        """Return the name of a call's bearer token; empty where no token is needed.

        Args:
            headers: Its headers or metadata, names in lower case.
            peer: Where it comes from; see `logins.address_of`.

        Raises:
            Unauthenticated: The token is missing or unknown.
            Overloaded: So are those of too many other calls from there.
        """
        return self._access.check(headers.get("authorization"), peer)

    @contextmanager
    def admit(
        self, protocol: str, headers: Mapping[str, str], timeout_s: float | None, peer: str = ""
    ) -> Iterator[CallOptions]:
        """Authenticate a call and admit it, and count it when it ends.

        Args:
            protocol: "grpc" or "http".
            headers: Its headers or metadata, names in lower case.
            timeout_s: Seconds until the answer is of no use; None for no limit.
            peer: Where it comes from; see `logins.address_of`.

        Yields:
            The call's options.

        Raises:
            Unauthenticated: The token is missing or unknown.
            InvalidOption: A header is neither true nor false.
            NotReady: The server is draining, or stops before the call has ended.
            Overloaded: Over the limit of concurrent requests, or of the token's in a minute, or the
                wait would be too long.
        """
        with self.metrics.count(protocol):
            client = self.authenticate(headers, peer)
            self._access.count_request(client)
            use_cache = read_switch("x-use-cache", headers, default=True)
            wait_for_model = read_switch("x-wait-for-model", headers, default=False)
            deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
            with self._engine.admit(client, timeout_s) as permit, self._open.call():
                wait_s = None if wait_for_model else self._loading_wait_s[protocol]
                call = CallOptions(permit, client, use_cache, wait_s, deadline_s)
                try:
                    yield call
                except asyncio.CancelledError:
                    if call.is_over(timeout_s):  # gRPC cancels a call at its deadline
                        raise DeadlineExceeded("the deadline passed before the answer") from None
                    raise

    async def ready(self, model: str, call: CallOptions) -> None:
        """Return once the model is loaded and is the one that the caller expects.

        Args:
            model: The model that the caller expects; empty for any.
            call: The call's options.

        Raises:
            Loading: The model is being loaded, and not within the time that the call waits.
            DeadlineExceeded: The model was not loaded in time.
            UnknownModel: It is another one.
        """
        await self._loading.wait(call)
        self.models.check(model)

    async def check(
        self, options: TranscribeOptions, model: str, call: CallOptions
    ) -> CheckedOptions:
        """Return a request's options as the model will honour them, once the model is loaded.

        Args:
            options: The request's options.
            model: The model that the caller expects; empty for any.
            call: The call's options.

        Raises:
            TalkmillError: As `ready`, or an option is refused.
        """
        await self.ready(model, call)
        if options.prompt or options.hotwords:  # these are tokenized, which takes milliseconds
            return await asyncio.to_thread(self._engine.check, options)
        return self._engine.check(options)

    async def receive(
        self, pieces: AsyncIterator[bytes], call: CallOptions, announced_bytes: int = 0
    ) -> BinaryIO:
        """Return an upload as a file, on disk if it is large. The engine closes it.

        Args:
            pieces: The audio as it arrives.
            call: The call's options.
            announced_bytes: Length of the upload if it is known; counted before the first piece.

        Raises:
            TalkmillError: See `receiving.store`.
        """
        with Spool() as spool:
            await self.store(pieces, call, spool.write, announced_bytes)
            return spool.take()

    async def store(
        self,
        pieces: AsyncIterator[bytes],
        call: CallOptions,
        write: Callable[[bytes], None],
        announced_bytes: int = 0,
    ) -> None:
        """Give the pieces of an upload to `write`; see `receive` and `receiving.store`."""
        limit = self._engine.config.max_audio_bytes
        await store(pieces, call.permit, write, limit, announced_bytes)

    async def transcribe(
        self, audio: bytes | BinaryIO, options: CheckedOptions, call: CallOptions
    ) -> Transcript:
        """Return the transcript; cancelling the call cancels the request.

        Raises:
            TalkmillError: The request was refused or failed.
        """
        request = self._submit(audio, options, call)
        try:
            return self._counted(await asyncio.wrap_future(request.future), call)
        finally:  # an error has this frame in its traceback, and the request keeps the error
            del request

    async def stream(
        self, audio: BinaryIO | GrowingFile, options: CheckedOptions, call: CallOptions
    ) -> AsyncGenerator[Segment | Transcript]:
        """Yield the segments as they come, then the transcript; see `transcribe`."""
        loop = asyncio.get_running_loop()
        segments: asyncio.Queue[Segment | None] = asyncio.Queue()

        def put(segment: Segment | None) -> None:
            loop.call_soon_threadsafe(segments.put_nowait, segment)

        request = self._submit(audio, options, call, on_segment=put)
        done = request.future
        done.add_done_callback(lambda _: put(None))
        given_s = 0.0
        try:
            while (segment := await segments.get()) is not None:
                given_s = max(given_s, segment.end_s or segment.start_s)
                yield segment
        except BaseException:  # the caller is gone, but has had this much
            self._access.count_audio(call.client, given_s)
            raise
        finally:
            request.cancel()
            del request  # an error has this frame in its traceback, and the request keeps the error
        yield self._counted(done.result(), call)

    async def check_live(self, options: LiveOptions, model: str, call: CallOptions) -> CheckedLive:
        """Return the options of a live session as the model will honour them; see `check`."""
        await self.ready(model, call)
        return await asyncio.to_thread(self._engine.check_live, options)

    def open_session(self, checked: CheckedLive, call: CallOptions, on_event: OnEvent) -> Session:
        """Return a live session, to be given up when the call has ended; see `Engine`.

        Raises:
            NotReady: The engine is closed.
        """
        return self._engine.open_session(checked, permit=call.permit, on_event=on_event)

    def count_audio(self, call: CallOptions, audio_s: float, speech_s: float) -> None:
        """Count seconds of audio that came, and those of speech in it that were answered."""
        self._access.count_audio(call.client, audio_s)
        self.metrics.count_audio(audio_s, speech_s)

    def compute_headers(self, transcript: Transcript) -> dict[str, str]:
        """Return the headers of an answer: HF's on what it took, and ours on what it covers."""
        headers = {
            "x-compute-type": "cache" if transcript.is_cached else self._engine.device,
            "x-compute-time": f"{transcript.timings.total_s:.3f}",
            "x-compute-audio-length": f"{transcript.duration_s:.3f}",
            "x-encoder-window": transcript.encoder_window.value,
        }
        if transcript.coverage is not None:
            headers["x-coverage"] = f"{transcript.coverage:.3f}"
        return headers

    def _submit(
        self,
        audio: bytes | BinaryIO | GrowingFile,
        options: CheckedOptions,
        call: CallOptions,
        on_segment: OnSegment | None = None,
    ) -> Request:
        return self._engine.submit(
            audio,
            options,
            permit=call.permit,
            timeout_s=call.remaining_s,
            use_cache=call.use_cache,
            cache_scope="" if self._shares_cache else call.client,
            on_segment=on_segment,
        )

    def _counted(self, transcript: Transcript, call: CallOptions) -> Transcript:
        self.count_audio(call, transcript.duration_s, transcript.speech_s)
        return transcript
