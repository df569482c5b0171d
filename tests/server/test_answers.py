"""What the two RPCs answer; `send` sends by each of them."""

from __future__ import annotations

import io

import numpy as np
import pytest

from audio_files import encode_audio
from fakes import PATIENCE_S, chunk_tones, loaded, tones_file, words
from served import ModelThatWaits, Send, Serve
from talkmill.engine import Segment, Task, TranscribeOptions, VadMode
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import Client

SEGMENTS = pb.RETURN_TIMESTAMPS_SEGMENT


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


@pytest.mark.parametrize("exact", [False, True], ids=["native", "exact"])
def test_log_probabilities_come_where_they_are_asked_for(
    serve: Serve, send: Send, exact: bool
) -> None:
    served = serve()
    parameters = pb.GenerationParameters(min_new_tokens=1 if exact else None)
    options = {"generation_parameters": parameters, "return_timestamps": SEGMENTS}
    answer = send(served, tones_file(10, 20), token_logprobs=True, **options).answer()

    assert "".join(token.token for token in answer.logprobs).strip() == answer.text
    assert b"".join(token.bytes for token in answer.logprobs).decode().strip() == answer.text
    ids = [token for chunk in answer.chunks for token in chunk.tokens]
    assert len(answer.logprobs) == len(ids)
    # The first token of each chunk is a time: it has one, too, which is not shown.
    half = len(ids) // 2
    assert [token.logprob * -64 for token in answer.logprobs][:half] == list(range(2, half + 2))
    assert not send(served, tones_file(10, 20), **options).answer().logprobs


def test_a_shorter_pause_cuts_speech_into_more_chunks(
    serve: Serve, send: Send, sample: bytes
) -> None:
    served = serve()

    def num_chunks(**options: float) -> int:
        served.model.forget()
        vad_options = pb.VadOptions(**options)  # type: ignore[arg-type]
        send(served, sample, vad=pb.VAD_MODE_AUTO, vad_options=vad_options).answer()
        return len(served.model.bands)

    assert num_chunks(silence_duration_ms=100) > num_chunks() > num_chunks(threshold=1.0) == 0


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
