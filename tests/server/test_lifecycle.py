"""Listening, loading, serving, draining and stopping, as a client and an operator see it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from served import Send, Serve, loading
from talkmill.engine import ConfigError, State
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, Server, ServerConfig

SERVICE = "talkmill.v1.Transcription"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Code = grpc.StatusCode


@contextlib.contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run `work` in a thread; it must end when the block does."""
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def watch(channel: grpc.Channel, service: str = SERVICE) -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Watch(request, timeout=PATIENCE_S)


@pytest.mark.parametrize("service", ["", SERVICE])
def test_a_ready_server_reports_that_it_serves(serve: Serve, service: str) -> None:
    assert serve().health(service) == SERVING


def test_the_health_of_an_unknown_service_is_not_found(serve: Serve) -> None:
    served = serve()

    with pytest.raises(grpc.RpcError) as caught:
        served.health("talkmill.v1.Other")

    assert caught.value.code() == Code.NOT_FOUND


def test_health_is_answered_while_the_model_works(serve: Serve) -> None:
    served = serve()
    served.model.hold()
    call = served.unary(tones_file(10))
    served.model.wait_for_calls(1)

    assert served.health(SERVICE) == SERVING
    served.model.release()
    assert call.answer().text == words(10)


def test_reflection_lists_the_services(serve: Serve) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(serve().channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    (response,) = stub.ServerReflectionInfo(iter([request]), timeout=PATIENCE_S)

    names = {service.name for service in response.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_reflection_describes_the_contract(serve: Serve) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(serve().channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)

    (response,) = stub.ServerReflectionInfo(iter([request]), timeout=PATIENCE_S)

    files = response.file_descriptor_response.file_descriptor_proto
    assert pb.DESCRIPTOR.serialized_pb in files


def test_a_loading_server_listens_and_refuses(
    model: FakeModel, server_config: Callable[..., ServerConfig], sample: bytes
) -> None:
    with loading(model, server_config()) as served:
        statuses = watch(served.channel)

        assert next(statuses).status == NOT_SERVING
        assert served.unary(sample).refusal() == (Code.UNAVAILABLE, None)

        model.release()
        assert next(statuses).status == SERVING
        statuses.cancel()
        assert served.unary(tones_file(10)).answer().duration_s == 1.0


def test_a_draining_server_answers_what_it_took_and_refuses_the_rest(
    serve: Serve, send: Send
) -> None:
    served = serve(max_batch_size=1)
    served.model.hold()
    accepted = [send(served, tones_file(10, 11)), send(served, tones_file(20))]
    served.model.wait_for_calls(1)
    statuses = watch(served.channel)
    assert next(statuses).status == SERVING
    served.health()  # answered after the two requests came in on the same connection

    with in_thread(lambda: drain(served.background)):
        assert next(statuses).status == NOT_SERVING
        late = send(served, tones_file(30))
        assert late.refusal() == (Code.UNAVAILABLE, None)
        served.model.release()

        texts = [call.answer().text for call in accepted]
    assert texts == [f"{words(10)} {words(11)}", words(20)]
    assert 30 not in served.model.bands
    assert served.background.server.engine.state is State.DRAINING


def drain(background: BackgroundServer) -> None:
    background.drain()


def test_a_drain_does_not_wait_for_those_who_watch_its_health(serve: Serve) -> None:
    served = serve(drain_timeout_s=3600)
    statuses = watch(served.channel)
    assert next(statuses).status == SERVING

    drain(served.background)

    assert next(statuses).status == NOT_SERVING


def test_a_drain_that_takes_too_long_gives_up(serve: Serve) -> None:
    served = serve(drain_timeout_s=0.1)
    served.model.hold()
    call = served.unary(tones_file(10))
    served.model.wait_for_calls(1)

    with in_thread(lambda: drain(served.background)):
        assert call.refusal().code in {Code.UNAVAILABLE, Code.CANCELLED}
        served.model.release()


def test_a_second_server_on_the_port_is_refused(
    serve: Serve, server_config: Callable[..., ServerConfig]
) -> None:
    port = serve().background.server.port
    second = BackgroundServer(server_config(port=port), model=loaded())

    with pytest.raises(OSError, match=str(port)), second:
        pass


def test_a_server_that_cannot_load_does_not_start(
    server_config: Callable[..., ServerConfig], tmp_path: Path
) -> None:
    server = BackgroundServer(server_config(model=str(tmp_path)))

    with pytest.raises(ConfigError, match="model"), server:
        pass


def test_a_stopped_server_frees_its_port(
    serve: Serve, server_config: Callable[..., ServerConfig]
) -> None:
    with BackgroundServer(server_config(), model=loaded()) as first:
        port = first.server.port

    with BackgroundServer(server_config(port=port), model=loaded()) as second:
        assert second.server.port == port


def test_a_stop_asked_for_ends_with_code_0(server_config: Callable[..., ServerConfig]) -> None:
    async def run() -> int:
        server = Server(server_config(), model=loaded())
        await server.start()
        server.request_stop()
        return await server.run_until_stopped()

    assert asyncio.run(run()) == 0


def test_a_stop_asked_for_twice_waits_no_longer(
    server_config: Callable[..., ServerConfig], model: FakeModel
) -> None:
    async def run() -> int:
        server = Server(server_config(drain_timeout_s=3600), model=loaded(model))
        await server.start()
        model.forget()
        model.hold()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = pb_grpc.TranscriptionStub(channel).Transcribe(request_of(10))
            await asyncio.to_thread(model.wait_for_calls, 1)
            server.request_stop()
            stopped = asyncio.create_task(server.run_until_stopped())
            server.request_stop()
            assert await call.code() == Code.UNAVAILABLE
            model.release()
            return await stopped

    assert asyncio.run(run()) == 1


def test_a_lost_device_stops_the_server_with_code_1(
    server_config: Callable[..., ServerConfig], model: FakeModel
) -> None:
    async def run() -> int:
        server = Server(server_config(), model=loaded(model))
        await server.start()
        model.is_lost = True
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            statuses = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service=SERVICE)
            )
            assert (await statuses.read()).status == SERVING
            call = pb_grpc.TranscriptionStub(channel).Transcribe(request_of(10))
            code = await server.run_until_stopped()
            assert await call.code() == Code.INTERNAL
            assert (await statuses.read()).status == NOT_SERVING
            assert server.engine.state is State.FAILED
            return code

    assert asyncio.run(run()) == 1


def request_of(band: int) -> pb.TranscribeRequest:
    options = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)
    return pb.TranscribeRequest(audio=tones_file(band), options=options)
