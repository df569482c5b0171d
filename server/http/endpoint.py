"""An ASGI application for each route: admit the call, answer it, and format its errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import BinaryIO, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ...engine import (
    Cancelled,
    CheckedOptions,
    DeadlineExceeded,
    TalkmillError,
    Transcript,
)
from ..auth import wait_if_failed
from ..call import CallOptions
from ..gateway import Gateway
from .body import BodyReader, Envelope, announced_bytes

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One admitted HTTP request, and what its handler needs.

    Attributes:
        request: The request.
        options: What its headers ask for.
        gateway: The way to the engine.
        bodies: Reads its body within the limits.
    """

    request: Request
    options: CallOptions
    gateway: Gateway
    bodies: BodyReader

    async def receive(self, envelope: Envelope | None = None) -> BinaryIO:
        """Return the audio in the body as a file; the engine closes it, or the caller.

        Args:
            envelope: What finds it in the body; None if the body is audio.

        Raises:
            TalkmillError: The body is refused.
        """
        with self.bodies.upload():
            async with aclosing(self.bodies.audio(self.request, envelope)) as pieces:
                return await self.gateway.receive(
                    pieces, self.options, announced_bytes(self.request)
                )

    async def transcribe(
        self,
        audio: BinaryIO,
        checked: CheckedOptions,
        warnings: tuple[str, ...] = (),
    ) -> Transcript:
        """Return the transcript, with the schema's own `warnings` first; see `Gateway`.

        Raises:
            TalkmillError: The request was refused or failed.
            Cancelled: The client disconnected.
        """
        answer = self.gateway.transcribe(audio, checked, self.options)
        transcript = await self.unless_disconnected(answer)
        return replace(transcript, warnings=(*warnings, *transcript.warnings))

    async def unless_disconnected(self, answer: Awaitable[Answer]) -> Answer:
        """Return an awaited answer; the body of the request must have been read.

        Raises:
            Cancelled: The client disconnected before the answer.
        """
        task = asyncio.ensure_future(answer)
        gone = asyncio.create_task(_disconnected(self.request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Cancelled("the client disconnected")
            return task.result()
        finally:
            task.cancel()
            gone.cancel()


Handler = Callable[[Call], Awaitable[Response]]
View = Callable[[Gateway, Request], Response]
ToResponse = Callable[[BaseException], Response]


class Endpoint:
    """An ASGI application around a handler of admitted calls."""

    def __init__(
        self,
        handler: Handler,
        to_response: ToResponse,
        gateway: Gateway,
        bodies: BodyReader,
        timeout_s: float,
    ) -> None:
        """Take the parts.

        Args:
            handler: Answers a call, or raises.
            to_response: Formats an error as the schema does.
            gateway: The way to the engine.
            bodies: Reads the bodies of all endpoints.
            timeout_s: Longest time of a request.
        """
        self._handler = handler
        self._to_response = to_response
        self._gateway = gateway
        self._timeout_s = timeout_s
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        has_started = has_ended = False

        async def watched_send(message: Message) -> None:
            nonlocal has_started, has_ended
            has_started = True
            has_ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            with self._gateway.admit(
                "http", request.headers, self._timeout_s, _peer_of(request)
            ) as options:
                call = Call(request, options, self._gateway, self._bodies)
                response = await self._in_time(call)
                await response(scope, receive, watched_send)
                if not has_ended:  # a stream ends without a word when its client has gone
                    raise Cancelled("the client disconnected")
        except Exception as error:  # ours are logged with their trace, and answered in general
            if not isinstance(error, TalkmillError):
                _log.exception("an HTTP request failed")
            await wait_if_failed(error)
            if not has_started:
                await self._to_response(error)(scope, receive, send)
            elif isinstance(error, TalkmillError):  # the stream has reported it already
                await send({"type": "http.response.body"})

    async def _in_time(self, call: Call) -> Response:
        try:
            # The engine looks at deadlines between its steps; a call does not wait for a step.
            async with asyncio.timeout_at(call.options.deadline_s):
                return await self._handler(call)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the answer") from None


class ViewEndpoint:
    """An ASGI application around a view: authenticated, but neither counted nor admitted."""

    def __init__(
        self, view: View, to_response: ToResponse, gateway: Gateway, *, is_open: bool = False
    ) -> None:
        """Take the parts, see `Endpoint`, and whether the view needs no token."""
        self._is_open = is_open
        self._view = view
        self._to_response = to_response
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = Request(scope)
            if not self._is_open:
                self._gateway.authenticate(request.headers, _peer_of(request))
            response = self._view(self._gateway, request)
        except TalkmillError as error:
            await wait_if_failed(error)
            response = self._to_response(error)
        await response(scope, receive, send)


def _peer_of(request: Request) -> str:
    return "" if request.client is None else request.client.host


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
