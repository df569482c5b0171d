from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.random_weights import Shape
from fakes import DEMO_FOLDER, small_config
from random_models import build
from talkmill.engine import ConfigError, Engine, EngineConfig
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.device import resolve_runtime
from talkmill.engine.model.encoder_choice import time_side_by_side
from talkmill.engine.model.files import ModelProperties
from talkmill.engine.model.loading import load_model
from talkmill.engine.model.weights import read_weights
from talkmill.engine.model.whisper_ct2 import CTranslate2Model
from talkmill.engine.types import Task

TOLERANCE = 1e-4  # of the largest output


def noise(num_rows: int, n_mels: int, num_frames: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((num_rows, n_mels, num_frames), np.float32)


def replica_of(**settings: object) -> CTranslate2Model:
    config = small_config(**settings)
    replica = load_model(config).replicas[0]
    assert isinstance(replica, CTranslate2Model)
    return replica


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.fixture(params=["demo", "128 mels, float32", "int16", "float16"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model, by what is special about it."""
    if request.param == "demo":
        return DEMO_FOLDER
    if request.param == "128 mels, float32":
        return build(tmp_path, Shape(n_mels=128))
    return build(tmp_path, Shape(), quantization=request.param)


@pytest.mark.parametrize("num_frames", [500, 3000])
def test_openvino_gives_the_numbers_of_ctranslate2(folder: Path, num_frames: int) -> None:
    pytest.importorskip("openvino")
    library = importlib.import_module("talkmill.engine.model.openvino_encoder")
    reference = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    features = noise(2, reference.n_mels, num_frames)
    expected = np.array(reference.encode(ctranslate2.StorageView.from_array(features)))
    encoder = library.OpenVinoEncoder(
        read_weights(folder / "model.bin"), workers=1, threads=1, is_bfloat16=False
    )

    found = encoder(features)

    assert found.dtype == np.float32
    assert relative_error(found, expected) < TOLERANCE


def test_openvino_keeps_apart_the_calls_of_several_threads() -> None:
    pytest.importorskip("openvino")
    library = importlib.import_module("talkmill.engine.model.openvino_encoder")
    encoder = library.OpenVinoEncoder(
        read_weights(DEMO_FOLDER / "model.bin"), workers=2, threads=1, is_bfloat16=False
    )
    batches = [noise(1, 80, 100) * (1 + i) for i in range(12)]
    alone = [encoder(batch) for batch in batches]
    start = threading.Barrier(3)

    def call(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        start.wait()
        output: NDArray[np.float32] = encoder(batch)
        return output

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(call, batches))
    assert all(
        relative_error(found, expected) < TOLERANCE
        for found, expected in zip(together, alone, strict=True)
    )


def test_words_are_the_same_through_openvino(sample: bytes) -> None:
    pytest.importorskip("openvino")
    texts = []
    for encoder in ("ctranslate2", "openvino"):
        with Engine(small_config(encoder=encoder)) as engine:
            texts.append(engine.transcribe(sample).text)
    assert texts[0]
    assert texts[0] == texts[1]


@pytest.mark.usefixtures("without_openvino")
def test_openvino_that_is_not_installed_is_a_config_error_that_names_the_extra() -> None:
    with pytest.raises(ConfigError, match=r"^encoder: .*talkmill\[openvino\]"):
        replica_of(encoder="openvino")


@pytest.mark.usefixtures("without_openvino")
def test_auto_needs_no_openvino() -> None:
    assert replica_of(encoder="auto").encoder is None


def test_auto_says_what_it_took_and_why(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("openvino")
    with caplog.at_level(logging.INFO):
        replica = replica_of(encoder="auto")
    (message,) = (text for text in caplog.messages if text.startswith("encoder: "))
    taken = "ctranslate2" if replica.encoder is None else "openvino"
    assert message.startswith(f"encoder: {taken}; ")
    assert " ms" in message


def test_weights_that_openvino_cannot_take_are_a_config_error_only_if_it_is_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    library = importlib.import_module("talkmill.engine.model.openvino_encoder")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(library.ov.Core, "compile_model", fail)
    assert replica_of(encoder="auto").encoder is None
    assert "no such operation" in caplog.text
    with pytest.raises(ConfigError, match=r"^encoder: .*no such operation"):
        replica_of(encoder="openvino")


@pytest.mark.parametrize(
    "settings", [{"encoder": "openvino"}, {"encoder_batch_size": 1}], ids=["encoder", "rows"]
)
def test_what_a_gpu_does_not_do_is_a_config_error(settings: dict[str, object]) -> None:
    config = EngineConfig.model_validate({"device": "cuda", **settings})
    with pytest.raises(ConfigError, match=f"^{next(iter(settings))}: "):
        resolve_runtime(config, ModelProperties())


class Clock:
    """Advances only while one of its encoders is called."""

    now_s = 0.0

    def encoder(self, *costs_s: float) -> Callable[[NDArray[np.float32]], None]:
        """Return an encoder whose calls take these times, one after the other."""
        turns = iter(costs_s)

        def call(_: NDArray[np.float32]) -> None:
            self.now_s += next(turns)

        return call

    def __call__(self) -> float:
        return self.now_s


def test_encoders_are_compared_by_their_best_try_on_each_window() -> None:
    clock = Clock()
    prepare_s = 100.0
    one = clock.encoder(prepare_s, 0.0625, 0.25, 0.125, 0.5, 0.25, 0.125)
    other = clock.encoder(prepare_s, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125)
    windows = [noise(1, 80, 2), noise(1, 80, 4)]
    assert time_side_by_side([one, other], windows, clock) == [0.0625 + 0.125, 0.125 + 0.125]


def test_slow_encoders_are_tried_once() -> None:
    clock = Clock()
    encoder = clock.encoder(9.0, 4.0)  # a third call would raise
    assert time_side_by_side([encoder], [noise(1, 80, 2)], clock) == [4.0]


@pytest.mark.parametrize("num_rows", [1, 2, 5, 8])
def test_encoder_in_parts_gives_the_answers_of_the_whole_batch(num_rows: int) -> None:
    config = small_config(encoder_batch_size=num_rows)
    model = load_model(config)
    parts, whole = model.replicas[0], replica_of(encoder_batch_size=8)
    features = noise(5, 80, 500)
    prompts = [model.tokenizer.prompt("en", Task.TRANSCRIBE, timestamps=False)] * 5
    plan = DecodePlan(max_new_tokens=10)
    encoded, expected = parts.encode(features), whole.encode(features)
    assert relative_error(np.array(encoded), np.array(expected)) < TOLERANCE
    found = parts.generate(encoded, prompts, plan)
    assert [one.tokens for one in found] == [
        one.tokens for one in whole.generate(expected, prompts, plan)
    ]
    assert parts.detect_language(encoded) == [("en", 1.0)] * 5
