"""Uvicorn inside our own event loop: we open the port, and we say when to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 1024


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the process's, and we are not the only door


class HttpDoor:
    """One port that an ASGI application answers on. Belongs to the event loop that starts it."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        """Open the port; `start` answers.

        Raises:
            OSError: The port is taken.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            bound = socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error}") from error
        # Made anew, it knows that it speaks TCP: asyncio sends without delay only then, and answers
        # would wait 40 ms for the caller's acknowledgement.
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
            )
        )
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Answer from now on."""
        self._running = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self, grace_s: float) -> None:
        """Take no new connection, finish the answers under way for at most `grace_s`, close."""
        self._server.should_exit = True
        if self._running is None:
            self._socket.close()
            return
        _, unfinished = await asyncio.wait({self._running}, timeout=grace_s)
        if unfinished:
            self._server.force_exit = True  # cancelled, it would leave its sockets open
            await asyncio.wait({self._running})
