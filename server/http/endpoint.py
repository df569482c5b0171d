"""One way through the door for every schema: let the caller in, answer, tell errors its way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import BinaryIO, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ...engine import (
    Cancelled,
    DeadlineExceeded,
    TalkmillError,
    TranscribeOptions,
    Transcript,
)
from ..config import ServerConfig
from ..gateway import Gateway, Terms, read_switch
from .body import BodyReader

Answer = TypeVar("Answer")

_DOOR = "http"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One HTTP request under way, and what it may use.

    Attributes:
        request: As it came.
        terms: How its caller wants to be answered.
        gateway: The engine, as the doors see it.
        bodies: Reads its body within the limits.
    """

    request: Request
    terms: Terms
    gateway: Gateway
    bodies: BodyReader

    async def transcribe(
        self,
        audio: bytes | BinaryIO,
        options: TranscribeOptions,
        model: str,
        warnings: tuple[str, ...] = (),
    ) -> Transcript:
        """Return the transcript, with the door's own warnings in front; see `Gateway`.

        Raises:
            TalkmillError: There is none; `Cancelled` where the caller went away.
        """
        answer = self.gateway.transcribe(audio, options, model, self.terms)
        transcript = await self.unless_disconnected(answer)
        return replace(transcript, warnings=(*warnings, *transcript.warnings))

    async def unless_disconnected(self, answer: Awaitable[Answer]) -> Answer:
        """Await an answer; give it up when the caller goes away. The body must have been read.

        Raises:
            Cancelled: That is so.
        """
        task = asyncio.ensure_future(answer)
        gone = asyncio.create_task(_disconnected(self.request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Cancelled("the caller went away")
            return task.result()
        finally:
            task.cancel()
            gone.cancel()

    def compute_headers(self, transcript: Transcript) -> dict[str, str]:
        """Return HF's headers: what an answer cost."""
        return {
            "x-compute-type": "cache" if transcript.is_cached else self.gateway.engine.device,
            "x-compute-time": f"{transcript.timings.total_s:.3f}",
            "x-compute-audio-length": f"{transcript.duration_s:.3f}",
        }


Handler = Callable[[Call], Awaitable[Response]]


class Endpoint:
    """An ASGI application around a handler."""

    def __init__(
        self,
        handler: Handler,
        to_response: Callable[[BaseException], Response],
        gateway: Gateway,
        config: ServerConfig,
        *,
        is_counted: bool = True,
    ) -> None:
        """Take the parts.

        Args:
            handler: Answers a call, or raises.
            to_response: Tells of an error as the schema does.
            gateway: The engine, as the doors see it.
            config: The settings.
            is_counted: Whether its calls are counted, and refused while the server drains.
        """
        self._is_counted = is_counted
        self._handler = handler
        self._to_response = to_response
        self._gateway = gateway
        self._timeout_s = config.http_timeout_s
        self._bodies = BodyReader(
            config.max_audio_bytes, config.max_inline_bytes, config.upload_timeout_s
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        has_started = False

        async def watched_send(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            with self._gateway.open(_DOOR) if self._is_counted else nullcontext():
                response = await self._in_time(self._let_in(request))
                await response(scope, receive, watched_send)
        except Exception as error:  # the edge: a fault of ours is logged whole, told in general
            if not isinstance(error, TalkmillError):
                _log.exception("an HTTP request failed")
            if not has_started:
                await self._to_response(error)(scope, receive, send)
            elif isinstance(error, TalkmillError):  # the caller has been told in its stream
                await send({"type": "http.response.body"})

    async def _in_time(self, call: Call) -> Response:
        try:
            # The engine looks at deadlines between its steps; nobody here waits for a step to end.
            async with asyncio.timeout_at(call.terms.deadline_s):
                return await self._handler(call)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the answer") from None

    def _let_in(self, request: Request) -> Call:
        headers = request.headers
        self._gateway.authorize(headers.get("authorization"))
        terms = Terms(
            use_cache=read_switch("x-use-cache", headers.get("x-use-cache"), True),
            wait_for_model=read_switch("x-wait-for-model", headers.get("x-wait-for-model"), False),
            deadline_s=time.monotonic() + self._timeout_s,
        )
        return Call(request, terms, self._gateway, self._bodies)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
