"""What live sessions over gRPC do when something goes wrong: on the client's side, or on ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import grpc
import jiwer
import numpy as np
import pytest
from google.rpc import code_pb2

from audio_files import decode_file
from fakes import DEMO_FOLDER, PATIENCE_S, FakeModel, small_config
from served import Serve
from streaming_calls import converse, messages, pcm16, refusal, text_of
from talkmill.engine import PcmInput
from talkmill.engine.types import Samples
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, ServerConfig
from waiting import wait_until

CLEAR = pb.STREAMING_CONTROL_CLEAR


@pytest.fixture(scope="module")
def sound() -> Samples:
    return decode_file(DEMO_FOLDER / "sample.flac")


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


def test_audio_counts_for_its_caller_also_without_an_answer(serve: Serve, sound: Samples) -> None:
    served = serve()
    metrics = served.background.server._gateway.metrics
    answers = converse(
        served.address,
        [*messages([pcm16(sound[:32_000])]), pb.StreamingTranscribeRequest(control=CLEAR)],
    )
    assert [one.WhichOneof("event") for one in answers] == ["speech_started", "ended"]
    wait_until(lambda: b"talkmill_audio_seconds_total 2.0" in metrics.render())


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


def test_a_fault_of_ours_ends_the_session_and_is_told(
    serve: Serve, sound: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()

    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(PcmInput, "feed", fail)
    code, details = refusal(served.address, messages([pcm16(sound)]))
    assert (code, details) == (grpc.StatusCode.INTERNAL, "internal error")


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
