"""Real CTranslate2 models of every shape, with weights that mean nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from fakes import encode_audio, small_config, tokenizer_file
from talkmill.engine import (
    Engine,
    GenerationParameters,
    InvalidOption,
    Task,
    TranscribeOptions,
    VadMode,
)
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.features import log_mel
from talkmill.engine.loading import LoadedModel, load_model
from talkmill.engine.model import choose_device
from talkmill.engine.types import Samples

WIDTH, NUM_HEADS, NUM_LAYERS = 64, 2, 2


def fill(spec: object, rng: np.random.Generator, shapes: dict[str, tuple[int, ...]]) -> None:
    """Give every weight of a spec random numbers."""

    def visit(owner: object, name: str, value: object) -> None:
        leaf = name.rsplit("/", 1)[-1]
        if value is not None and leaf not in ("bias", "encodings"):
            return
        shape = next(shape for end, shape in shapes.items() if name.endswith(end))
        weights = np.ones(shape) if leaf == "gamma" else rng.normal(0, 0.3, shape)
        setattr(owner, leaf, weights.astype(np.float32))

    ctranslate2.specs.model_spec.visit_spec(spec, visit)


def build(folder: Path, *, n_mels: int, is_multilingual: bool, seed: int = 0) -> Path:
    """Write a model whose vocabulary is the demo's, with two more languages, or English only."""
    rng = np.random.default_rng(seed)
    languages = ["de", "sv"] if is_multilingual else []
    path = tokenizer_file(folder, languages=languages)
    content = json.loads(path.read_text(encoding="utf-8"))
    ids = {**content["model"]["vocab"], **{t["content"]: t["id"] for t in content["added_tokens"]}}
    vocabulary = [token for token, _ in sorted(ids.items(), key=lambda pair: pair[1])]
    # CTranslate2 takes a vocabulary that knows the empty token for a multilingual one.
    filler = "" if is_multilingual else "<|filler|>"
    vocabulary = [filler if token == "" else token for token in vocabulary]
    if is_multilingual and "" not in vocabulary:
        vocabulary.append("")
    spec = ctranslate2.specs.WhisperSpec(NUM_LAYERS, NUM_HEADS, NUM_LAYERS, NUM_HEADS)
    shapes = {
        "conv1/weight": (WIDTH, n_mels, 3),
        "conv2/weight": (WIDTH, WIDTH, 3),
        "encoder/position_encodings/encodings": (1500, WIDTH),
        "decoder/position_encodings/encodings": (448, WIDTH),
        "embeddings/weight": (len(vocabulary), WIDTH),
        "projection/weight": (len(vocabulary), WIDTH),
        "projection/bias": (len(vocabulary),),
        "self_attention/linear_0/weight": (3 * WIDTH, WIDTH),
        "self_attention/linear_0/bias": (3 * WIDTH,),
        "attention/linear_0/weight": (WIDTH, WIDTH),
        "attention/linear_0/bias": (WIDTH,),
        "self_attention/linear_1/weight": (WIDTH, WIDTH),
        "self_attention/linear_1/bias": (WIDTH,),
        "attention/linear_1/weight": (2 * WIDTH, WIDTH),
        "attention/linear_1/bias": (2 * WIDTH,),
        "attention/linear_2/weight": (WIDTH, WIDTH),
        "attention/linear_2/bias": (WIDTH,),
        "ffn/linear_0/weight": (4 * WIDTH, WIDTH),
        "ffn/linear_0/bias": (4 * WIDTH,),
        "ffn/linear_1/weight": (WIDTH, 4 * WIDTH),
        "ffn/linear_1/bias": (WIDTH,),
        "gamma": (WIDTH,),
        "beta": (WIDTH,),
        "bias": (WIDTH,),
    }
    fill(spec, rng, shapes)
    spec.register_vocabulary(vocabulary)
    names = {token: number for number, token in enumerate(vocabulary)}
    spec.config.lang_ids = [names[f"<|{code}|>"] for code in ["en", *languages]]
    # Never the end, so that every answer is as long as it may be.
    spec.config.suppress_ids = [names["<|endoftext|>"]]
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(1, 0)]
    spec.validate()
    spec.save(str(folder))
    return folder


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
            made[key] = build(folder, n_mels=n_mels, is_multilingual=is_multilingual)
        return made[key]

    return get


@pytest.fixture
def model(folder_of: Callable[[int, bool], Path]) -> LoadedModel:
    config = small_config(model=str(folder_of(80, True)))
    return load_model(config, choose_device(config))


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
@pytest.mark.parametrize("count", [1, 5, 100, None])
def test_answer_has_exactly_as_many_tokens_as_asked_for(
    model: LoadedModel, speech: Samples, num_previous: int, count: int | None
) -> None:
    replica = model.replicas[0]
    previous = tuple(range(10, 10 + num_previous))
    prompt = model.tokenizer.prompt("en", Task.TRANSCRIBE, False, previous)
    encoded = replica.encode(log_mel(speech, 80)[None])
    longest = 448 - len(prompt)
    answer = replica.generate(encoded, [prompt], DecodePlan(max_new_tokens=count))[0]
    assert len(answer) == (count or longest)
    if count is None:
        options = DecodePlan(max_new_tokens=longest)
        assert replica.generate(encoded, [prompt], options)[0] == answer


@pytest.mark.parametrize("num_beams", [1, 3])
def test_batched_output_equals_one_by_one(
    model: LoadedModel, speech: Samples, num_beams: int
) -> None:
    replica = model.replicas[0]
    features = np.stack([log_mel(speech[start:], 80) for start in (0, 30_000, 60_000, 90_000)])
    prompts = [
        model.tokenizer.prompt(language, Task.TRANSCRIBE, False)
        for language in ("en", "de", "sv", "en")
    ]
    options = DecodePlan(num_beams=num_beams, max_new_tokens=20)
    together = replica.generate(replica.encode(features), prompts, options)
    alone = [
        replica.generate(replica.encode(row[None]), [prompt], options)[0]
        for row, prompt in zip(features, prompts, strict=True)
    ]
    assert together == alone
    assert len(set(map(tuple, together))) > 1, "answers that are all alike prove nothing"


def test_detected_languages_are_those_of_each_row(model: LoadedModel, speech: Samples) -> None:
    replica = model.replicas[0]
    rows = np.stack([log_mel(speech[start:], 80) for start in (0, 60_000)])
    together = replica.detect_language(replica.encode(rows))
    alone = [replica.detect_language(replica.encode(row[None]))[0] for row in rows]
    assert [language for language, _ in together] == [language for language, _ in alone]
    for (_, found), (_, expected) in zip(together, alone, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    assert {language for language, _ in together} <= model.tokenizer.languages


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
