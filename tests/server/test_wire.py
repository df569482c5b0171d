"""Each scenario is a conversation with a real server; `send` tells it by each of the two RPCs."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from audio_files import encode_audio
from fakes import PATIENCE_S, FakeModel, chunk_tones, heard, loaded, tones_file, words
from served import Call, ModelThatCounts, Send, Serve, Served
from talkmill.engine import (
    LoadedModel,
    Overloaded,
    Request,
    Segment,
    Task,
    TranscribeOptions,
    VadMode,
)
from talkmill.engine.types import Features
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import Client

SEGMENTS = pb.RETURN_TIMESTAMPS_SEGMENT
Code = grpc.StatusCode


def test_a_file_comes_back_as_its_words(serve: Serve, send: Send) -> None:
    answer = send(serve(), tones_file(10, 20)).answer()

    assert answer.text == f"{words(10)} {words(20)}"
    assert answer.language == "en"
    assert answer.duration_s == pytest.approx(31.0)
    assert answer.speech_s == pytest.approx(31.0)
    assert not answer.chunks
    assert not answer.warnings


def test_chunks_carry_their_times_in_the_whole_file(serve: Serve, send: Send) -> None:
    answer = send(serve(), tones_file(10, 20), return_timestamps=SEGMENTS).answer()

    times = [(chunk.text.strip(), chunk.start_s, chunk.end_s) for chunk in answer.chunks]
    # The last second of audio ends before the model says that its words do.
    assert times == [(words(10), 1.0, 2.0), (words(20), 31.0, 31.0)]


def test_options_reach_the_model(serve: Serve, send: Send) -> None:
    served = serve()
    parameters = pb.GenerationParameters(num_beams=3, max_new_tokens=9)
    send(served, tones_file(10), generation_parameters=parameters, task=pb.TASK_TRANSLATE).answer()

    (batch,) = served.model.generated
    tokenizer = served.model.tokenizer
    assert batch.plan is not None
    assert (batch.plan.num_beams, batch.plan.max_new_tokens) == (3, 9)
    assert batch.prompts == (tuple(tokenizer.prompt("en", Task.TRANSLATE, timestamps=False)),)


def test_silence_gives_no_words_and_is_no_error(serve: Serve, send: Send) -> None:
    silence = encode_audio(np.zeros(16_000, np.float32))
    served = serve()
    answer = send(served, silence, vad=pb.VAD_MODE_AUTO, return_timestamps=SEGMENTS).answer()

    assert answer.text == ""
    assert not answer.chunks
    assert answer.duration_s == pytest.approx(1.0)
    assert served.model.encoded == []


def test_the_model_may_be_named(serve: Serve, send: Send) -> None:
    assert send(serve(), tones_file(10), model="fake").answer().text == words(10)


@pytest.mark.parametrize(
    ("audio", "request_of", "refusal"),
    [
        pytest.param(b"no audio", {}, (Code.INVALID_ARGUMENT, "audio"), id="not audio"),
        pytest.param(b"", {}, (Code.INVALID_ARGUMENT, "audio"), id="no bytes"),
        pytest.param(None, {"model": "tiny"}, (Code.NOT_FOUND, "model"), id="unknown model"),
        pytest.param(
            None, {"language": "xx"}, (Code.INVALID_ARGUMENT, "language"), id="unknown language"
        ),
        pytest.param(
            None, {"language": ""}, (Code.INVALID_ARGUMENT, "language"), id="empty language"
        ),
        pytest.param(None, {"task": 99}, (Code.INVALID_ARGUMENT, "task"), id="nameless task"),
        pytest.param(
            None,
            {"return_timestamps": pb.RETURN_TIMESTAMPS_WORD},
            (Code.UNIMPLEMENTED, "return_timestamps"),
            id="word timestamps",
        ),
        pytest.param(
            None,
            {"return_timestamps": pb.RETURN_TIMESTAMPS_WORD},
            (Code.UNIMPLEMENTED, "return_timestamps"),
            id="not wired",
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


def test_inline_audio_over_the_limit_is_told_of_ours_before_grpcs(serve: Serve) -> None:
    limit = 3 * 2**20
    served = serve(max_inline_bytes=limit)

    assert served.unary(bytes(limit + 1)).refusal() == (Code.INVALID_ARGUMENT, "audio")
    assert served.unary(bytes(2 * limit + 1)).refusal() == (Code.RESOURCE_EXHAUSTED, None)


def test_inline_audio_of_just_the_limit_is_taken(serve: Serve) -> None:
    audio = tones_file(10)

    assert serve(max_inline_bytes=len(audio)).unary(audio).answer().text == words(10)


def test_a_stream_may_be_larger_than_any_message(serve: Serve) -> None:
    bands = [10, 20, 30, 40, 50, 60]
    audio = encode_audio(chunk_tones(bands), codec="pcm_f32le")
    assert len(audio) > 9 * 2**20  # also more than the server keeps in memory

    answer = serve(max_inline_bytes=100_000).stream(audio).answer()

    assert answer.text == " ".join(map(words, bands))


def test_pieces_of_a_stream_may_be_larger_than_the_inline_limit(serve: Serve) -> None:
    audio = encode_audio(chunk_tones([10, 20]), codec="pcm_s16le")
    messages = [
        pb.TranscribeStreamRequest(config={"options": {"vad": pb.VAD_MODE_OFF}}),
        pb.TranscribeStreamRequest(audio=audio),
    ]

    answer = serve(max_inline_bytes=10_000).raw_stream(messages).answer()

    assert answer.text == f"{words(10)} {words(20)}"


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


class ModelThatWaits(FakeModel):
    """Waits for `may_go_on` in front of one band."""

    def __init__(self, band: int) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self._band = band

    def encode(self, features: Features) -> Features:
        if self._band in map(heard, features):
            assert self.may_go_on.wait(PATIENCE_S)
        return super().encode(features)

    def release(self) -> None:
        self.may_go_on.set()
        super().release()


@pytest.mark.parametrize("timestamps", [pb.RETURN_TIMESTAMPS_NONE, SEGMENTS], ids=["none", "times"])
def test_segments_arrive_in_order_and_before_the_file_is_done(
    serve: Serve, timestamps: pb.ReturnTimestamps
) -> None:
    model = ModelThatWaits(30)
    served = serve(loaded(model), max_batch_size=1)
    options = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF, return_timestamps=timestamps)
    messages = [
        pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig(options=options)),
        pb.TranscribeStreamRequest(audio=tones_file(10, 20, 30, 40)),
    ]

    responses = served.stub.TranscribeStream(iter(messages), timeout=PATIENCE_S)
    early = [next(responses).segment, next(responses).segment]
    model.may_go_on.set()
    *late, last = responses

    segments = [*early, *(response.segment for response in late)]
    said = [segment.text.strip() for segment in segments]
    starts = [segment.start_s for segment in segments]
    assert said == [words(10), words(20), words(30), words(40)]
    assert starts == sorted(starts)
    assert last.result.text == "".join(segment.text for segment in segments).strip()
    assert list(last.result.chunks) == (segments if timestamps == SEGMENTS else [])


def test_two_clients_share_a_batch_and_each_gets_its_own_words(serve: Serve) -> None:
    served = serve(max_batch_size=2, max_batch_wait_ms=10_000)

    calls = [served.unary(tones_file(10)), served.stream(tones_file(20))]
    answers = [call.answer() for call in calls]

    assert [answer.text for answer in answers] == [words(10), words(20)]
    assert [answer.timings.mean_batch_size for answer in answers] == [2.0, 2.0]
    assert [sorted(batch.bands) for batch in served.model.generated] == [[10, 20]]


def test_64_clients_at_once_each_get_their_own_words(
    serve: Serve, counting_model: ModelThatCounts
) -> None:
    served = serve(counting_model, max_batch_size=16, max_batch_wait_ms=500, prepare_threads=2)
    said = [[5 + client, 70, 71][: 3 if client % 8 == 0 else 1] for client in range(64)]
    files = [tones_file(*bands) for bands in said]
    sends = [served.unary, served.stream]

    served.model.hold()
    calls = [sends[client % 2](file) for client, file in enumerate(files)]
    counting_model.wait_for_requests(64)
    served.model.release()
    answers = [call.answer() for call in calls]

    assert [answer.text for answer in answers] == [" ".join(map(words, bands)) for bands in said]
    stats = served.background.server.engine.stats
    assert stats.num_chunks == sum(map(len, said))
    assert stats.mean_batch_size > 1


def test_a_poisoned_request_fails_alone(serve: Serve, send: Send) -> None:
    served = serve(max_batch_size=4, max_batch_wait_ms=10_000)
    served.model.poisoned = frozenset({13})

    calls = [send(served, tones_file(band)) for band in (11, 12, 13, 14)]

    assert calls[2].refusal() == (Code.INTERNAL, None)
    assert "poisoned" not in calls[2].details()
    others = [calls[index].answer().text for index in (0, 1, 3)]
    assert others == [words(11), words(12), words(14)]


class ModelWithABug(LoadedModel):
    def check_language(self, language: str | None) -> str | None:
        raise KeyError("/secret/path")


def test_a_fault_of_ours_is_internal_and_told_in_general_terms(
    serve: Serve, send: Send, model: FakeModel
) -> None:
    served = serve(ModelWithABug(**vars(loaded(model))))

    call = send(served, tones_file(10))

    assert call.refusal() == (Code.INTERNAL, None)
    assert "secret" not in call.details()


def test_one_request_too_many_is_refused_and_later_taken(serve: Serve, send: Send) -> None:
    served = serve(max_requests=1)
    served.model.hold()
    first = send(served, tones_file(10))
    served.model.wait_for_calls(1)

    assert send(served, tones_file(20)).refusal() == (Code.RESOURCE_EXHAUSTED, None)
    served.model.release()
    assert first.answer().text == words(10)
    assert send(served, tones_file(30)).answer().text == words(30)
    assert served.model.bands == [10, 30]


@pytest.mark.parametrize(
    ("timeout_s", "give_up", "code"),
    [
        pytest.param(0.5, lambda call: None, Code.DEADLINE_EXCEEDED, id="deadline"),
        pytest.param(None, lambda call: call.cancel(), Code.CANCELLED, id="cancel"),
    ],
)
def test_a_request_given_up_in_the_queue_never_reaches_the_model(
    serve: Serve,
    send: Send,
    counting_model: ModelThatCounts,
    timeout_s: float | None,
    give_up: Callable[[Call], None],
    code: Code,
) -> None:
    served = serve(counting_model, max_requests=2)
    served.model.hold()
    first = send(served, tones_file(10))
    served.model.wait_for_calls(1)
    second = send(served, tones_file(20), timeout_s=timeout_s)
    counting_model.wait_for_requests(2)

    give_up(second)

    assert second.refusal() == (code, None)
    third = submit_when_there_is_room(served, tones_file(30))
    served.model.release()
    assert first.answer().text == words(10)
    assert third.future.result(PATIENCE_S).text == words(30)
    assert served.model.bands == [10, 30]


def submit_when_there_is_room(served: Served, audio: bytes) -> Request:
    """Submit past the wire; there is room when the server has noticed that a client gave up."""
    engine = served.background.server.engine
    while True:
        try:
            return engine.submit(audio, TranscribeOptions(vad=VadMode.OFF))
        except Overloaded:
            served.health()  # a turn of the server's loop


def test_a_stream_given_up_halfway_sends_nothing_more_to_the_model(serve: Serve) -> None:
    model = ModelThatWaits(20)
    served = serve(loaded(model), max_requests=1, max_batch_size=1)
    options = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)
    messages = [
        pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig(options=options)),
        pb.TranscribeStreamRequest(audio=tones_file(10, 20, 30, 40)),
    ]

    responses = served.stub.TranscribeStream(iter(messages))
    assert next(responses).segment.text.strip() == words(10)
    responses.cancel()
    after = submit_when_there_is_room(served, tones_file(50))
    model.may_go_on.set()

    assert after.future.result(PATIENCE_S).text == words(50)
    assert not {30, 40} & set(model.bands)


def test_the_client_gives_out_segments_and_returns_the_transcript(serve: Serve) -> None:
    served = serve()
    segments: list[Segment] = []
    with Client(served.address) as client:
        transcript = client.transcribe(
            io.BytesIO(tones_file(10, 20)),
            TranscribeOptions(vad=VadMode.OFF),
            model="fake",
            on_segment=segments.append,
        )

    assert transcript.text == f"{words(10)} {words(20)}"
    assert [segment.text.strip() for segment in segments] == [words(10), words(20)]
    assert transcript.segments == ()
