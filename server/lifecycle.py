"""The life of a server: listen for gRPC and HTTP, load, serve, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from ..engine import Engine, EngineFailed, LoadedModel
from .auth import Access
from .certificates import Certificates
from .config import ServerConfig
from .gateway import Gateway
from .grpc_listener import GrpcListener
from .http.app import make_app
from .http.listener import HttpListener
from .metrics import Metrics
from .reloading import Reloader

FLUSH_S = 1.0  # time for answers to reach their callers
STOP_S = 2.0  # time for batches that nobody waits for any more
HURRY_S = 0.2  # the same times after a second request to stop

_log = logging.getLogger(__name__)


class Server:
    """One engine behind a gRPC port and, if configured, an HTTP port. Belongs to one event loop.

    Attributes:
        engine: The engine.
        port: The port of gRPC, once it listens.
        http_port: The port of HTTP; None without it.
        has_ended: Whether it has stopped, and every thread of the engine with it.
    """

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
        self.has_ended = False
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._failure: EngineFailed | None = None
        self._cut = asyncio.Event()  # the drain must end now
        self._is_cut_short = False  # by a second request to stop
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

    def request_stop(self) -> None:
        """Make `run_until_stopped` drain; a second call refuses what is still open."""
        if self._stopping.is_set():
            _log.warning("asked to stop again: open calls are refused now")
            self._is_cut_short = True
            self._cut.set()
        self._stopping.set()

    def reload(self) -> None:
        """Read tokens and certificates again; those that are not valid stay as they are."""
        try:
            self._reloader.reload()
        except Exception:  # a bug of ours must not end the server
            _log.exception("not reloaded, the old content stays")
        else:
            _log.info("tokens and certificates are read again, where the settings name any")

    async def wait_for_stop(self) -> None:
        """Wait until `request_stop` or a failure of the engine."""
        await self._stopping.wait()

    async def run_until_stopped(self) -> int:
        """Serve until `request_stop` or a failure of the engine; return the exit code.

        It is 1 if the engine failed, or if calls were cut off by a second `request_stop`.
        """
        await self._stopping.wait()
        await self.drain()
        return 1 if self._failure or self._is_cut_short else 0

    async def drain(self) -> None:
        """Report NOT_SERVING, admit no more calls, finish the admitted ones, and stop.

        After a failure of the engine, or `drain_timeout_s`, what is still open is refused.
        """
        # Not cancelled below: that would cancel the future of the engine.
        idle = asyncio.wrap_future(await self._gateway.drain())
        await self._grpc.report_shutdown()
        limit_s = self._config.drain_timeout_s
        stopping = asyncio.gather(*self._stop_listeners(limit_s + FLUSH_S))
        cut = asyncio.create_task(self._cut.wait())
        waiting: list[asyncio.Future[Any]] = [idle, stopping, cut]
        await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if self._failure:  # requests that it failed are answered first, each with its own error
            await asyncio.wait({idle}, timeout=FLUSH_S)
        self._gateway.refuse_the_rest(f"failed: {self._failure}" if self._failure else "stopped")
        # Calls that are still open have their answer, or watch the health service.
        await asyncio.gather(*self._stop_listeners(HURRY_S if self._is_cut_short else FLUSH_S))
        stats = self.engine.stats
        # Nobody waits for a batch that still runs; a thread that hangs ends with the process.
        stop_s = HURRY_S if self._failure or self._is_cut_short else STOP_S
        self.has_ended = await asyncio.to_thread(self.engine.close, 0, stop_s)
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

    def _failed(self, error: EngineFailed) -> None:
        """Take a failure of the engine, from one of its threads."""
        _log.critical("the engine failed, and the server stops: %s", error)
        self._failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped already
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._loop.call_soon_threadsafe(self._cut.set)


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
