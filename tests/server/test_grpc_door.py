"""What gRPC takes of a caller before the call is admitted, and how it takes a message."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from fakes import PATIENCE_S, FakeModel, tones_file, words
from served import (
    HEALTH_CHECK,
    HEALTH_WATCH,
    STREAM_CONFIG,
    TRANSCRIBE,
    TRANSCRIBE_STREAM,
    Serve,
    Served,
    loading,
)
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import ServerConfig, grpc_guard, service
from talkmill.server.auth import new_token
from waiting import wait_until

Code = grpc.StatusCode
API = Path(__file__).parents[2] / "docs" / "api.md"

both = pytest.mark.parametrize("method", [TRANSCRIBE, TRANSCRIBE_STREAM])


@both
def test_a_call_without_token_is_refused_before_it_sends_a_message(
    serve: Serve, stalled: Any, method: str
) -> None:
    served = serve(auth_tokens=(new_token("alice")[1],))

    assert served.raw(method, stalled()).refusal().code == Code.UNAUTHENTICATED


@both
def test_one_call_too_many_is_refused_before_it_sends_a_message(
    serve: Serve, stalled: Any, method: str
) -> None:
    served = serve(max_requests=1)
    served.model.hold()
    first = served.unary(tones_file(10))
    served.model.wait_for_calls(1)

    call = served.raw(method, stalled())

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


def test_a_client_with_the_documented_service_config_gets_its_answer(serve: Serve) -> None:
    served = serve(max_requests=1)
    served.model.hold()
    first = served.unary(tones_file(10))
    served.model.wait_for_calls(1)
    documented = re.search(r"```json\n(.*methodConfig.*?)```", API.read_text("utf-8"), re.DOTALL)
    assert documented
    options = [("grpc.service_config", documented[1])]
    with grpc.insecure_channel(served.address, options) as channel:
        second = Served(served.background, served.model, channel).unary(tones_file(20))
        metrics = served.background.server._gateway.metrics
        wait_until(lambda: b'door="grpc",status="RESOURCE_EXHAUSTED"' in metrics.render())
        served.model.release()
        assert first.answer().text == words(10)

        assert second.answer().text == words(20)


@pytest.mark.parametrize(
    ("method", "first"),
    [(TRANSCRIBE, ()), (TRANSCRIBE_STREAM, ()), (TRANSCRIBE_STREAM, (STREAM_CONFIG,))],
)
def test_an_upload_that_stalls_is_ended(
    serve: Serve, stalled: Any, method: str, first: tuple[bytes, ...]
) -> None:
    served = serve(upload_timeout_s=0.2)

    assert served.raw(method, stalled(*first)).refusal() == (Code.ABORTED, "audio")
    assert served.background.server.engine.num_requests == 0


def test_an_upload_that_trickles_is_ended(serve: Serve) -> None:
    served = serve(upload_timeout_s=1, min_upload_bytes_per_s=10**6)
    piece = pb.TranscribeStreamRequest(audio=b"x").SerializeToString()

    def messages() -> Iterator[bytes]:
        yield STREAM_CONFIG
        for _ in range(int(PATIENCE_S / 0.01)):
            threading.Event().wait(0.01)
            yield piece

    call = served.raw(TRANSCRIBE_STREAM, messages())

    assert call.refusal() == (Code.ABORTED, "audio")
    assert "the rate must be 1e+06 bytes/s" in call.details()


def test_an_upload_that_waited_for_the_model_is_not_called_slow(
    model: FakeModel, server_config: Callable[..., ServerConfig]
) -> None:
    with loading(model, server_config(upload_timeout_s=0.2)) as served:
        call = served.stream(tones_file(10), metadata=(("x-wait-for-model", "true"),))
        wait_until(lambda: served.background.server.engine.num_requests == 1)
        threading.Event().wait(0.4)
        model.release()

        assert call.answer().text == words(10)


def test_open_uploads_leave_half_of_the_requests_to_others(serve: Serve, stalled: Any) -> None:
    served = serve(max_requests=4)
    engine = served.background.server.engine
    uploads = [served.raw(TRANSCRIBE_STREAM, stalled(STREAM_CONFIG)) for _ in range(2)]
    wait_until(lambda: engine.num_requests == 2)

    assert served.raw(TRANSCRIBE_STREAM, stalled()).refusal() == (Code.RESOURCE_EXHAUSTED, None)
    assert served.unary(tones_file(10)).answer().text == words(10)

    for upload in uploads:
        upload.cancel()
    wait_until(lambda: engine.num_requests == 0)
    assert served.stream(tones_file(11)).answer().text == words(11)


def test_messages_that_are_received_at_the_same_time_are_limited(
    serve: Serve, stalled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_UNREAD", 1)
    served = serve()
    engine = served.background.server.engine
    first = served.raw(TRANSCRIBE, stalled())
    wait_until(lambda: engine.num_requests == 1)

    second = served.unary(tones_file(10))
    wait_until(lambda: engine.num_requests == 2)
    first.cancel()

    assert second.answer().text == words(10)


def test_2000_open_streams_hold_nobody(serve: Serve) -> None:
    served = serve(max_requests=16, upload_timeout_s=0.5)

    async def open_streams() -> Counter[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(served.address) as channel:
            send: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
                TRANSCRIBE_STREAM
            )
            calls = [send(timeout=PATIENCE_S) for _ in range(2000)]
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


def test_a_health_check_whose_message_stalls_is_ended(
    serve: Serve, stalled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_guard, "MESSAGE_S", 0.2)
    served = serve()

    for method in (HEALTH_CHECK, HEALTH_WATCH):
        assert served.raw(method, stalled()).refusal().code == Code.ABORTED


@pytest.mark.parametrize("method", [HEALTH_CHECK, HEALTH_WATCH])
@pytest.mark.parametrize(
    "data", [b"\xff", health_pb2.HealthCheckRequest(service="x" * 5000).SerializeToString()]
)
def test_a_bad_message_to_health_is_the_callers_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, data: bytes
) -> None:
    with caplog.at_level(logging.WARNING):
        refusal = serve().raw(method, iter([data])).refusal()

    assert refusal.code == Code.INVALID_ARGUMENT
    assert caplog.records == []


def test_open_calls_to_health_are_limited(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_guard, "MAX_STREAMS", 1)
    served = serve()
    watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = served.channel.unary_stream(HEALTH_WATCH)
    first = watch(b"", timeout=PATIENCE_S)
    next(first)

    assert served.raw(HEALTH_WATCH, iter([b""])).refusal().code == Code.RESOURCE_EXHAUSTED
    assert served.health() == health_pb2.HealthCheckResponse.SERVING
    first.cancel()
