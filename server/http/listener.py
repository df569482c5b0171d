"""Runs uvicorn inside the server's event loop; the server opens the port and stops uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from ..config import ServerConfig
from ..file_limit import file_limit
from .protocol import Limits, limited
from .websockets import MAX_MESSAGE_BYTES, realtime

_BACKLOG = 1024
_MAX_FILES = 2**16  # where the system sets no limit


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn must not handle signals: `lifecycle` stops gRPC and HTTP together


class HttpListener:
    """Serves an ASGI application on one port. Belongs to the event loop that starts it."""

    def __init__(
        self, app: ASGIApp, config: ServerConfig, tls: ssl.SSLContext | None = None
    ) -> None:
        """Open the port; requests are answered after `start`.

        Args:
            app: The application.
            config: The settings; `http_port` is set.
            tls: The context of each connection; None for plain HTTP.

        Raises:
            OSError: The address is not available or the port is taken.
        """
        host, port = config.host, config.http_port
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
                http=limited(_limits(config)),
                lifespan="off",
                ws=realtime(config.upload_timeout_s),
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_ping_interval=None,  # a session that is sent nothing ends by itself
                ws_per_message_deflate=False,  # a kilobyte can become a megabyte
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


def _limits(config: ServerConfig) -> Limits:
    return Limits(
        max_connections=config.max_connections or max(1, file_limit(_MAX_FILES) // 3),
        idle_s=config.idle_timeout_s,
        pause_s=config.upload_timeout_s,
    )
