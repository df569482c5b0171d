"""Calls of the model that raise, run out of memory, or never return."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fakes import DEMO_FOLDER, FakeModel, loaded, tones_file, words
from faulty_server import BREAKS, HANGS, LOSES_THE_DEVICE, RAISES, RUNS_OUT_OF_MEMORY, FaultyModel
from served import Refusal, Serve, wire_options
from talkmill.engine import State
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import Server, ServerConfig
from waiting import wait_until

from .conftest import StartFaulty

Code = grpc.StatusCode
TOKENIZER = DEMO_FOLDER / "tokenizer.json"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def model() -> FakeModel:
    return FaultyModel()


def test_a_call_of_the_model_that_raises_fails_its_request_only(serve: Serve) -> None:
    served = serve()
    served.model.hold()
    calls = [served.unary(tones_file(band)) for band in (10, RAISES, 20)]
    served.model.release()

    assert calls[1].refusal() == Refusal(Code.INTERNAL)
    assert [calls[0].answer().text, calls[2].answer().text] == [words(10), words(20)]
    assert served.health() == SERVING


def test_a_request_too_large_for_the_memory_fails_alone(serve: Serve) -> None:
    served = serve()

    assert served.unary(tones_file(RUNS_OUT_OF_MEMORY)).refusal() == Refusal(Code.INTERNAL)
    assert served.unary(tones_file(10)).answer().text == words(10)
    assert served.health() == SERVING


def test_requests_that_fail_in_a_row_do_not_stop_a_sound_model(serve: Serve) -> None:
    served = serve()

    for _ in range(10):
        assert served.unary(tones_file(RAISES)).refusal() == Refusal(Code.INTERNAL)

    assert served.unary(tones_file(10)).answer().text == words(10)
    assert served.health() == SERVING


def test_a_model_that_fails_on_everything_ends_the_server(faulty: StartFaulty) -> None:
    with faulty() as server:
        statuses = server.watch()
        assert next(statuses).status == SERVING

        codes = [server.call(band).refusal().code for band in (BREAKS, 10, 20)]

        assert codes == [Code.INTERNAL] * 3
        assert next(statuses).status == NOT_SERVING
        assert server.exit_code() == 1
        assert "the model fails on every audio" in server.log.read_text()


def test_a_call_that_hangs_ends_the_server_and_fails_what_is_in_it(faulty: StartFaulty) -> None:
    with faulty(stuck_after_s=1, max_batch_size=1) as server:
        statuses = server.watch()
        assert next(statuses).status == SERVING
        stuck, waiting = server.call(HANGS), server.call(10)

        assert stuck.refusal().code == Code.INTERNAL
        assert "no progress on this audio in 1 s" in stuck.details()
        assert waiting.refusal().code == Code.UNAVAILABLE  # may be sent to another server
        assert next(statuses).status == NOT_SERVING
        assert server.exit_code() == 1
        assert "Traceback" not in server.log.read_text()


def test_a_lost_device_refuses_a_slow_upload_and_ends_the_server(
    server_config: Callable[..., ServerConfig], model: FakeModel
) -> None:
    async def run() -> int:
        server = Server(server_config(drain_timeout_s=3600), model=loaded(model))
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = pb_grpc.TranscriptionStub(channel)
            upload = stub.TranscribeStream()
            await upload.write(pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig()))
            await upload.write(pb.TranscribeStreamRequest(audio=b"RIFF"))  # and nothing more
            await asyncio.to_thread(wait_until, lambda: server.engine.num_requests == 1)
            audio = tones_file(LOSES_THE_DEVICE)
            request = pb.TranscribeRequest(audio=audio, options=wire_options())
            assert await stub.Transcribe(request).code() == Code.INTERNAL
            code = await server.run_until_stopped()
            assert await upload.code() == Code.UNAVAILABLE
            assert "the server has failed" in await upload.details()
            return code

    assert asyncio.run(run()) == 1


def test_a_call_after_the_engine_has_failed_is_unavailable(serve: Serve) -> None:
    served = serve(loaded(FaultyModel()))
    served.unary(tones_file(LOSES_THE_DEVICE)).refusal()
    wait_until(lambda: served.background.server.engine.state is State.FAILED)

    late = served.unary(tones_file(10))

    assert late.refusal() == Refusal(Code.UNAVAILABLE)
    assert "failed" in late.details()


class FaultyTokenizer(WhisperTokenizer):
    """Cannot decode what follows `RAISES`."""

    def decode(self, tokens: Iterable[int]) -> str:
        text = super().decode(tokens)
        if str(RAISES) in text:
            raise ValueError("no such token")
        return text


def test_an_error_of_the_tokenizer_fails_its_request_only(serve: Serve) -> None:
    served = serve(loaded(FakeModel(FaultyTokenizer(TOKENIZER, is_multilingual=True))))

    assert served.unary(tones_file(RAISES)).refusal() == Refusal(Code.INTERNAL)
    assert served.unary(tones_file(10)).answer().text == words(10)
    assert served.health() == SERVING
