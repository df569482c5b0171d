"""The life of a server: listen for gRPC and HTTP, load, serve, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from ..engine import DeviceLost, Engine, LoadedModel
from .auth import Access
from .certificates import Certificates
from .config import ServerConfig
from .gateway import Gateway
from .grpc_listener import GrpcListener
from .http.app import make_app
from .http.listener import HttpListener, raise_file_limit
from .metrics import Metrics
from .reloading import Reloader

FLUSH_S = 1.0  # time for answers to reach their callers

_log = logging.getLogger(__name__)


class Server:
    """One engine behind a gRPC port and, if configured, an HTTP port. Belongs to one event loop."""

    def __init__(self, config: ServerConfig, *, model: LoadedModel | None = None) -> None:
        """Take the settings; `start` listens and loads.

        Args:
            config: The settings.
            model: Used instead of loading the one that `config` names.

        Raises:
            ConfigError: The tokens or certificates cannot be used; see `Access`, `Certificates`.
        """
        self._config = config
        access = Access(config)
        self._certificates = Certificates.from_config(config)
        parts = (access,) if self._certificates is None else (access, self._certificates)
        self._reloader = Reloader(parts)
        self.engine = Engine(config, model=model, on_failure=self._failed)
        self.port = 0
        self.http_port: int | None = None
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._device_lost = False
        self._hurry: asyncio.Future[list[None]] | None = None
        self._gateway = Gateway(self.engine, access, Metrics(self.engine), config)
        self._grpc: GrpcListener  # from `start` on
        self._http: HttpListener | None = None
        self._watching: asyncio.Task[None]

    async def start(self) -> None:
        """Listen at once, load, and only then report SERVING.

        Raises:
            ConfigError: The settings cannot work on this machine.
            OSError: The port is taken.
        """
        tls = self._certificates
        credentials = None if tls is None else tls.grpc_credentials()
        self._grpc = GrpcListener(self._gateway, self._config, credentials)
        self.port = self._grpc.port
        if self._config.http_port is not None:
            app = make_app(self._gateway, self._config)
            context = None if tls is None else tls.http_context()
            self._http = HttpListener(app, self._config, context)
            self.http_port = self._http.port
        self._watching = asyncio.create_task(self._watch())
        await self._grpc.start()
        if self._http is not None:
            self._http.start()
        try:
            await asyncio.to_thread(self.engine.start)
        except BaseException:
            # Left running, they can keep the process from ending.
            await asyncio.gather(*self._stop_listeners(0))
            await self._end_watch()
            raise
        finally:
            self._gateway.settled()
        await self._grpc.set_serving(True)

    def reload(self) -> None:
        """Read tokens and certificates again; those that are not valid stay as they are."""
        self._reloader.reload()

    def request_stop(self) -> None:
        """Make `run_until_stopped` drain; a second call cancels what is still open."""
        if self._stopping.is_set():
            _log.warning("asked to stop again: open calls are cancelled now")
            self._hurry = asyncio.gather(*self._stop_listeners(0))
        self._stopping.set()

    async def run_until_stopped(self) -> int:
        """Serve until `request_stop` or a lost device; return the exit code."""
        await self._stopping.wait()
        await self.drain()
        return 1 if self._device_lost else 0

    async def drain(self) -> None:
        """Report NOT_SERVING, admit no more calls, finish the admitted ones, and stop."""
        # Not cancelled below: that would cancel the future of the engine.
        idle = asyncio.wrap_future(self._gateway.drain())
        await self._grpc.report_shutdown()
        stopping = asyncio.gather(*self._stop_listeners(self._config.drain_timeout_s))
        waiting: list[asyncio.Future[Any]] = [idle, stopping]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        # Calls that are still open have their answer, or watch the health service.
        await asyncio.gather(*self._stop_listeners(FLUSH_S))
        stats = self.engine.stats
        if not self._device_lost:  # then its threads may never return
            await asyncio.to_thread(self.engine.close, 0)
        await asyncio.wait({idle}, timeout=FLUSH_S)  # requests that failed just now are answered
        await self._end_watch()
        _log.info(
            "stopped after %d chunks in %d batches (%.1f on average)",
            stats.num_chunks,
            stats.num_batches,
            stats.mean_batch_size,
        )

    async def _watch(self) -> None:
        await asyncio.gather(self._gateway.metrics.watch_loop(), self._reloader.watch())

    async def _end_watch(self) -> None:
        self._watching.cancel()
        await asyncio.wait({self._watching})

    def _stop_listeners(self, grace_s: float) -> list[Coroutine[Any, Any, None]]:
        listeners = [self._grpc.stop(grace_s)]
        return listeners if self._http is None else [*listeners, self._http.stop(grace_s)]

    def _failed(self, error: DeviceLost) -> None:
        self._device_lost = True
        self._loop.call_soon_threadsafe(self._stopping.set)


async def serve(config: ServerConfig, on_ready: Callable[[int, int | None], None]) -> int:
    """Serve until SIGTERM or SIGINT; return the process's exit code.

    Args:
        config: The settings.
        on_ready: Called with the ports of gRPC and HTTP once the server is serving.

    Raises:
        ConfigError: The settings cannot work on this machine.
        OSError: The port is taken.
    """
    raise_file_limit()
    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.request_stop)
    await server.start()
    on_ready(server.port, server.http_port)
    return await server.run_until_stopped()


class BackgroundServer:
    """A server on its own thread, for the demo and the tests; a context manager."""

    def __init__(self, config: ServerConfig, *, model: LoadedModel | None = None) -> None:
        """Take what `Server` takes."""
        self._config = config
        self._model = model
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="talkmill-server")
        self.server: Server

    def __enter__(self) -> BackgroundServer:
        """Start, and wait until it serves."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain and stop."""
        self.drain()
        self._end_loop()

    def drain(self) -> None:
        """Finish the admitted calls and stop serving; see `Server.drain`."""
        asyncio.run_coroutine_threadsafe(self.server.drain(), self._loop).result()

    @property
    def address(self) -> str:
        """HOST:PORT to connect to."""
        return self._config.address(self.server.port)

    @property
    def http_address(self) -> str:
        """The base of its HTTP addresses."""
        scheme = "http" if self._config.tls_cert is None else "https"
        return f"{scheme}://{self._config.address(self.server.http_port or 0)}"

    async def _start(self) -> None:
        self.server = Server(self._config, model=self._model)
        await self.server.start()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
