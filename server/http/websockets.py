"""uvicorn's protocol for WebSockets with limits, and with a drain that lets sessions end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_MESSAGE_BYTES = 2**20  # 16 s of 16-bit samples at 24 kHz in base64


class RealtimeProtocol(WebSocketsSansIOProtocol):
    """One connection. `pause_s` is an attribute of a subclass: uvicorn makes the connections.

    Attributes:
        pause_s: Longest time for which a caller reads nothing of what he is sent.
    """

    pause_s: float

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """See uvicorn."""
        super().__init__(*arguments, **named)
        self._abort_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._keep()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Read no more either: each ping would add an answer to what the caller does not read."""
        super().pause_writing()
        self.transport.pause_reading()
        self._abort_later()

    def resume_writing(self) -> None:
        """Read on, unless a message is still to be taken."""
        super().resume_writing()
        self._keep()
        if not self.read_paused:
            self.transport.resume_reading()

    def shutdown(self) -> None:
        """Leave an open session to its endpoint: the drain of the engine ends it, after its words.

        uvicorn waits for it, until the server's grace is over.
        """
        if not self.handshake_complete:
            super().shutdown()

    async def receive(self) -> Any:
        """Return the next event; see `pause_writing`."""
        event = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return event

    async def send(self, message: Any) -> None:
        """Send an event; a whole refusal completes the handshake, which uvicorn would miss."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Run the application; what it sent last must be read in time."""
        await super().run_asgi()
        self._abort_later()

    def _abort_later(self) -> None:
        self._keep()
        if self in self.connections:
            self._abort_timer = self.loop.call_later(self.pause_s, self.transport.abort)

    def _keep(self) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None


def realtime(pause_s: float) -> type[asyncio.Protocol]:
    """Return the protocol of WebSockets, for uvicorn; see `RealtimeProtocol`."""
    return cast(type[asyncio.Protocol], type("Realtime", (RealtimeProtocol,), {"pause_s": pause_s}))
