"""Servers whose model fails as it is told, as processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes import PATIENCE_S, tones_file
from processes import server_process
from served import Call, wire_options
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc

SCRIPT = Path(__file__).parents[1] / "faulty_server.py"


@dataclass(frozen=True)
class FaultyServer:
    """A server process with a `FaultyModel`, and a connection to it."""

    process: subprocess.Popen[str]
    port: int
    channel: grpc.Channel
    log: Path

    @property
    def stub(self) -> pb_grpc.TranscriptionStub:
        return pb_grpc.TranscriptionStub(self.channel)

    def call(self, *bands: int) -> Call:
        """Send audio in which the model hears these bands."""
        request = pb.TranscribeRequest(audio=tones_file(*bands), options=wire_options())
        rpc = self.stub.Transcribe.future(request, timeout=2 * PATIENCE_S)
        return Call(rpc, rpc.result)

    def watch(self) -> Iterator[health_pb2.HealthCheckResponse]:
        """Yield the health as it changes."""
        request = health_pb2.HealthCheckRequest()
        statuses: Iterator[health_pb2.HealthCheckResponse] = health_pb2_grpc.HealthStub(
            self.channel
        ).Watch(request, timeout=2 * PATIENCE_S)
        return statuses

    def exit_code(self) -> int:
        """Wait until the process has ended."""
        return self.process.wait(PATIENCE_S)


StartFaulty = Callable[..., AbstractContextManager[FaultyServer]]


@pytest.fixture
def faulty(tmp_path: Path) -> StartFaulty:
    """Starts a server process with a `FaultyModel` and the settings given."""

    @contextlib.contextmanager
    def start(**settings: object) -> Iterator[FaultyServer]:
        log = tmp_path / "log"
        pairs = [f"{name}={value}" for name, value in settings.items()]
        command = (sys.executable, str(SCRIPT))
        with (
            server_process(log, *pairs, command=command) as (process, address),
            grpc.insecure_channel(address) as channel,
        ):
            yield FaultyServer(process, int(address.rpartition(":")[2]), channel, log)

    return start
