"""Live sessions over gRPC, on the demo model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S
from live_sessions import blocks
from served import Serve
from streaming_calls import FLOAT32, PCM16, converse, messages, pcm16, refusal, text_of
from talkmill.engine import Ended, Final, Interim, LiveOptions, TranscribeOptions
from talkmill.engine.types import Samples
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, Client
from talkmill.server.client import PIECE_BYTES


@pytest.fixture(scope="module")
def sound() -> Samples:
    return decode_file(DEMO_FOLDER / "sample.flac")


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


def held(sound: Samples, has_shown: threading.Event) -> Iterator[bytes]:
    """Yield two seconds, and the rest once interim text was shown."""
    for n, block in enumerate(blocks(sound, 1_600)):
        if n == 20:
            assert has_shown.wait(PATIENCE_S)
        yield pcm16(block)


def test_interim_text_is_sent_where_it_is_asked_for(serve: Serve, sound: Samples) -> None:
    served, has_shown = serve(), threading.Event()
    sent = messages(held(sound, has_shown), interim_results=True, interim_ms=100)
    interims = []
    with grpc.insecure_channel(served.address) as channel:
        for answer in pb_grpc.TranscriptionStub(channel).StreamingTranscribe(sent):
            if answer.HasField("interim"):
                has_shown.set()
                interims.append(answer.interim)
    assert all(one.text.startswith(one.stable_text) for one in interims)


def test_interim_text_comes_to_the_client_of_the_package(serve: Serve, sound: Samples) -> None:
    served, has_shown = serve(), threading.Event()
    with Client(served.address) as client:
        for event in client.listen(held(sound, has_shown), LiveOptions(interim_ms=100)):
            if isinstance(event, Interim):
                has_shown.set()
                assert event.text


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
