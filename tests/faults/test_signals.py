"""Signals to a server whose model works, hangs or loads."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc

from fakes import PATIENCE_S, words
from faulty_server import HANG_WHILE_LOADING, HANGS
from processes import SERVE, server_process
from served import Call
from waiting import wait_until

from .conftest import SCRIPT, StartFaulty

Code = grpc.StatusCode


def test_a_drain_that_takes_too_long_ends_though_the_model_hangs(faulty: StartFaulty) -> None:
    with faulty(drain_timeout_s=0.1, workers_per_device=2) as server:
        call = server.call(HANGS)
        assert server.call(10).answer().text == words(10)  # came after it on the same connection
        server.process.send_signal(signal.SIGTERM)

        assert call.refusal().code == Code.UNAVAILABLE
        assert server.exit_code() == 0


def test_a_second_sigterm_ends_the_process_though_the_model_hangs(faulty: StartFaulty) -> None:
    with faulty(drain_timeout_s=3600, workers_per_device=2) as server:
        call = server.call(HANGS)
        assert server.call(10).answer().text == words(10)
        server.process.send_signal(signal.SIGTERM)
        wait_until_refused(server.call)
        server.process.send_signal(signal.SIGTERM)

        assert call.refusal().code == Code.UNAVAILABLE
        assert server.exit_code() == 1


def wait_until_refused(call: Callable[[int], Call]) -> None:
    wait_until(lambda: call(10).refusal().code == Code.UNAVAILABLE)


def test_a_second_sigterm_ends_the_process_though_the_event_loop_hangs(tmp_path: Path) -> None:
    code = (
        "import asyncio, itertools, sys\n"
        "from talkmill.server import ServerConfig, serve\n"
        "def announce(*ports):\n"
        "    print('ready', flush=True)\n"
        "    for _ in itertools.count(): pass\n"
        "config = ServerConfig(port=0, drain_timeout_s=3600)\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from fakes import loaded\n"
        "sys.exit(asyncio.run(serve(config, announce, model=loaded())))\n"
    )
    command = (sys.executable, "-c", code, str(SCRIPT.parent))
    with server_process(tmp_path / "log", command=command) as (process, _):

        def has_ended() -> bool:  # signals that come too close together arrive as one
            process.send_signal(signal.SIGTERM)
            return process.poll() is not None

        wait_until(has_ended)

        assert process.returncode == 1


def test_a_signal_while_the_model_loads_ends_the_process(tmp_path: Path) -> None:
    command = (sys.executable, str(SCRIPT), HANG_WHILE_LOADING)
    with server_process(tmp_path / "log", command=command) as (process, _):
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 0


def test_a_process_that_was_stopped_goes_on(faulty: StartFaulty) -> None:
    with faulty(stuck_after_s=1) as server:
        server.process.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{server.process.pid}/stat")
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
        call = server.call(10)
        server.process.send_signal(signal.SIGCONT)

        assert call.answer().text == words(10)


def test_sighup_reloads_and_does_not_end_the_server(faulty: StartFaulty) -> None:
    with faulty() as server:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "tokens and certificates are read again" in server.log.read_text())

        assert server.call(10).answer().text == words(10)


def test_a_port_in_use_ends_the_start_with_a_clear_message(faulty: StartFaulty) -> None:
    with faulty() as server:
        port = server.port
        command = [*SERVE[:-1], str(port)]

        ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S)

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr
