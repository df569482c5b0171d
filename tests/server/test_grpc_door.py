"""What gRPC takes of a caller before the call is admitted, and how it takes a message."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from fakes import PATIENCE_S, FakeModel, tones_file, words
from served import Call, Metadata, Refusal, Serve, Served
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import grpc_guard
from talkmill.server.auth import new_token
from waiting import wait_until

Code = grpc.StatusCode
TRANSCRIBE = "/talkmill.v1.Transcription/Transcribe"
STREAM = "/talkmill.v1.Transcription/TranscribeStream"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
CONFIG = pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig()).SerializeToString()

both = pytest.mark.parametrize("method", [TRANSCRIBE, STREAM])


def start(
    served: Served, method: str, messages: Iterator[bytes], metadata: Metadata = (), **options: Any
) -> Call:
    """Start a call that sends these bytes as its messages, whatever the method takes."""
    rpc = served.channel.stream_stream(method)(
        messages, timeout=PATIENCE_S, metadata=metadata, **options
    )

    def read() -> pb.TranscribeResponse:
        return pb.TranscribeResponse.FromString([*rpc][-1])

    return Call(rpc, read)


@pytest.fixture
def stalled() -> Iterator[Any]:
    """Makes messages after which a client neither sends nor ends."""
    may_end = threading.Event()

    def messages(*first: bytes) -> Iterator[bytes]:
        yield from first
        may_end.wait(PATIENCE_S)

    yield messages
    may_end.set()


@both
def test_a_call_without_token_is_refused_before_it_sends_a_message(
    serve: Serve, stalled: Any, method: str
) -> None:
    served = serve(auth_tokens=(new_token("alice")[1],))

    assert start(served, method, stalled()).refusal().code == Code.UNAUTHENTICATED


@both
def test_one_call_too_many_is_refused_before_it_sends_a_message(
    serve: Serve, stalled: Any, method: str
) -> None:
    served = serve(max_requests=1)
    served.model.hold()
    first = served.unary(tones_file(10))
    served.model.wait_for_calls(1)

    call = start(served, method, stalled())

    assert call.refusal() == (Code.RESOURCE_EXHAUSTED, None)
    assert call.trailing_metadata()["grpc-retry-pushback-ms"] == "1000"
    served.model.release()
    assert first.answer().text == words(10)


def test_a_refusal_has_the_time_of_a_retry_in_its_details(serve: Serve) -> None:
    served = serve(max_inflight_bytes=1)
    call = served.unary(tones_file(10))

    assert call.refusal() == (Code.RESOURCE_EXHAUSTED, None)
    status = rpc_status.from_call(call._rpc)
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 1000


RETRIES = """{"methodConfig": [{
  "name": [{"service": "talkmill.v1.Transcription"}],
  "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "30s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
  }
}]}"""


def test_a_client_with_the_documented_service_config_gets_its_answer(serve: Serve) -> None:
    served = serve(max_requests=1)
    served.model.hold()
    first = served.unary(tones_file(10))
    served.model.wait_for_calls(1)
    with grpc.insecure_channel(served.address, [("grpc.service_config", RETRIES)]) as channel:
        second = Served(served.background, served.model, channel).unary(tones_file(20))
        metrics = served.background.server._gateway.metrics
        wait_until(lambda: b'door="grpc",status="RESOURCE_EXHAUSTED"' in metrics.render())
        served.model.release()
        assert first.answer().text == words(10)

        assert second.answer().text == words(20)


def field(number: int, data: bytes) -> bytes:
    """Return a field of protobuf's wire type 2, of less than 2 MB."""
    size = len(data)
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    return bytes([number << 3 | 2]) + length + data


UNDECODABLE = [
    pytest.param(b"\xff" * 40, "message", id="no field"),
    pytest.param(b"\x0a\xff\xff\x7f", "message", id="cut off"),
    pytest.param(b"\x0a", "message", id="only a tag"),
    pytest.param(b"\x0b" * 4, "message", id="groups"),
    pytest.param(b"\x1a\x00" * 1000, "message", id="many fields"),
    pytest.param(field(3, b"\x42\x00" * 50_000), "options", id="many languages"),
    pytest.param(field(15, b"x" * 70_000), "options", id="large unknown field"),
    pytest.param(field(2, b"x" * 70_000 + b"\xff"), "options", id="large model"),
    pytest.param(field(2, b"\xff\xff"), "message", id="a text that is not UTF-8"),
]


@pytest.mark.parametrize(("data", "at_fault"), UNDECODABLE)
def test_a_message_that_cannot_be_decoded_is_the_callers_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture, data: bytes, at_fault: str
) -> None:
    served = serve()
    with caplog.at_level(logging.WARNING):
        refusal = start(served, TRANSCRIBE, iter([data])).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, at_fault)
    assert caplog.records == []
    assert served.unary(tones_file(10)).answer().text == words(10)


@pytest.mark.parametrize("first", [(), (CONFIG,)], ids=["as config", "as audio"])
def test_a_streamed_message_that_cannot_be_decoded_is_the_callers_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture, first: tuple[bytes, ...]
) -> None:
    served = serve()
    with caplog.at_level(logging.WARNING):
        refusal = start(served, STREAM, iter([*first, b"\xff" * 40])).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, "message")
    assert caplog.records == []


def test_a_call_without_message_is_refused(serve: Serve) -> None:
    refusal = start(serve(), TRANSCRIBE, iter([])).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, "message")


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("method", [TRANSCRIBE, STREAM, CHECK])
def test_compressed_messages_are_refused(
    serve: Serve, compression: grpc.Compression, method: str
) -> None:
    call = start(serve(), method, iter([bytes(100_000)]), compression=compression)

    assert call.refusal().code == Code.UNIMPLEMENTED
    assert "is disabled" in call.details()


@pytest.mark.parametrize(("method", "first"), [(TRANSCRIBE, ()), (STREAM, ()), (STREAM, (CONFIG,))])
def test_an_upload_that_stalls_is_ended(
    serve: Serve, stalled: Any, method: str, first: tuple[bytes, ...]
) -> None:
    served = serve(upload_timeout_s=0.2)

    assert start(served, method, stalled(*first)).refusal() == (Code.ABORTED, "audio")
    assert served.background.server.engine.num_requests == 0


def test_an_upload_that_trickles_is_ended(serve: Serve) -> None:
    served = serve(upload_timeout_s=0.2, min_upload_bytes_per_s=10**6)
    piece = pb.TranscribeStreamRequest(audio=b"x").SerializeToString()

    def messages() -> Iterator[bytes]:
        yield CONFIG
        for _ in range(int(PATIENCE_S / 0.01)):
            threading.Event().wait(0.01)
            yield piece

    call = start(served, STREAM, messages())

    assert call.refusal() == (Code.ABORTED, "audio")
    assert "the rate must be 1e+06 bytes/s" in call.details()


def test_open_uploads_leave_half_of_the_requests_to_others(serve: Serve, stalled: Any) -> None:
    served = serve(max_requests=4)
    engine = served.background.server.engine
    uploads = [start(served, STREAM, stalled(CONFIG)) for _ in range(2)]
    wait_until(lambda: engine.num_requests == 2)

    assert start(served, STREAM, stalled()).refusal() == (Code.RESOURCE_EXHAUSTED, None)
    assert served.unary(tones_file(10)).answer().text == words(10)

    for upload in uploads:
        upload.cancel()
    wait_until(lambda: engine.num_requests == 0)
    assert served.stream(tones_file(11)).answer().text == words(11)


def test_2000_open_streams_hold_nobody(serve: Serve) -> None:
    served = serve(max_requests=16, upload_timeout_s=0.5)

    async def open_streams() -> Counter[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(served.address) as channel:
            calls = [channel.stream_stream(STREAM)(timeout=PATIENCE_S) for _ in range(2000)]
            answer = await asyncio.to_thread(lambda: served.unary(tones_file(10)).answer())
            assert answer.text == words(10)
            return Counter(await asyncio.gather(*(call.code() for call in calls)))

    codes = asyncio.run(open_streams())

    assert set(codes) == {Code.RESOURCE_EXHAUSTED, Code.ABORTED}
    assert codes.total() == 2000
    assert served.background.server.engine.num_requests == 0


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_a_deadline_that_passes_is_counted_as_that(
    serve: Serve, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    served = serve()
    metrics = served.background.server._gateway.metrics
    served.model.hold()
    cancelled = getattr(served, kind)(tones_file(10))
    served.model.wait_for_calls(1)
    cancelled.cancel()
    wait_until(lambda: b'door="grpc",status="CANCELLED"} 1.0' in metrics.render())

    late = getattr(served, kind)(tones_file(20), timeout_s=0.3)

    assert late.refusal().code == Code.DEADLINE_EXCEEDED
    wait_until(lambda: b'door="grpc",status="DEADLINE_EXCEEDED"} 1.0' in metrics.render())
    assert b'status="CANCELLED"} 1.0' in metrics.render()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_a_model_name_of_kilobytes_is_refused_in_a_few_words(serve: Serve, kind: str) -> None:
    call = getattr(serve(), kind)(tones_file(10), model="é" * 4096)

    assert call.refusal() == (Code.NOT_FOUND, "model")
    assert call.details() == "model: a name of 4096 characters is over the limit of 256"


@pytest.mark.parametrize("kind", ["unary", "stream"])
@pytest.mark.parametrize(
    ("options", "at_fault"),
    [
        ({"prompt": "x" * 4097}, "prompt"),
        ({"languages": ["en"] * 129}, "languages"),
        ({"generation_parameters": {"suppress_tokens": [5] * 4097}}, "suppress_tokens"),
        ({"generation_parameters": {"temperatures": [0.5] * 4097}}, "temperature"),
        ({"prompt": "x" * 70_000}, "options"),
    ],
)
def test_a_long_option_is_refused(
    serve: Serve, kind: str, options: dict[str, Any], at_fault: str
) -> None:
    served = serve()

    refusal = getattr(served, kind)(tones_file(10), **options).refusal()

    assert refusal == Refusal(Code.INVALID_ARGUMENT, at_fault)


def test_texts_are_tokenized_off_the_event_loop(
    serve: Serve, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    threads = []
    encode = type(model.tokenizer).encode

    def watched(self: Any, text: str) -> tuple[int, ...]:
        threads.append(threading.current_thread().name)
        return encode(self, text)

    monkeypatch.setattr(type(model.tokenizer), "encode", watched)

    served.unary(tones_file(10), prompt="call emma", hotwords=["talkmill"]).answer()

    assert threads
    assert "talkmill-server" not in threads


def test_a_health_check_whose_message_stalls_is_ended(
    serve: Serve, stalled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_guard, "MESSAGE_S", 0.2)
    served = serve()

    for method in (CHECK, WATCH):
        assert start(served, method, stalled()).refusal().code == Code.ABORTED


@pytest.mark.parametrize("method", [CHECK, WATCH])
@pytest.mark.parametrize(
    "data", [b"\xff", health_pb2.HealthCheckRequest(service="x" * 5000).SerializeToString()]
)
def test_a_bad_message_to_health_is_the_callers_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, data: bytes
) -> None:
    with caplog.at_level(logging.WARNING):
        refusal = start(serve(), method, iter([data])).refusal()

    assert refusal.code == Code.INVALID_ARGUMENT
    assert caplog.records == []


def test_open_calls_to_health_are_limited(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_guard, "MAX_STREAMS", 1)
    served = serve()
    first = served.channel.unary_stream(WATCH)(b"", timeout=PATIENCE_S)
    next(first)

    assert start(served, WATCH, iter([b""])).refusal().code == Code.RESOURCE_EXHAUSTED
    assert served.health() == health_pb2.HealthCheckResponse.SERVING
    first.cancel()
