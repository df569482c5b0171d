"""Live sessions over gRPC, on the demo model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import jiwer
import numpy as np
import pytest
from google.rpc import code_pb2

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S, FakeModel, small_config
from live_sessions import blocks
from served import Serve
from talkmill.engine import Ended, Final, Interim, LiveOptions, TranscribeOptions
from talkmill.engine.types import Samples
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, Client, ServerConfig
from talkmill.server.client import PIECE_BYTES
from waiting import wait_until

PCM16, FLOAT32 = pb.AUDIO_ENCODING_PCM16, pb.AUDIO_ENCODING_FLOAT32


@pytest.fixture(scope="module")
def sound() -> Samples:
    return decode_file(DEMO_FOLDER / "sample.flac")


def pcm16(samples: Samples) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


def messages(pieces: Iterable[bytes], **config: Any) -> Iterator[pb.StreamingTranscribeRequest]:
    given = {"encoding": PCM16, **config}
    yield pb.StreamingTranscribeRequest(config=pb.StreamingConfig(**given))
    for piece in pieces:
        yield pb.StreamingTranscribeRequest(audio=piece)


def converse(
    address: str, sent: Iterable[pb.StreamingTranscribeRequest]
) -> list[pb.StreamingTranscribeResponse]:
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.TranscriptionStub(channel)
        return list(stub.StreamingTranscribe(iter(sent), timeout=PATIENCE_S))


def refusal(address: str, sent: Iterable[pb.StreamingTranscribeRequest]) -> tuple[Any, str | None]:
    with pytest.raises(grpc.RpcError) as refused:
        converse(address, sent)
    return refused.value.code(), refused.value.details()


def text_of(answers: Iterable[pb.StreamingTranscribeResponse]) -> str:
    return " ".join(one.final.text for one in answers if one.HasField("final"))


@pytest.mark.parametrize(
    ("encoding", "write"),
    [
        (PCM16, pcm16),
        (FLOAT32, lambda samples: samples.astype("<f4").tobytes()),
    ],
    ids=["pcm16", "float32"],
)
def test_words_come_while_audio_is_sent(
    demo: BackgroundServer,
    sound: Samples,
    sample_text: str,
    encoding: int,
    write: Callable[[Samples], bytes],
) -> None:
    pieces = map(write, blocks(sound, 1_600))
    answers = converse(demo.address, messages(pieces, encoding=encoding))
    assert text_of(answers) == sample_text
    assert answers[0].HasField("speech_started")
    assert answers[-1].ended.reason == "the audio has ended"
    assert answers[-1].ended.duration_s == pytest.approx(len(sound) / 16_000)
    assert not any(one.HasField("interim") for one in answers)


@pytest.mark.parametrize(
    ("container", "codec"), [("webm", "libopus"), ("ogg", "libopus"), ("flac", "flac")]
)
def test_a_file_is_transcribed_as_it_is_written(
    demo: BackgroundServer, sound: Samples, sample_text: str, container: str, codec: str
) -> None:
    file = encode_audio(sound, container, codec)
    pieces = [file[at : at + 1_000] for at in range(0, len(file), 1_000)]
    answers = converse(demo.address, messages(pieces, encoding=pb.AUDIO_ENCODING_CONTAINER))
    assert text_of(answers) == sample_text


def test_interim_text_is_sent_where_it_is_asked_for(demo: BackgroundServer, sound: Samples) -> None:
    sent = messages(map(pcm16, blocks(sound, 1_600)), interim_results=True, interim_ms=100)
    interims = [one.interim for one in converse(demo.address, sent) if one.HasField("interim")]
    assert interims
    assert all(one.text.startswith(one.stable_text) for one in interims)


def test_words_have_times_of_the_session(demo: BackgroundServer, sound: Samples) -> None:
    options = pb.TranscribeOptions(return_timestamps=pb.RETURN_TIMESTAMPS_WORD)
    answers = converse(demo.address, messages([pcm16(sound)], options=options))
    finals = [one.final for one in answers if one.HasField("final")]
    words = [word for final in finals for chunk in final.chunks for word in chunk.words]
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)
    assert words[-1].end_s > finals[-1].start_s > finals[0].end_s


def test_the_client_of_the_package_gives_the_engines_events(
    demo: BackgroundServer, sound: Samples, sample_text: str
) -> None:
    options = LiveOptions(TranscribeOptions(timestamps=True))
    with Client(demo.address) as client:
        events = list(client.listen(map(pcm16, blocks(sound, 1_600)), options))
    texts = [event.transcript.text for event in events if isinstance(event, Final)]
    assert " ".join(texts) == sample_text
    assert any(isinstance(event, Interim) for event in events)
    assert isinstance(events[-1], Ended)


def test_the_client_sends_a_container(demo: BackgroundServer, sample: bytes) -> None:
    pieces = [sample[at : at + PIECE_BYTES] for at in range(0, len(sample), PIECE_BYTES)]
    with Client(demo.address) as client:
        *_, last = client.listen(pieces, encoding=None)
    assert last == Ended("the audio has ended")


def test_commit_ends_an_utterance_and_clear_forgets_one(
    demo: BackgroundServer, sound: Samples
) -> None:
    speech = pcm16(sound[: 16_000 * 2])
    controls = [pb.STREAMING_CONTROL_CLEAR, pb.STREAMING_CONTROL_COMMIT]

    def sent() -> Iterator[pb.StreamingTranscribeRequest]:
        yield from messages([], manual=True)
        for control in controls:
            yield pb.StreamingTranscribeRequest(audio=speech)
            yield pb.StreamingTranscribeRequest(control=control)

    answers = converse(demo.address, sent())
    assert [one.final.utterance for one in answers if one.HasField("final")] == [1]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"encoding": pb.AUDIO_ENCODING_UNSPECIFIED}, "encoding"),
        ({"encoding": 99}, "encoding"),
        ({"sample_rate_hz": 7}, "sample_rate_hz"),
        ({"channels": 9}, "channels"),
        ({"encoding": pb.AUDIO_ENCODING_CONTAINER, "channels": 1}, "channels"),
        ({"interim_ms": 0}, "interim_ms"),
        ({"max_utterance_s": 0.5}, "max_utterance_s"),
        ({"options": pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)}, "vad"),
        ({"options": pb.TranscribeOptions(channels=pb.CHANNELS_SPLIT)}, "channels"),
        ({"options": pb.TranscribeOptions(language="xx")}, "language"),
    ],
)
def test_a_configuration_that_cannot_be_honoured_is_refused(
    demo: BackgroundServer, config: dict[str, Any], field: str
) -> None:
    code, details = refusal(demo.address, messages([], **config))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(details)


def test_an_unknown_model_is_not_found(demo: BackgroundServer) -> None:
    code, details = refusal(demo.address, messages([], model="nothing"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "nothing" in str(details)


def test_a_stream_that_does_not_begin_with_config_is_refused(demo: BackgroundServer) -> None:
    first = pb.StreamingTranscribeRequest(audio=b"1234")
    code, details = refusal(demo.address, [first])
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "config" in str(details)


def test_a_second_config_ends_the_session(demo: BackgroundServer) -> None:
    code, details = refusal(demo.address, [*messages([]), *messages([])])
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "audio or control" in str(details)


def test_garbage_in_a_container_is_refused(demo: BackgroundServer) -> None:
    sent = messages([b"no audio" * 9_999], encoding=pb.AUDIO_ENCODING_CONTAINER)
    code, details = refusal(demo.address, sent)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "audio" in str(details)


def test_a_session_that_nobody_feeds_ends_and_says_so(
    serve: Serve, stalled: Callable[..., Iterator[bytes]]
) -> None:
    served = serve(live_idle_s=0.05)

    def sent() -> Iterator[pb.StreamingTranscribeRequest]:
        yield from messages([])
        yield from (pb.StreamingTranscribeRequest(audio=one) for one in stalled())

    [last] = converse(served.address, sent())
    assert last.ended.reason == "no audio came for 0.05 s"


def test_a_client_that_vanishes_leaves_nothing_behind(
    demo: BackgroundServer, sound: Samples, stalled: Callable[..., Iterator[bytes]]
) -> None:
    engine = demo.server.engine

    def sent() -> Iterator[pb.StreamingTranscribeRequest]:
        yield from messages([pcm16(sound[:32_000])])
        yield from (pb.StreamingTranscribeRequest(audio=one) for one in stalled())

    with grpc.insecure_channel(demo.address) as channel:
        call = pb_grpc.TranscriptionStub(channel).StreamingTranscribe(sent())
        assert next(iter(call)).HasField("speech_started")
        call.cancel()
    wait_until(lambda: engine.num_requests == 0 and engine.num_sessions == 0)


def test_silence_takes_no_model_time(serve: Serve, model: FakeModel) -> None:
    served = serve()
    silence = bytes(2 * 16_000 * 60)
    answers = converse(served.address, messages([silence] * 10))
    assert [one.WhichOneof("event") for one in answers] == ["ended"]
    assert model.bands == []


def test_who_sends_faster_than_real_time_loses_nothing(
    demo: BackgroundServer, sound: Samples, sample_text: str
) -> None:
    answers = converse(demo.address, messages([pcm16(np.concatenate([sound] * 5))]))
    finals = [one.final for one in answers if one.HasField("final")]
    assert [final.utterance for final in finals] == list(range(len(finals)))
    word_errors = jiwer.wer(" ".join([sample_text] * 5), text_of(answers))
    assert word_errors < 0.05  # in batches the demo model mishears a word


def test_a_model_that_fails_is_told_and_the_session_goes_on(
    serve: Serve, model: FakeModel, sound: Samples
) -> None:
    served = serve()
    model.poisoned = frozenset(range(80))
    answers = converse(served.address, messages([pcm16(sound)]))
    errors = [one.error for one in answers if one.HasField("error")]
    assert {error.code for error in errors} == {code_pb2.INTERNAL}
    assert [error.utterance for error in errors] == list(range(len(errors)))
    assert answers[-1].HasField("ended")


def test_a_drain_answers_what_was_said_and_then_ends_the_session(
    sound: Samples, stalled: Callable[..., Iterator[bytes]]
) -> None:
    settings = {**small_config(encoder_windows=(5,)).model_dump(), "port": 0}
    answers: list[pb.StreamingTranscribeResponse] = []
    has_started = threading.Event()

    def sent() -> Iterator[pb.StreamingTranscribeRequest]:
        yield from messages([pcm16(sound[: 16_000 * 2])])
        yield from (pb.StreamingTranscribeRequest(audio=one) for one in stalled())

    with (
        BackgroundServer(ServerConfig.model_validate(settings)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        call = pb_grpc.TranscriptionStub(channel).StreamingTranscribe(sent())

        def read() -> None:
            for answer in call:
                answers.append(answer)
                has_started.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert has_started.wait(PATIENCE_S)
        server.drain()
        reader.join(PATIENCE_S)
    assert [one.WhichOneof("event") for one in answers][-2:] == ["final", "ended"]
    assert answers[-1].ended.reason == "the engine is draining"
