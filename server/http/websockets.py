"""uvicorn's protocol for WebSockets with limits, and with a drain that lets sessions end."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_MESSAGE_BYTES = 2**20  # 16 s of 16-bit samples at 24 kHz in base64


class RealtimeProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def shutdown(self) -> None:
        """Leave an open session to its endpoint: the drain of the engine ends it, after its words.

        uvicorn waits for it, until the server's grace is over.
        """
        if not self.handshake_complete:
            super().shutdown()
