"""OpenAI's realtime API over WebSocket, for transcription: `/v1/realtime?intent=transcription`.

Source: OpenAI's reference of the realtime API. The client's audio comes as base64 in JSON.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ...engine import Cancelled, CheckedLive, Ended, InvalidOption, NotReady, TalkmillError
from ..auth import wait_if_failed
from ..call import CallOptions
from ..config import ServerConfig
from ..gateway import Gateway
from ..live import LiveCall
from ..status import MalformedBody
from .errors import openai_details, openai_error
from .realtime_config import FIELDS, Json, RealtimeConfig
from .realtime_events import RealtimeEvents, error_event, new_event
from .realtime_handshake import check_origin, config_of, headers_of, subprotocol_of

_NORMAL, _GOING_AWAY, _POLICY, _INTERNAL_ERROR = 1000, 1001, 1008, 1011
_MAX_REASON = 123  # bytes of the reason in a close frame

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
            headers = headers_of(socket)
            peer = "" if socket.client is None else socket.client.host
            with self._gateway.admit("http", headers, None, peer) as call:
                check_origin(socket, self._origins)
                config = config_of(socket)
                await self._gateway.ready(config.model, call)
                await socket.accept(subprotocol_of(socket))
                connection = _Connection(socket, self._gateway, call, self._idle_s, self._write_s)
                await connection.run(config)
        except Cancelled:  # the client is gone
            return
        except Exception as error:
            if not isinstance(error, TalkmillError):
                _log.exception("a realtime session failed")
            await wait_if_failed(error)
            await _refuse(socket, error, self._write_s)


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
        self._checked: CheckedLive | None = None  # the same, once it was asked for
        self._live: LiveCall | None = None  # from the first audio on
        self._telling: asyncio.Task[Ended] | None = None
        self._events = RealtimeEvents(self._config)
        self._has_audio = False  # since the last commit
        self._handlers: dict[str, Callable[[Json], Awaitable[None]]] = {
            "session.update": self._update,
            "transcription_session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }

    async def run(self, config: RealtimeConfig) -> None:
        """Answer until the client goes or the session ends.

        Raises:
            Cancelled: The client is gone, without a word or while it was told something.
            TalkmillError: The session ended with an error, which the client is to be told.
        """
        self._config = config
        await self._send(new_event("session.created", session=config.to_json()))
        try:
            reason = await self._listen()
            if reason is not None:
                await self._close(reason)
        finally:
            if self._live is not None:
                await self._live.give_up()
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)

    async def _listen(self) -> str | None:
        """Take the client's events; return why no more are taken, or None if it has closed.

        Raises:
            Cancelled: The client is gone without having closed.
        """
        draining = asyncio.create_task(self._gateway.draining.wait())
        try:
            while True:
                # A session hears of the drain itself, and then ends.
                ending: asyncio.Task[Any] = self._telling or draining
                receiving = asyncio.create_task(self._socket.receive())
                done, _ = await asyncio.wait(
                    {receiving, ending}, timeout=self._idle_s, return_when=asyncio.FIRST_COMPLETED
                )
                if receiving not in done or ending in done:
                    receiving.cancel()
                    return "the engine is draining" if done else self._idle_reason
                message = receiving.result()
                if message["type"] != "websocket.receive":
                    if message.get("code") in (_NORMAL, _GOING_AWAY):
                        return None
                    raise Cancelled("the client is gone")
                if not await self._handle(message.get("text") or ""):
                    return ""
        finally:
            draining.cancel()

    async def _handle(self, text: str) -> bool:
        """Do what an event asks for; return whether the session goes on."""
        event: Any = {}
        try:
            event = await asyncio.to_thread(_read, text)  # a megabyte takes milliseconds
            kind = event.get("type")
            if not isinstance(kind, str) or kind not in self._handlers:
                raise InvalidOption(f"type {kind!r} is none of {', '.join(self._handlers)}", "type")
            await self._handlers[kind](event)
        except Cancelled:
            raise
        except TalkmillError as error:
            if self._live is not None and not self._live.session.is_open:
                return False  # its last event says why
            if isinstance(error, NotReady):
                raise
            event_id = event.get("event_id")
            await self._send(error_event(error, event_id if isinstance(event_id, str) else None))
        return True

    async def _update(self, event: Json) -> None:
        config = self._config.updated(event.get("session"))
        self._gateway.models.check(config.model)
        if self._live is not None:
            for name in ("encoding", "vad"):
                if getattr(config, name) != getattr(self._config, name):
                    raise InvalidOption(
                        f"{FIELDS[name]} cannot change after the first audio; connect anew",
                        FIELDS[name],
                    )
        checked = await self._gateway.check_live(config.options, config.model, self._call)
        if self._live is not None:
            self._live.session.update(checked)
        self._config = self._events.config = config
        self._checked = checked
        warnings = [*config.warnings, *checked.final.warnings]
        extra = {"warnings": warnings} if warnings else {}
        kind = event["type"] + "d"
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

    async def _commit(self, _: Json) -> None:
        if not self._has_audio or self._live is None:
            raise InvalidOption("nothing was appended since the last commit", "audio")
        self._has_audio = False
        await self._live.commit()

    async def _clear(self, _: Json) -> None:
        self._has_audio = False
        if self._live is None:
            await self._send(new_event("input_audio_buffer.cleared"))
        else:
            await self._live.clear()

    async def _open(self) -> LiveCall:
        config = self._config
        if self._checked is None:
            self._checked = await self._gateway.check_live(config.options, config.model, self._call)
        live = LiveCall(self._gateway, self._checked, config.new_decoder(), self._call)
        self._live, self._events = live, RealtimeEvents(config)
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

    async def _close(self, reason: str) -> None:
        """Close the connection once every event was told.

        Raises:
            TalkmillError: The session ended with this error.
        """
        if self._live is not None and self._telling is not None:
            await self._live.close(reason)
            ended = await self._telling
            if ended.error is not None:
                raise ended.error
            reason = ended.reason
        await _close(self._socket, _GOING_AWAY, reason, self._write_s)

    async def _send(self, event: Json) -> None:
        await _send(self._socket, event, self._write_s)


def _read(text: str) -> Json:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedBody("the message is not JSON", "message") from None
    if not isinstance(event, dict):
        raise MalformedBody("the message is not a JSON object", "message")
    if "\\u" in text and not _is_text(json.dumps(event, ensure_ascii=False)):
        raise MalformedBody("the message has half of a character: \\ud800 to \\udfff", "message")
    return event


def _is_text(text: str) -> bool:
    """Return whether a text can be written; JSON allows halves of characters (surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _refuse(socket: WebSocket, error: Exception, write_s: float) -> None:
    """Answer a connection that is not accepted with a status, else with a last event."""
    try:
        if socket.application_state.name == "CONNECTING":
            async with asyncio.timeout(write_s):
                await socket.send_denial_response(openai_error(error))
            return
        await _send(socket, error_event(error), write_s)
        code = _POLICY if isinstance(error, TalkmillError) else _INTERNAL_ERROR
        await _close(socket, code, openai_details(error)["message"], write_s)
    except (Cancelled, TimeoutError, RuntimeError, WebSocketDisconnect):  # it is gone
        return


async def _send(socket: WebSocket, event: Json, write_s: float) -> None:
    """Send an event.

    Raises:
        Cancelled: The client does not read, or is gone.
    """
    try:
        async with asyncio.timeout(write_s):
            await socket.send_text(json.dumps(event, ensure_ascii=False))
    except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
        raise Cancelled("the client does not read, or is gone") from None


async def _close(socket: WebSocket, code: int, reason: str, write_s: float) -> None:
    """Close a connection; see `_send`."""
    try:
        async with asyncio.timeout(write_s):
            await socket.close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))
    except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
        raise Cancelled("the client does not read, or is gone") from None
