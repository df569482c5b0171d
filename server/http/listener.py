"""Runs uvicorn inside the server's event loop; the server opens the port and stops uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 1024


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn must not handle signals: `lifecycle` stops gRPC and HTTP together


class HttpListener:
    """Serves an ASGI application on one port. Belongs to the event loop that starts it."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """Open the port; requests are answered after `start`.

        Args:
            app: The application.
            host: The address to listen on; an IPv6 address may be in brackets.
            port: The port; 0 picks a free one.
            tls: The context of each connection; None for plain HTTP.

        Raises:
            OSError: The address is not available or the port is taken.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            bound = socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error}") from error
        # A socket made from the descriptor has its protocol set to TCP. Only then does asyncio set
        # TCP_NODELAY; without it, responses wait 40 ms for the client's acknowledgement.
        self._socket = socket.socket(fileno=bound.detach())
        self.port: int = self._socket.getsockname()[1]
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                ssl_context_factory=None if tls is None else lambda config, default: tls,
            )
        )
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start answering requests."""
        self._running = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self, grace_s: float) -> None:
        """Accept no new connection, wait up to `grace_s` for requests in progress, then close."""
        self._server.should_exit = True
        if self._running is None:
            self._socket.close()
            return
        _, unfinished = await asyncio.wait({self._running}, timeout=grace_s)
        if unfinished:
            self._server.force_exit = True  # cancelling the task would leave sockets open
            await asyncio.wait({self._running})
