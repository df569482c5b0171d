"""Real CTranslate2 models of every shape, with weights that mean nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from audio_files import encode_audio
from benchmarks.random_weights import Shape
from fakes import small_config
from random_models import build
from talkmill.engine import (
    Engine,
    GenerationParameters,
    InvalidOption,
    Task,
    TranscribeOptions,
    VadMode,
)
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.loading import LoadedModel, load_model
from talkmill.engine.types import Samples

SHAPES = [
    pytest.param(80, True, id="80 mels, multilingual"),
    pytest.param(128, True, id="128 mels, multilingual"),
    pytest.param(80, False, id="80 mels, English only"),
]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, bool], Path]:
    made: dict[tuple[int, bool], Path] = {}

    def get(n_mels: int, is_multilingual: bool) -> Path:
        key = n_mels, is_multilingual
        if key not in made:
            folder = tmp_path_factory.mktemp("model")
            shape = Shape(n_mels=n_mels)
            made[key] = build(folder, shape, is_multilingual=is_multilingual, gain=0.3)
        return made[key]

    return get


@pytest.fixture
def model(folder_of: Callable[[int, bool], Path]) -> LoadedModel:
    config = small_config(model=str(folder_of(80, True)))
    return load_model(config)


@pytest.mark.parametrize(("n_mels", "is_multilingual"), SHAPES)
def test_model_of_any_shape_loads_and_runs(
    folder_of: Callable[[int, bool], Path], speech: Samples, n_mels: int, is_multilingual: bool
) -> None:
    config = small_config(model=str(folder_of(n_mels, is_multilingual)))
    options = TranscribeOptions(parameters=GenerationParameters(max_new_tokens=8), vad=VadMode.OFF)
    with Engine(config) as engine:
        transcript = engine.transcribe(encode_audio(speech), options)
        known = {"en", "de", "sv"} if is_multilingual else {"en"}
        assert transcript.language in known
        assert 0 < transcript.language_probability <= 1
        assert (transcript.language_probability == 1.0) is (not is_multilingual)
        if not is_multilingual:
            with pytest.raises(InvalidOption):
                engine.submit(encode_audio(speech), TranscribeOptions(language="de"))
            with pytest.raises(InvalidOption):
                engine.submit(encode_audio(speech), TranscribeOptions(task=Task.TRANSLATE))


@pytest.mark.parametrize("num_previous", [0, 1, 100, 223])
@pytest.mark.parametrize("count", [1, 5, 100, None], ids=["1", "5", "100", "all that fit"])
def test_answer_has_exactly_as_many_tokens_as_asked_for(
    model: LoadedModel, speech: Samples, num_previous: int, count: int | None
) -> None:
    replica = model.replicas[0]
    previous = tuple(range(10, 10 + num_previous))
    prompt = model.tokenizer.prompt("en", Task.TRANSCRIBE, False, previous)
    encoded = replica.encode([log_mel(speech, 80)], FULL_WINDOW.num_positions)
    num_tokens = count or 448 - len(prompt)
    answer = replica.generate(encoded, [prompt], DecodePlan(max_new_tokens=num_tokens))[0]
    assert len(answer.tokens) == num_tokens


@pytest.mark.parametrize("num_beams", [1, 3])
def test_batched_output_equals_one_by_one(
    model: LoadedModel, speech: Samples, num_beams: int
) -> None:
    replica = model.replicas[0]
    features = [log_mel(speech[start:], 80) for start in (0, 30_000, 60_000, 90_000)]
    prompts = [
        model.tokenizer.prompt(language, Task.TRANSCRIBE, False)
        for language in ("en", "de", "sv", "en")
    ]
    options = DecodePlan(num_beams=num_beams, max_new_tokens=20)
    encoded = replica.encode(features, FULL_WINDOW.num_positions)
    together = replica.generate(encoded, prompts, options)
    alone = [
        replica.generate(replica.encode([row], FULL_WINDOW.num_positions), [prompt], options)[0]
        for row, prompt in zip(features, prompts, strict=True)
    ]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    sums = [one.avg_logprob for one in together]
    assert sums == pytest.approx([one.avg_logprob for one in alone], abs=1e-4)
    assert len({one.tokens for one in together}) > 1, "answers that are all alike prove nothing"


def test_detected_languages_are_those_of_each_row(model: LoadedModel, speech: Samples) -> None:
    replica = model.replicas[0]
    rows = [log_mel(speech[start:], 80) for start in (0, 60_000)]
    positions = FULL_WINDOW.num_positions
    output = replica.encode(rows, positions)
    together = replica.detect_languages(output, [0, 1])
    alone = [replica.detect_languages(replica.encode([row], positions), [0])[0] for row in rows]
    again = dict(replica.detect_languages(output, [1])[0])
    assert again == pytest.approx(dict(together[1]), rel=1e-4)  # CPUs without AVX-512 round
    for found, expected in zip(together, alone, strict=True):
        assert dict(found) == pytest.approx(dict(expected), abs=1e-4)
        assert dict(found).keys() == model.tokenizer.languages
        assert sum(dict(found).values()) == pytest.approx(1.0)


def test_languages_are_detected_in_the_first_positions_alone(
    model: LoadedModel, speech: Samples
) -> None:
    replica = model.replicas[0]
    row = log_mel(speech, 80)
    output = replica.encode([row, row], FULL_WINDOW.num_positions)
    first = np.ascontiguousarray(np.asarray(output)[1:, :100])
    (found,) = replica.detect_languages(output, [1], max_positions=100)
    (expected,) = replica.detect_languages(ctranslate2.StorageView.from_array(first), [0])
    assert found == expected


def test_engine_on_real_weights_is_the_same_alone_and_under_load(
    folder_of: Callable[[int, bool], Path], speech: Samples
) -> None:
    files = [encode_audio(speech[start:]) for start in range(0, 96_000, 16_000)]
    options = TranscribeOptions(
        language="en", vad=VadMode.OFF, parameters=GenerationParameters(max_new_tokens=12)
    )
    with Engine(small_config(model=str(folder_of(80, True)))) as engine:
        alone = [engine.transcribe(file, options).text for file in files]
        requests = [engine.submit(io.BytesIO(file), options) for file in files]
        assert [request.future.result(60).text for request in requests] == alone
