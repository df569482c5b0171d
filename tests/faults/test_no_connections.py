"""A server opens no connection of its own, and leaves no id of the machine behind."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from fakes import PATIENCE_S
from no_connections import CALLS
from processes import SERVE, server_process
from served import wire_options
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc

SCRIPT = str(Path(__file__).parents[1] / "no_connections.py")
WATCHED = (sys.executable, SCRIPT)

pytestmark = pytest.mark.skipif(
    platform.machine() not in CALLS, reason="its system calls have other numbers"
)


def test_a_server_opens_no_connection_and_writes_nothing_but_its_cache(
    tmp_path: Path, sample: bytes
) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    variables = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(temporary),
    }
    command = (*WATCHED, *SERVE)
    with (
        server_process(tmp_path / "log", command=command, **variables) as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        request = pb.TranscribeRequest(audio=sample, options=wire_options(vad=pb.VAD_MODE_ON))
        answer = pb_grpc.TranscriptionStub(channel).Transcribe(request, timeout=PATIENCE_S)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
    assert answer.text
    assert [path.name for path in home.iterdir()] in ([], [".cache"])
    assert {path.name for path in home.glob(".cache/*")} <= {"talkmill"}
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('example.org', 443)",
    ],
)
def test_a_process_that_connects_is_noticed(act: str) -> None:
    ended = subprocess.run([*WATCHED, sys.executable, "-c", act], timeout=PATIENCE_S, check=False)

    assert ended.returncode == -signal.SIGSYS
