"""The server as a process of its own: its signals, and an end that nothing holds up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from ..engine import LoadedModel
from .config import ServerConfig
from .file_limit import raise_file_limit
from .lifecycle import Server

_STOP_NOW_S = 0.8  # from a second signal to the end of the process, at most
_AFTER_DRAIN_S = 10.0  # from the end of the drain's time to that of the process, at most
_LINGER_S = 2.0  # for what is left once the server has stopped
_FLUSH_S = 0.1  # for the log: whoever reads it may have stopped reading

_log = logging.getLogger(__name__)


async def serve(
    config: ServerConfig,
    on_ready: Callable[[int, int | None], None],
    *,
    model: LoadedModel | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; return the process's exit code.

    For a process that does nothing else: a second signal ends it within a second, whatever its
    threads do, and it ends two seconds after the return at the latest. SIGHUP reloads.

    Args:
        config: The settings.
        on_ready: Called with the ports of gRPC and HTTP once the server is serving.
        model: Used instead of loading the one that `config` names.

    Raises:
        ConfigError: The settings cannot work on this machine.
        OSError: The port is taken.
    """
    raise_file_limit()
    server = Server(config, model=model)
    with _signals_handled(server, config.drain_timeout_s):
        return await _serve(server, on_ready)


async def _serve(server: Server, on_ready: Callable[[int, int | None], None]) -> int:
    starting = asyncio.create_task(server.start())
    stopping = asyncio.create_task(server.wait_for_stop())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        _log.info("stopped while the model was loading")
        end_process(0)  # nothing ends the thread that loads
    stopping.cancel()
    starting.result()
    on_ready(server.port, server.http_port)
    code = await server.run_until_stopped()
    if not server.has_ended:
        _log.warning("a call of the model still runs; the process ends without it")
        end_process(code)
    _end_process_in(_LINGER_S, code)
    return code


def end_process(code: int) -> None:
    """End the process now, with its log written; no thread can hold it up."""
    # On a thread: a log that nobody reads blocks.
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(_FLUSH_S)
    os._exit(code)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()


def _end_process_in(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, end_process, args=(code,))
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def _signals_handled(server: Server, drain_timeout_s: float) -> Iterator[None]:
    # Not the loop's own handlers: those wait for the loop, which may be what hangs.
    loop = asyncio.get_running_loop()
    num_stops = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal num_stops
        num_stops += 1
        limit_s = drain_timeout_s + _AFTER_DRAIN_S if num_stops == 1 else _STOP_NOW_S
        _end_process_in(limit_s, 1)
        loop.call_soon_threadsafe(server.request_stop)

    def reload(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(server.reload)

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
