"""A real server on a free port of this machine, a fake model in it, and ways to talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Semaphore
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from fakes import PATIENCE_S, FakeModel, heard, loaded
from talkmill.engine import LoadedModel
from talkmill.engine.types import Features
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, ServerConfig

Metadata = tuple[tuple[str, str], ...]
"""Names and values that a call carries beside its message."""

PIECE_BYTES = 5_000  # of a streamed upload: several messages for the smallest file


class Refusal(NamedTuple):
    """How a call failed: its code, and the field that its `BadRequest` names."""

    code: grpc.StatusCode
    field: str | None = None


class Call:
    """One RPC in progress, of either kind."""

    def __init__(self, rpc: Any, read: Callable[[], pb.TranscribeResponse]) -> None:
        self._rpc = rpc
        self._read = read

    def answer(self) -> pb.TranscribeResponse:
        return self._read()

    def refusal(self) -> Refusal:
        try:
            answer = self._read()
        except (grpc.RpcError, grpc.FutureCancelledError):
            status = rpc_status.from_call(self._rpc)
            violations = [
                violation.field
                for detail in (status.details if status else ())
                if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR)
                for violation in _bad_request(detail).field_violations
            ]
            return Refusal(self._rpc.code(), *violations)
        pytest.fail(f"answered with {answer.text!r}")

    def details(self) -> str:
        return str(self._rpc.details())

    def trailing_metadata(self) -> dict[str, str]:
        return dict(self._rpc.trailing_metadata())

    def cancel(self) -> None:
        self._rpc.cancel()


def _bad_request(detail: Any) -> error_details_pb2.BadRequest:
    message = error_details_pb2.BadRequest()
    assert detail.Unpack(message)
    return message


def _result(responses: Iterable[pb.TranscribeStreamResponse]) -> pb.TranscribeResponse:
    """Return the result, which must be the last message and the only result."""
    *segments, last = responses
    assert {message.WhichOneof("payload") for message in segments} <= {"segment"}
    assert last.WhichOneof("payload") == "result"
    return last.result


def stream_messages(
    audio: bytes, model: str, options: pb.TranscribeOptions
) -> Iterator[pb.TranscribeStreamRequest]:
    config = pb.TranscribeStreamConfig(model=model, options=options)
    yield pb.TranscribeStreamRequest(config=config)
    for start in range(0, len(audio), PIECE_BYTES):
        yield pb.TranscribeStreamRequest(audio=audio[start : start + PIECE_BYTES])


@dataclass(frozen=True)
class Served:
    """A running server and a connection to it."""

    background: BackgroundServer
    model: FakeModel
    channel: grpc.Channel

    @property
    def address(self) -> str:
        return self.background.address

    @property
    def stub(self) -> pb_grpc.TranscriptionStub:
        return pb_grpc.TranscriptionStub(self.channel)

    def unary(
        self,
        audio: bytes,
        *,
        model: str = "",
        timeout_s: float | None = PATIENCE_S,
        metadata: Metadata = (),
        **options: object,
    ) -> Call:
        """Send audio through Transcribe, without VAD unless asked."""
        request = pb.TranscribeRequest(audio=audio, model=model, options=wire_options(**options))
        rpc = self.stub.Transcribe.future(request, timeout=timeout_s, metadata=metadata)
        return Call(rpc, rpc.result)

    def stream(
        self,
        audio: bytes,
        *,
        model: str = "",
        timeout_s: float | None = PATIENCE_S,
        metadata: Metadata = (),
        **options: object,
    ) -> Call:
        """Send audio through TranscribeStream, without VAD unless asked."""
        messages = stream_messages(audio, model, wire_options(**options))
        return self.raw_stream(messages, timeout_s, metadata)

    def raw_stream(
        self,
        messages: Iterable[pb.TranscribeStreamRequest],
        timeout_s: float | None = PATIENCE_S,
        metadata: Metadata = (),
    ) -> Call:
        rpc = self.stub.TranscribeStream(iter(messages), timeout=timeout_s, metadata=metadata)
        return Call(rpc, lambda: _result(rpc))

    def raw(
        self, method: str, messages: Iterable[bytes], metadata: Metadata = (), **options: Any
    ) -> Call:
        """Start a call that sends these bytes as its messages, whatever the method takes."""
        send: grpc.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(method)
        rpc = send(iter(messages), timeout=PATIENCE_S, metadata=metadata, **options)
        return Call(rpc, lambda: pb.TranscribeResponse.FromString([*rpc][-1]))

    def health(self, service: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        stub = health_pb2_grpc.HealthStub(self.channel)
        return int(stub.Check(request, timeout=PATIENCE_S).status)


TRANSCRIBE = "/talkmill.v1.Transcription/Transcribe"
TRANSCRIBE_STREAM = "/talkmill.v1.Transcription/TranscribeStream"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
STREAM_CONFIG = pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig()).SerializeToString()

Serve = Callable[..., Served]
"""Starts a server with the settings given; see the fixture `serve`."""

Send = Callable[..., Call]
"""Sends audio to a server with the options given; see the fixture `send`."""


UNKNOWN_FIELD = bytes([0xC0, 0x3E, 1])
"""Field number 1000, which no message has, set to 1: as from a client with a newer contract."""


def wire_options(**options: object) -> pb.TranscribeOptions:
    given: dict[str, Any] = {"vad": pb.VAD_MODE_OFF, **options}
    return pb.TranscribeOptions(**given)


@dataclass(frozen=True, eq=False)
class ModelThatCounts(LoadedModel):
    """Counts the requests whose options are checked, which is before they are submitted."""

    arrivals: Semaphore = field(default_factory=lambda: Semaphore(0))

    def check_language(self, language: str | None) -> str | None:
        self.arrivals.release()
        return super().check_language(language)

    def wait_for_requests(self, count: int) -> None:
        for _ in range(count):
            assert self.arrivals.acquire(timeout=PATIENCE_S)


class ModelThatWaits(FakeModel):
    """Encodes no batch that has `band` in it before `may_go_on` is set."""

    def __init__(self, band: int) -> None:
        super().__init__()
        self.may_go_on = Event()
        self._band = band

    def encode(self, features: Sequence[Features], num_positions: int) -> Features:
        if self._band in map(heard, features):
            assert self.may_go_on.wait(PATIENCE_S)
        return super().encode(features, num_positions)

    def release(self) -> None:
        self.may_go_on.set()
        super().release()


@contextmanager
def loading(model: FakeModel, config: ServerConfig) -> Iterator[Served]:
    """Give a server that loads for as long as `model` is held."""
    background = BackgroundServer(config, model=loaded(model))
    model.hold()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        started: Future[object] = pool.submit(background.__enter__)
        stack.callback(lambda: background.__exit__(None, None, None))
        stack.callback(lambda: started.result(PATIENCE_S))
        stack.callback(model.release)
        model.wait_for_calls(1)  # the warm-up
        channel = stack.enter_context(grpc.insecure_channel(background.address))
        yield Served(background, model, channel)
