"""The way of a call, the same for gRPC and HTTP: authenticate, parse, ready, check, upload, submit.

`admit` does the first step and reads the call's options; the protocol's module parses the request;
`check` waits for the model and checks the request's options; `receive` takes the upload;
`transcribe` and `stream` submit. Knows neither gRPC nor HTTP. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import BinaryIO

from ..engine import (
    AudioTooLong,
    CheckedOptions,
    DeadlineExceeded,
    Engine,
    OnSegment,
    Request,
    Segment,
    State,
    TranscribeOptions,
    Transcript,
)
from .auth import Access
from .call import CallOptions, Loading, read_switch
from .config import ServerConfig
from .metrics import Metrics
from .open_calls import OpenCalls
from .spool import Spool
from .status import UnknownModel

MAX_MODEL_NAME = 256  # characters


class Gateway:
    """One engine, as gRPC and HTTP see it."""

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
        self._engine = engine
        self._access = access
        # How long a call waits for a model that is loading, by protocol.
        self._loading_wait_s = {"grpc": 0.0, "http": config.loading_wait_s}
        self._shares_cache = config.share_cache
        self._served_names = config.served_names
        self._loading_since_s = time.monotonic()
        self._settled = asyncio.Event()  # the model is loaded, or loading has failed
        self._open = OpenCalls()

    @property
    def state(self) -> State:
        """Where the engine is in its life."""
        return self._engine.state

    @property
    def models(self) -> list[str]:
        """The names that the model answers to; its own is the first."""
        return list(dict.fromkeys([self._engine.model_name, *self._served_names]))

    def check_model(self, name: str) -> None:
        """Check that a model is served; an empty name stands for any.

        Raises:
            UnknownModel: It is not served.
        """
        if len(name) > MAX_MODEL_NAME:
            raise UnknownModel(
                f"model: a name of {len(name)} characters is over the limit of {MAX_MODEL_NAME}",
                "model",
            )
        if name and name not in self.models:
            served = ", ".join(self.models)
            raise UnknownModel(f"model {name!r} is not served here; served: {served}", "model")

    def settled(self) -> None:
        """Wake the calls that wait for the model: it is loaded, or loading has failed."""
        self._settled.set()

    def drain(self) -> Future[None]:
        """Admit no more calls; the future resolves when the last admitted call has ended."""
        return self._engine.drain()

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
                try:
                    yield CallOptions(permit, client, use_cache, wait_s, deadline_s)
                except asyncio.CancelledError:
                    if _is_over(timeout_s, deadline_s):  # gRPC cancels a call at its deadline
                        raise DeadlineExceeded("the deadline passed before the answer") from None
                    raise

    async def check(
        self, options: TranscribeOptions, model: str, call: CallOptions
    ) -> CheckedOptions:
        """Return a request's options as the model will honour them, once the model is loaded.

        Args:
            options: The request's options.
            model: The model that the caller expects; empty for any.
            call: The call's options.

        Raises:
            Loading: The model is being loaded, and not within the time that the call waits.
            DeadlineExceeded: The model was not loaded in time.
            RequestError: An option or the model is refused.
        """
        await self._wait_until_loaded(call)
        self.check_model(model)
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
            AudioTooLong: The upload is over the limit.
            Overloaded: The uploads of all requests in flight are over the limit.
            NoSpace: It cannot be stored.
        """
        limit = self._engine.config.max_audio_bytes
        num_bytes, num_reserved = 0, announced_bytes
        call.permit.reserve(announced_bytes)
        with Spool() as spool:
            async for piece in pieces:
                num_bytes += len(piece)
                if num_bytes > limit:
                    raise AudioTooLong(f"audio is over the limit of {limit} bytes")
                if num_bytes > num_reserved:
                    call.permit.reserve(num_bytes - num_reserved)
                    num_reserved = num_bytes
                spool.write(piece)
            return spool.take()

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
        self, audio: bytes | BinaryIO, options: CheckedOptions, call: CallOptions
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
        audio: bytes | BinaryIO,
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

    async def _wait_until_loaded(self, call: CallOptions) -> None:
        if self._engine.state is not State.LOADING:
            return
        waits = [wait_s for wait_s in (call.loading_wait_s, call.remaining_s) if wait_s is not None]
        try:
            await asyncio.wait_for(self._settled.wait(), min(waits, default=None))
        except TimeoutError:
            if call.loading_wait_s is None:
                raise DeadlineExceeded("the deadline passed before the model was loaded") from None
            elapsed_s = time.monotonic() - self._loading_since_s
            # As long again as loading has taken so far: nothing better is known.
            raise Loading(self._engine.model_name, max(1.0, elapsed_s)) from None

    def _counted(self, transcript: Transcript, call: CallOptions) -> Transcript:
        self._access.count_audio(call.client, transcript.duration_s)
        self.metrics.count_audio(transcript)
        return transcript


def _is_over(timeout_s: float | None, deadline_s: float | None) -> bool:
    """Return whether a deadline has passed for the client, which may be before it has here.

    It is sent as a timeout of three digits, rounded up, and counts here from its arrival.
    """
    if timeout_s is None or deadline_s is None:
        return False
    return time.monotonic() >= deadline_s - 0.01 * timeout_s - 0.05
