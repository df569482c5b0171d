"""Each parameter over gRPC: honoured, refused with its name, or named in a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S, small_config, tones_file, words
from served import Serve
from talkmill.engine.decoding.parameters import BY_NAME, PARAMETERS
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, ServerConfig

INVALID = grpc.StatusCode.INVALID_ARGUMENT

ALONE: dict[str, list[Any]] = {
    "temperature": [0.0, 0.7, 100.0],
    "top_k": [0, 1, 50, 100_000],
    "top_p": [0.0, 0.5, 1.0],
    "typical_p": [0.5, 1.0],
    "epsilon_cutoff": [0.0, 0.1],
    "eta_cutoff": [0.0, 0.1],
    "max_length": [5, 448],
    "max_new_tokens": [1, 444],
    "min_length": [0, 9, 30],
    "min_new_tokens": [0, 9],
    "do_sample": [True, False],
    "early_stopping": [
        pb.EARLY_STOPPING_TRUE,
        pb.EARLY_STOPPING_FALSE,
        pb.EARLY_STOPPING_NEVER,
    ],
    "num_beams": [1, 2, 16],
    "num_beam_groups": [1, 4],
    "penalty_alpha": [0.0, 0.6, 1.0],
    "use_cache": [True, False],
    "seed": [0, 2**64 - 1],
    "length_penalty": [-1.0, 0.0, 2.0],
    "diversity_penalty": [0.5],
    "patience": [0.5, 2.0],
    "repetition_penalty": [0.5, 2.0],
    "no_repeat_ngram_size": [0, 3],
    "suppress_tokens": [[], [5, 6]],
    "compression_ratio_threshold": [1.35, 1000.0],
    "logprob_threshold": [-100.0, -1.0],
    "no_speech_threshold": [0.0, 0.6, 1.0],
    "condition_on_prev_tokens": [True, False],
}
OUTSIDE: dict[str, list[Any]] = {
    "temperature": [-0.1, 101.0, float("nan"), float("inf")],
    "top_k": [-1, 100_001],
    "top_p": [-0.1, 1.5],
    "typical_p": [0.0, 1.5],
    "epsilon_cutoff": [-0.1, 1.0],
    "eta_cutoff": [-0.1, 1.0],
    "max_length": [0, 4, 449],
    "max_new_tokens": [0, 449, -(2**31)],
    "min_length": [-1, 449],
    "min_new_tokens": [-1, 449],
    "early_stopping": [pb.EARLY_STOPPING_UNSPECIFIED, 99],
    "num_beams": [0, 17],
    "num_beam_groups": [0, 17],
    "penalty_alpha": [-0.1, 1.1],
    "length_penalty": [11.0, float("-inf")],
    "diversity_penalty": [0.0, -1.0],
    "patience": [0.0, 11.0],
    "repetition_penalty": [0.0, 101.0],
    "no_repeat_ngram_size": [-1, 449],
    "suppress_tokens": [[-1], [5, 2_000_000], [5_000]],
    "compression_ratio_threshold": [-0.1, 1001.0],
    "logprob_threshold": [0.1, -101.0, float("-inf")],
    "no_speech_threshold": [-0.1, 1.1],
}
WITHOUT_OUTSIDE = {
    "do_sample",
    "use_cache",
    "seed",
    "condition_on_prev_tokens",
}  # their type on the wire is their range
IDLE_ALONE = {
    "top_k",
    "top_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "early_stopping",
    "use_cache",
    "seed",
    "length_penalty",
    "diversity_penalty",
    "patience",
}


def test_the_values_here_are_for_every_parameter() -> None:
    assert list(ALONE) == [parameter.name for parameter in PARAMETERS]
    assert OUTSIDE.keys() | WITHOUT_OUTSIDE == ALONE.keys()


@pytest.mark.parametrize("name", ALONE)
def test_a_parameter_alone_is_honoured_or_gives_a_warning(serve: Serve, name: str) -> None:
    served = serve()
    for value in ALONE[name]:
        parameters = pb.GenerationParameters(**{name: value})
        answer = served.unary(tones_file(10), generation_parameters=parameters).answer()
        assert answer.text == words(10)
        is_idle = name in IDLE_ALONE or (name == "num_beam_groups" and value > 1)
        assert [warning.split()[0] for warning in answer.warnings] == [name] * is_idle


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_parameter_out_of_range_is_refused_by_name(serve: Serve, name: str) -> None:
    served = serve()
    for value in OUTSIDE[name]:
        parameters = pb.GenerationParameters(**{name: value})
        call = served.unary(tones_file(10), generation_parameters=parameters)
        assert call.refusal() == (INVALID, name)
        assert name in call.details()
    assert served.model.encoded == []


@pytest.mark.parametrize("name", sorted(OUTSIDE.keys() - {"early_stopping"}))
def test_a_refusal_names_value_and_range(serve: Serve, name: str) -> None:
    value = OUTSIDE[name][0]
    parameters = pb.GenerationParameters(**{name: value})
    call = serve().unary(tones_file(10), generation_parameters=parameters)
    call.refusal()
    assert repr(value[0] if isinstance(value, list) else value) in call.details()
    low = BY_NAME[name].range.low
    assert str(low) in call.details()


@pytest.fixture(scope="module")
def stub() -> Iterator[pb_grpc.TranscriptionStub]:
    """A server with the demo model in it."""
    settings = small_config(encoder_windows=(4,)).model_dump()
    config = ServerConfig.model_validate({**settings, "port": 0})
    with BackgroundServer(config) as server, grpc.insecure_channel(server.address) as channel:
        yield pb_grpc.TranscriptionStub(channel)


@pytest.fixture(scope="module")
def ask(stub: pb_grpc.TranscriptionStub) -> Callable[..., pb.TranscribeResponse]:
    clip = encode_audio(decode_file(DEMO_FOLDER / "sample.flac")[:48_000])

    def send(**parameters: Any) -> pb.TranscribeResponse:
        options = pb.TranscribeOptions(
            vad=pb.VAD_MODE_OFF, generation_parameters=pb.GenerationParameters(**parameters)
        )
        request = pb.TranscribeRequest(audio=clip, options=options)
        response: pb.TranscribeResponse = stub.Transcribe(request, timeout=PATIENCE_S)
        return response

    return send


@pytest.mark.parametrize("name", ALONE)
def test_the_demo_model_answers_with_each_parameter_alone(
    ask: Callable[..., pb.TranscribeResponse], name: str
) -> None:
    for value in ALONE[name]:
        answer = ask(**{name: value})
        assert answer.text or name == "penalty_alpha"  # with 1 it may say next to nothing
        if name in IDLE_ALONE:
            assert answer.text == ask().text


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"temperature": 3.0, "seed": 4}, id="temperature"),
        pytest.param({"do_sample": True, "temperature": 3.0, "top_k": 9, "seed": 4}, id="top_k"),
        pytest.param({"temperature": 3.0, "top_p": 0.9, "seed": 4}, id="top_p"),
        pytest.param({"temperature": 3.0, "typical_p": 0.9, "seed": 4}, id="typical_p"),
        pytest.param({"temperature": 3.0, "epsilon_cutoff": 0.001, "seed": 4}, id="epsilon_cutoff"),
        pytest.param({"temperature": 3.0, "eta_cutoff": 0.001, "seed": 4}, id="eta_cutoff"),
        pytest.param({"max_length": 7}, id="max_length"),
        pytest.param({"max_new_tokens": 2}, id="max_new_tokens"),
        pytest.param({"min_length": 40}, id="min_length"),
        pytest.param({"min_new_tokens": 40}, id="min_new_tokens"),
        pytest.param({"penalty_alpha": 0.9, "top_k": 9}, id="penalty_alpha"),
        pytest.param({"repetition_penalty": 0.05}, id="repetition_penalty"),
        pytest.param({"suppress_tokens": list(range(300, 700))}, id="suppress_tokens"),
    ],
)
def test_a_parameter_with_an_effect_changes_the_words(
    ask: Callable[..., pb.TranscribeResponse], parameters: dict[str, Any]
) -> None:
    answer = ask(**parameters)
    assert answer.text != ask().text
    assert answer.text == ask(**parameters).text
    # A parameter may make a loop, and the answer says that it ends at the limit.
    assert not [text for text in answer.warnings if text.split()[0] in parameters]


def test_seeds_decide_over_the_wire(ask: Callable[..., pb.TranscribeResponse]) -> None:
    seeds = [0, 1, 2**63, 2**64 - 1]
    answers = [ask(temperature=3.0, seed=seed, max_new_tokens=15).text for seed in seeds]
    assert len(set(answers)) == len(seeds)
    again = [ask(temperature=3.0, seed=seed, max_new_tokens=15).text for seed in seeds]
    assert answers == again
