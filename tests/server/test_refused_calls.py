"""Which calls the two RPCs refuse, with which status and field; `send` sends by each of them."""

from __future__ import annotations

import grpc
import pytest

from audio_files import encode_audio
from fakes import FakeModel, chunk_tones, loaded, tones_file, words
from served import UNKNOWN_FIELD, Send, Serve
from talkmill.engine import Task
from talkmill.proto import transcription_pb2 as pb

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("audio", "request_of", "refusal"),
    [
        pytest.param(b"no audio", {}, (Code.INVALID_ARGUMENT, "audio"), id="not audio"),
        pytest.param(b"", {}, (Code.INVALID_ARGUMENT, "audio"), id="no bytes"),
        pytest.param(None, {"model": "tiny"}, (Code.NOT_FOUND, "model"), id="unknown model"),
        pytest.param(
            None, {"language": "xx"}, (Code.INVALID_ARGUMENT, "language"), id="unknown language"
        ),
        pytest.param(None, {"task": 99}, (Code.INVALID_ARGUMENT, "task"), id="nameless task"),
        pytest.param(
            None,
            {"encoder_window": 99},
            (Code.INVALID_ARGUMENT, "encoder_window"),
            id="nameless window",
        ),
        pytest.param(
            None,
            {"generation_parameters": pb.GenerationParameters.FromString(UNKNOWN_FIELD)},
            (Code.UNIMPLEMENTED, "generation_parameters"),
            id="unknown parameter",
        ),
        pytest.param(
            None,
            {"generation_parameters": pb.GenerationParameters(num_beams=0)},
            (Code.INVALID_ARGUMENT, "num_beams"),
            id="parameter out of range",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(
    serve: Serve,
    send: Send,
    audio: bytes | None,
    request_of: dict[str, object],
    refusal: tuple[Code, str],
) -> None:
    served = serve()
    file = tones_file(10) if audio is None else audio

    assert send(served, file, **request_of).refusal() == refusal
    assert served.model.encoded == []
    assert send(served, tones_file(11)).answer().text == words(11)


def test_a_task_that_the_model_lacks_is_refused(serve: Serve, send: Send, model: FakeModel) -> None:
    served = serve(loaded(model, tasks=[Task.TRANSCRIBE]))

    refusal = send(served, tones_file(10), task=pb.TASK_TRANSLATE).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, "task")


def test_audio_of_too_many_seconds_is_refused(serve: Serve, send: Send) -> None:
    refusal = send(serve(max_audio_s=20), tones_file(10, 20)).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, "audio")


def test_audio_of_too_many_bytes_is_refused(serve: Serve, send: Send) -> None:
    audio = tones_file(10)

    assert send(serve(max_audio_bytes=len(audio) - 1), audio).refusal() == (
        Code.INVALID_ARGUMENT,
        "audio",
    )
    assert send(serve(max_audio_bytes=len(audio)), audio).answer().text == words(10)


def test_the_inline_limit_is_reported_before_grpcs_limit_on_messages(serve: Serve) -> None:
    limit = 3 * 2**20
    served = serve(max_inline_bytes=limit)

    assert served.unary(bytes(limit + 1)).refusal() == (Code.INVALID_ARGUMENT, "audio")
    assert served.unary(bytes(2 * limit + 1)).refusal() == (Code.RESOURCE_EXHAUSTED, None)


CONFIG = pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig())
AUDIO = pb.TranscribeStreamRequest(audio=b"RIFF")


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        pytest.param([], "config", id="empty stream"),
        pytest.param([AUDIO, CONFIG], "config", id="audio first"),
        pytest.param([pb.TranscribeStreamRequest(), AUDIO], "config", id="empty message first"),
        pytest.param([CONFIG, CONFIG, AUDIO], "config", id="config twice"),
        pytest.param([CONFIG, AUDIO, CONFIG], "config", id="config last"),
        pytest.param([CONFIG], "audio", id="no audio"),
        pytest.param([CONFIG, pb.TranscribeStreamRequest(audio=b"")], "audio", id="empty audio"),
    ],
)
def test_a_stream_out_of_order_is_refused(
    serve: Serve, messages: list[pb.TranscribeStreamRequest], field: str
) -> None:
    assert serve().raw_stream(messages).refusal() == (Code.INVALID_ARGUMENT, field)


def test_a_large_stream_to_another_model_is_refused(serve: Serve) -> None:
    audio = encode_audio(chunk_tones([10] * 6), codec="pcm_f32le")

    assert serve().stream(audio, model="tiny").refusal() == (Code.NOT_FOUND, "model")
