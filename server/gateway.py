"""What both front doors do with a call: who it is, when it may start, what becomes of it.

Knows neither gRPC nor HTTP. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from ..engine import (
    AudioTooLong,
    DeadlineExceeded,
    Engine,
    InvalidOption,
    NotReady,
    Segment,
    State,
    TranscribeOptions,
    Transcript,
)
from .auth import Access
from .metrics import Metrics

SPOOL_BYTES = 8 * 2**20  # an upload larger than this goes to disk

_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def read_switch(name: str, value: str | None, default: bool) -> bool:
    """Return what a header or metadata of HF's says.

    Raises:
        InvalidOption: It is neither true nor false.
    """
    if value is None:
        return default
    if value.strip().lower() not in _SWITCH:
        raise InvalidOption(f"{name} {value!r} is neither true nor false", name)
    return _SWITCH[value.strip().lower()]


@dataclass(frozen=True)
class Terms:
    """How a caller wants to be answered, whatever the question.

    Attributes:
        use_cache: Whether an earlier answer to the same will do.
        wait_for_model: Whether to wait while the model loads.
        deadline_s: Instant of `time.monotonic` after which the answer is of no use.
    """

    use_cache: bool = True
    wait_for_model: bool = False
    deadline_s: float | None = None

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.deadline_s is None else self.deadline_s - time.monotonic()


class Loading(NotReady):
    """The model is being loaded.

    Attributes:
        estimated_s: How much longer that may take.
    """

    def __init__(self, model: str, estimated_s: float) -> None:
        """Say so in HF's words."""
        super().__init__(f"Model {model} is currently loading")
        self.estimated_s = estimated_s


class Gateway:
    """One engine, as the doors see it."""

    def __init__(self, engine: Engine, access: Access, metrics: Metrics) -> None:
        """Let those in whom `access` knows, and count them in `metrics`."""
        self.engine = engine
        self.metrics = metrics
        self._access = access
        self._loading_since_s = time.monotonic()
        self._settled = asyncio.Event()  # the model is ready, or never will be
        self._is_draining = False
        self._num_open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def state(self) -> State:
        """Where the server is in its life."""
        return State.CLOSED if self._is_draining else self.engine.state

    def refuse_new(self) -> None:
        """Finish the calls that are open, and take no other."""
        self._is_draining = True

    def settled(self) -> None:
        """Let those go on who wait for the model."""
        self._settled.set()

    async def wait_idle(self) -> None:
        """Wait until no call is open."""
        await self._idle.wait()

    @contextmanager
    def open(self, door: str) -> Iterator[None]:
        """Count a call while it is open, and how it ends.

        Raises:
            NotReady: Calls are not taken any more.
        """
        self._num_open += 1
        self._idle.clear()
        try:
            with self.metrics.count(door):
                if self._is_draining:
                    raise NotReady("the server is draining")
                yield
        finally:
            self._num_open -= 1
            if not self._num_open:
                self._idle.set()

    def authorize(self, authorization: str | None) -> None:
        """Refuse a caller who is not known.

        Raises:
            Unauthenticated: That is so.
        """
        self._access.check(authorization)

    async def ready(self, terms: Terms) -> None:
        """Return when the model is there.

        Raises:
            Loading: It is not, and the caller would not wait for it.
            DeadlineExceeded: It was not in time.
        """
        if self.engine.state is not State.LOADING:
            return
        if not terms.wait_for_model:
            elapsed_s = time.monotonic() - self._loading_since_s
            # As long again as it has taken so far: the best guess without knowing more.
            raise Loading(self.engine.model_name, max(1.0, elapsed_s))
        try:
            await asyncio.wait_for(self._settled.wait(), terms.remaining_s)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the model was loaded") from None

    async def transcribe(
        self, audio: bytes | BinaryIO, options: TranscribeOptions, model: str, terms: Terms
    ) -> Transcript:
        """Return the transcript; a cancelled call cancels the request.

        Raises:
            TalkmillError: There is none.
        """
        request = self.engine.submit(
            audio, options, model=model, timeout_s=terms.remaining_s, use_cache=terms.use_cache
        )
        return self._counted(await asyncio.wrap_future(request.future))

    async def stream(
        self, audio: bytes | BinaryIO, options: TranscribeOptions, model: str, terms: Terms
    ) -> AsyncGenerator[Segment | Transcript]:
        """Yield the segments as they come, then the transcript; see `transcribe`."""
        loop = asyncio.get_running_loop()
        segments: asyncio.Queue[Segment | None] = asyncio.Queue()

        def put(segment: Segment | None) -> None:
            loop.call_soon_threadsafe(segments.put_nowait, segment)

        request = self.engine.submit(
            audio,
            options,
            model=model,
            timeout_s=terms.remaining_s,
            use_cache=terms.use_cache,
            on_segment=put,
        )
        request.future.add_done_callback(lambda _: put(None))
        try:
            while (segment := await segments.get()) is not None:
                yield segment
        finally:
            request.cancel()
        yield self._counted(request.future.result())

    async def receive(self, pieces: AsyncIterator[bytes]) -> BinaryIO:
        """Return an upload as a file; past `SPOOL_BYTES` it is on disk. The engine closes it.

        Raises:
            AudioTooLong: It is over the limit.
        """
        limit = self.engine.config.max_audio_bytes
        spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115
        num_bytes = 0
        try:
            async for piece in pieces:
                num_bytes += len(piece)
                if num_bytes > limit:
                    raise AudioTooLong(f"audio is over the limit of {limit} bytes")
                spool.write(piece)
        except BaseException:
            spool.close()
            raise
        return cast(BinaryIO, spool)

    def _counted(self, transcript: Transcript) -> Transcript:
        self.metrics.count_audio(transcript)
        return transcript
