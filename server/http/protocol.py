"""uvicorn's protocol with limits: on connections, on silence, and on work per turn of the loop."""

from __future__ import annotations

import asyncio
import http
import json
from dataclasses import dataclass, field
from typing import Any, cast

import h11
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

_MAX_HEAD_BYTES = 2**15  # of a request line with its headers
_EVENTS_PER_TURN = 256  # parsed in one go: some milliseconds; a chunk of one byte is an event
_NUM_SPARE = 64  # connections over the limit that are told so; others are closed at once
_LINGER_S = 2.0  # for a caller that was turned away to read why
_MIN_IDLE_S = 1.0  # a younger connection may have its request on the way
_MAX_TEXT = 200  # characters of a message, which may quote a header
_PROBE_S = 0.05  # before the second look at a caller who has closed his side; doubled each time


@dataclass
class Limits:
    """The limits of all connections of one listener, and which of them have no request.

    Attributes:
        max_connections: Most connections; further ones take the place of an idle one, or get 503.
        idle_s: Longest time without a request whose head is complete.
        pause_s: Longest time for which a caller reads nothing of an answer.
        idle: The connections without a request, since when each; the longest idle is first.
    """

    max_connections: int
    idle_s: float
    pause_s: float
    idle: dict[LimitedProtocol, float] = field(default_factory=dict)


class LimitedProtocol(H11Protocol):
    """One connection. `limits` is an attribute of a subclass: uvicorn makes the connections."""

    limits: Limits
    conn: _Turns
    flow: _Flow

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """See uvicorn."""
        super().__init__(*arguments, **named)
        self.conn = _Turns(h11.SERVER, _MAX_HEAD_BYTES)
        self._timer: asyncio.TimerHandle | None = None  # closes the connection
        self._is_deaf = False  # what still arrives is dropped

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        excess = len(self.connections) - self.limits.max_connections
        if excess > _NUM_SPARE:
            transport.abort()
        elif excess > 0 and not self._close_longest_idle():
            limit = self.limits.max_connections
            self._turn_away(503, f"over the limit of {limit} connections")
        else:
            self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, in pieces while it is a head: h11 checks the length after parsing."""
        start = 0
        while start < len(data) and not self._is_deaf:
            end = len(data) if self._is_answering else start + _MAX_HEAD_BYTES
            super().data_received(data[start:end])
            start = end
        if self._is_answering and self in self.limits.idle:
            self._stop_waiting()
            if self.flow.write_paused:  # the caller has not read the last answer yet
                self._close_after(self.limits.pause_s)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Go on if the caller has closed his side only, after a whole request.

        A caller who is gone looks the same until something is sent. Before the answer that is an
        interim response (RFC 9110, 15.2), which HTTP/1.0 and a TLS connection do not allow here.
        """
        may_be_there = (
            self._is_answering
            and not self._is_deaf
            and not self.cycle.more_body
            and not self.cycle.response_started
            and self.scope["http_version"] == "1.1"
            and self.scheme == "http"
        )
        if may_be_there:
            self.cycle.keep_alive = False
            self._probe(_PROBE_S)
        return may_be_there

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to a protocol with limits of its own."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def handle_events(self) -> None:
        """Handle what was parsed; the rest at the next turn of the loop if it is too much."""
        self.conn.num_left = _EVENTS_PER_TURN
        super().handle_events()
        if self.conn.num_left == 0 and not self._is_deaf:
            self.flow.pause_reading()
            self.flow.is_held = True
            self.loop.call_soon(self._handle_more)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the connection to be closed."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # ours ends it
        if self.transport.is_closing():  # it waits for a caller who may not read
            self._close_after(self.limits.pause_s)
        elif not self._is_answering:
            self._wait_for_request()

    def pause_writing(self) -> None:
        """Close the connection if the caller does not read on in time."""
        super().pause_writing()
        self._close_after(self.limits.pause_s)

    def resume_writing(self) -> None:
        """Let the caller read on; once the answer is complete, another limit holds."""
        super().resume_writing()
        if self._is_answering:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Turn a malformed request away."""
        error = self.conn.error
        self._turn_away(error.error_status_hint if error else 400, str(error or msg))

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _handle_more(self) -> None:
        self.flow.is_held = False
        if self.transport.is_closing():
            return
        self.handle_events()
        if self.cycle is None or len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()

    def _probe(self, wait_s: float) -> None:
        """Send an interim response, again and again: a caller who is gone breaks the connection."""
        if self._is_answering and not self.cycle.response_started and not self.cycle.disconnected:
            interim = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            self.transport.write(self.conn.send(interim))
            self.loop.call_later(wait_s, self._probe, 2 * wait_s)

    def _wait_for_request(self) -> None:
        self._close_after(self.limits.idle_s)
        self.limits.idle[self] = self.loop.time()

    def _close_after(self, wait_s: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(wait_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        self.limits.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_longest_idle(self) -> bool:
        """Close the connection that has been idle for longest; return whether there is one."""
        other, since_s = next(iter(self.limits.idle.items()), (self, self.loop.time()))
        if self.loop.time() - since_s < _MIN_IDLE_S:
            return False
        other._stop_waiting()
        other.transport.abort()
        return True

    def _turn_away(self, status: int, message: str) -> None:
        """Answer without the application, and close once the caller has had time to read it."""
        self._is_deaf = True
        if self._is_answering:
            is_too_late = self.cycle.response_started
            self.cycle.disconnected = True  # what it sends is dropped
            self.cycle.message_event.set()
            if is_too_late:
                self.transport.abort()
                return
        content = json.dumps({"error": message[:_MAX_TEXT]}).encode()
        retry = "retry-after: 1\r\n" if status == 503 else ""
        head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n{retry}"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_after(_LINGER_S)


class _Flow(FlowControl):
    """Does not read on while the protocol still has events to handle."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class _Turns(h11.Connection):
    """Gives a limited number of events, then claims that it needs data.

    Attributes:
        num_left: Events until then.
        error: Why the request is malformed.
    """

    num_left = _EVENTS_PER_TURN
    error: h11.RemoteProtocolError | None = None

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.num_left == 0:
            return h11.NEED_DATA
        self.num_left -= 1
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                _check_framing(event)
        except h11.RemoteProtocolError as error:
            self.error = error
            raise
        return event


def _check_framing(request: h11.Request) -> None:
    """Refuse a request that proxies could take for two (RFC 9112, 6.1).

    Raises:
        RemoteProtocolError: It has both a length and a transfer coding.
    """
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise h11.RemoteProtocolError("a request with content-length and transfer-encoding")


def limited(limits: Limits) -> type[asyncio.Protocol]:
    """Return the protocol of connections that share these limits, for uvicorn."""
    return cast(type[asyncio.Protocol], type("Limited", (LimitedProtocol,), {"limits": limits}))
