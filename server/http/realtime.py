"""OpenAI's realtime API over WebSocket, for transcription: `/v1/realtime?intent=transcription`.

Source: OpenAI's reference of the realtime API. The client's audio comes as base64 in JSON.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...engine import Ended, InvalidOption, NotReady, TalkmillError
from ..auth import wait_if_failed
from ..call import CallOptions
from ..config import ServerConfig
from ..gateway import Gateway
from ..live import LiveCall
from ..status import ForbiddenOrigin, MalformedBody
from .errors import openai_error
from .realtime_config import Json, RealtimeConfig
from .realtime_events import RealtimeEvents, error_event, new_event

# A browser cannot set headers; OpenAI's own convention for its token among the sub-protocols.
_TOKEN_PREFIX = "openai-insecure-api-key."
_SUBPROTOCOL = "realtime"
_GOING_AWAY, _INTERNAL_ERROR, _POLICY = 1001, 1011, 1008
_MAX_REASON = 100  # bytes of the reason in a close frame: 123 fit
_QUERY = {"intent", "model", "token"}

_log = logging.getLogger(__name__)


class RealtimeEndpoint:
    """Answers each connection with one session."""

    def __init__(self, gateway: Gateway, config: ServerConfig) -> None:
        """Take the way to the engine, and the settings."""
        self._gateway = gateway
        self._origins = config.cors_origins
        self._idle_s = config.live_idle_s
        self._write_s = config.upload_timeout_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection."""
        socket = WebSocket(scope, receive, send)
        try:
            _check_origin(socket, self._origins)
            headers, token_protocols = _headers_of(socket)
            peer = "" if socket.client is None else socket.client.host
            with self._gateway.admit("http", headers, None, peer) as call:
                config = _config_of(socket)
                await self._gateway.ready(config.model, call)
                protocol = _SUBPROTOCOL if _SUBPROTOCOL in token_protocols else None
                await socket.accept(protocol)
                connection = _Connection(socket, self._gateway, call, self._idle_s, self._write_s)
                await connection.run(config)
        except WebSocketDisconnect:
            return
        except Exception as error:
            if not isinstance(error, TalkmillError):
                _log.exception("a realtime session failed")
            await wait_if_failed(error)
            await _refuse(socket, error)


class _Connection:
    """One accepted connection: reads the client's events, and tells it those of its session."""

    def __init__(
        self, socket: WebSocket, gateway: Gateway, call: CallOptions, idle_s: float, write_s: float
    ) -> None:
        self._socket = socket
        self._gateway = gateway
        self._call = call
        self._idle_s = idle_s
        self._write_s = write_s
        self._config = RealtimeConfig()
        self._live: LiveCall | None = None  # from the first audio on
        self._telling: asyncio.Task[Ended] | None = None
        self._events = RealtimeEvents(self._config)
        self._has_audio = False  # since the last commit
        self._handlers: dict[str, Callable[[Json], Any]] = {
            "session.update": self._update,
            "transcription_session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }

    async def run(self, config: RealtimeConfig) -> None:
        """Answer until the client goes or the session ends."""
        self._config = config
        await self._send(new_event("session.created", session=config.to_json()))
        try:
            with suppress(_SessionEnded):
                await self._listen()
            await self._close()
        finally:
            if self._live is not None:
                self._live.give_up()
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)

    async def _listen(self) -> None:
        """Take the client's events until the session has ended.

        Raises:
            WebSocketDisconnect: The client is gone.
            _SessionEnded: The session has ended or is about to; or nothing came for too long.
        """
        while True:
            receiving = asyncio.create_task(self._receive())
            waiting = {receiving} if self._telling is None else {receiving, self._telling}
            done, _ = await asyncio.wait(
                waiting, timeout=self._idle_s, return_when=asyncio.FIRST_COMPLETED
            )
            if receiving not in done:
                receiving.cancel()
                if not done and self._live is not None:
                    await self._live.close(self._idle_reason)
                raise _SessionEnded
            await self._handle(receiving.result())

    async def _receive(self) -> str:
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            raise WebSocketDisconnect
        return message.get("text") or ""

    async def _handle(self, text: str) -> None:
        event: Any = {}
        try:
            event = await asyncio.to_thread(_read, text)  # a megabyte takes milliseconds
            kind = event.get("type")
            if kind not in self._handlers:
                raise InvalidOption(f"type {kind!r} is none of {', '.join(self._handlers)}", "type")
            await self._handlers[kind](event)
        except (WebSocketDisconnect, _SessionEnded):
            raise
        except NotReady:
            if self._live is None:
                raise
            raise _SessionEnded from None  # or is about to be
        except TalkmillError as error:
            event_id = event.get("event_id")
            await self._send(error_event(error, event_id if isinstance(event_id, str) else None))

    async def _update(self, event: Json) -> None:
        config = self._config.updated(event.get("session"))
        self._gateway.models.check(config.model)
        if self._live is not None and config.to_json() != self._config.to_json():
            raise InvalidOption(
                "session: it cannot change after the first audio; connect anew", "session"
            )
        await self._gateway.check(config.options.transcribe, config.model, self._call)
        self._config = config
        kind = event["type"] + "d"
        extra = {"warnings": config.warnings} if config.warnings else {}
        await self._send(new_event(kind, session=config.to_json(), **extra))

    async def _append(self, event: Json) -> None:
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise MalformedBody("audio is not text", "audio")
        try:
            data = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise MalformedBody("audio is not base64", "audio") from None
        live = self._live or await self._open()
        self._has_audio = self._has_audio or bool(data)
        await live.feed(data)

    async def _commit(self, event: Json) -> None:
        if not self._has_audio or self._live is None:
            raise InvalidOption("nothing was appended since the last commit", "audio")
        self._has_audio = False
        if await self._live.commit() is None:
            for found in self._events.of_empty_commit():
                await self._send(found)

    async def _clear(self, event: Json) -> None:
        self._has_audio = False
        if self._live is not None:
            await self._live.clear()
        await self._send(new_event("input_audio_buffer.cleared"))

    async def _open(self) -> LiveCall:
        config = self._config
        live = self._live = await self._gateway.open_live(
            config.options, config.model, config.new_decoder(), self._call
        )
        self._events = RealtimeEvents(config)
        self._telling = asyncio.create_task(self._tell(live))
        return live

    async def _tell(self, live: LiveCall) -> Ended:
        """Tell the client each event of the session; return the last one."""
        async for event in live.events():
            for found in self._events.of(event):
                await self._send(found)
            if isinstance(event, Ended):
                return event
        raise AssertionError("no session ends without an event. This is a bug.")

    @property
    def _idle_reason(self) -> str:
        return f"no audio came for {self._idle_s:g} s"

    async def _close(self) -> None:
        """Close the connection once every event was told."""
        if self._telling is None:
            await self._socket.close(_GOING_AWAY, self._idle_reason)
            return
        ended = await self._telling
        if ended.error is not None:
            await self._send(error_event(ended.error))
        code = _GOING_AWAY if ended.error is None else _POLICY
        await self._socket.close(code, ended.reason.encode()[:_MAX_REASON].decode(errors="ignore"))

    async def _send(self, event: Json) -> None:
        try:
            async with asyncio.timeout(self._write_s):
                await self._socket.send_text(json.dumps(event, ensure_ascii=False))
        except (TimeoutError, RuntimeError, OSError):  # it does not read, or is gone
            raise WebSocketDisconnect from None


class _SessionEnded(Exception):
    """The session takes nothing more."""


def _read(text: str) -> Json:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedBody("the message is not JSON", "message") from None
    if not isinstance(event, dict):
        raise MalformedBody("the message is not a JSON object", "message")
    return event


def _headers_of(socket: WebSocket) -> tuple[dict[str, str], list[str]]:
    """Return a connection's headers, with its token wherever that is, and its sub-protocols."""
    headers = dict(socket.headers)
    protocols = list(socket.scope.get("subprotocols", []))
    named = [one.removeprefix(_TOKEN_PREFIX) for one in protocols if one.startswith(_TOKEN_PREFIX)]
    tokens = [*named, *socket.query_params.getlist("token")]
    if "authorization" not in headers and tokens:
        headers["authorization"] = f"Bearer {tokens[0]}"
    return headers, protocols


def _check_origin(socket: WebSocket, allowed: tuple[str, ...]) -> None:
    """Refuse a browser's page of another site: browsers let any page open a WebSocket.

    Raises:
        ForbiddenOrigin: The origin is neither the server's own nor allowed.
    """
    origin = socket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return
    if urlsplit(origin).netloc != socket.headers.get("host"):
        raise ForbiddenOrigin(f"origin {origin!r} is not one of cors_origins", "origin")


def _config_of(socket: WebSocket) -> RealtimeConfig:
    for name in socket.query_params.keys() - _QUERY:
        raise InvalidOption(f"{name} in the query is unknown", name)
    intent = socket.query_params.get("intent", "transcription")
    if intent != "transcription":
        raise InvalidOption(f"intent {intent!r} is not transcription", "intent")
    return RealtimeConfig(model=socket.query_params.get("model", ""))


async def _refuse(socket: WebSocket, error: Exception) -> None:
    """Answer a connection that is not accepted with a status, else with a last event."""
    try:
        if socket.application_state.name == "CONNECTING":
            response: JSONResponse = openai_error(error)
            await socket.send_denial_response(response)
            return
        await socket.send_text(json.dumps(error_event(error)))
        code = _POLICY if isinstance(error, TalkmillError) else _INTERNAL_ERROR
        await socket.close(code, str(error)[:_MAX_REASON])
    except (RuntimeError, WebSocketDisconnect):  # it is gone
        return
