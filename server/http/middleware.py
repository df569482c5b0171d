"""What every request and answer passes through: its id, CORS, and the rest of an unread body."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID = 200  # characters; a longer id of the client is cut
_MAX_REST_BYTES = 2**28  # read of a body that was refused
_MAX_REST_S = 20.0
_EXPOSED = (
    _REQUEST_ID,
    "retry-after",
    "x-compute-type",
    "x-compute-time",
    "x-compute-audio-length",
    "x-coverage",
    "x-encoder-window",
    "x-warnings",
)


def middleware(cors_origins: tuple[str, ...]) -> list[Middleware]:
    """Return the layers, the outermost first.

    Args:
        cors_origins: Origins whose pages may call, or "*"; empty for none.
    """
    layers = [Middleware(_UnreadBodies), Middleware(_RequestIds)]
    if cors_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=_EXPOSED,
        )
        layers.append(cors)
    return layers


class _UnreadBodies:
    """Reads and drops the rest of a body after an answer that did not wait for it.

    Many clients read the answer only when they have sent the whole body. If the connection were
    closed before, they would see a reset instead of the answer (RFC 9112, 9.6).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(headers := Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        # Such a client sends nothing before it is asked to (RFC 9110, 10.1.1).
        is_on_its_way = headers.get("expect", "").lower() != "100-continue"
        is_unread = True

        async def watched_receive() -> Message:
            nonlocal is_unread, is_on_its_way
            is_on_its_way = True
            message = await receive()
            is_unread = message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            if is_unread and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if not (is_last and is_unread and is_on_its_way):
                await send(message)
                return
            await send({**message, "more_body": True})  # the client has all of it now
            with suppress(TimeoutError):
                async with asyncio.timeout(_MAX_REST_S):
                    await _drop(receive)
            await send({"type": "http.response.body"})

        await self._app(scope, watched_receive, lingering_send)


async def _drop(receive: Receive) -> None:
    num_bytes = 0
    is_complete = False
    while not is_complete and num_bytes < _MAX_REST_BYTES:
        message = await receive()
        num_bytes += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class _RequestIds:
    """Adds `x-request-id` to every response: the client's own id, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(_REQUEST_ID, "")[:_MAX_REQUEST_ID]
        request_id = given if given.isprintable() and given else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
