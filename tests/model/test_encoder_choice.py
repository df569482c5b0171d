from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes import DEMO_FOLDER, small_config
from talkmill.engine import ConfigError, Engine, EngineConfig
from talkmill.engine.config import EncoderName
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model import encoder_choice
from talkmill.engine.model.array_encoder import WhisperEncoder
from talkmill.engine.model.device import resolve_runtime
from talkmill.engine.model.encoder_choice import choose_encoder, time_side_by_side
from talkmill.engine.model.files import ModelProperties
from talkmill.engine.model.loading import load_model
from talkmill.engine.model.protocol import ArrayEncoder
from talkmill.engine.model.silence import Silence
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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fitted(wanted: EncoderName) -> tuple[str, ArrayEncoder | None]:
    """Choose the demo model's encoder for fitted windows; return its name and the encoder."""
    runtime = resolve_runtime(small_config(), ModelProperties())
    model = CTranslate2Model(DEMO_FOLDER, runtime, 0)
    name = choose_encoder(wanted, model, DEMO_FOLDER / "model.bin", runtime, "these weights")
    return name, model.encoder


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_fitted_windows_attend_to_silence_measured_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    library = importlib.import_module("talkmill.engine.model.openvino_encoder")
    features = noise(2, 80, 100)
    name, first = fitted("openvino")
    assert name.startswith("openvino ")
    assert first is not None
    assert first.silence is not None
    assert len(files_in(cache)) == 1
    monkeypatch.setattr(library, "measure_with_openvino", None)  # what is stored must do

    _, second = fitted("openvino")

    assert second is not None
    np.testing.assert_array_equal(second(features), first(features))
    plain = WhisperEncoder(read_weights(DEMO_FOLDER / "model.bin"))
    assert relative_error(plain(features), first(features)) > 100 * TOLERANCE
    if first.number_type == "float32":
        plain.set_silence(first.silence)
        assert relative_error(first(features), plain(features)) < TOLERANCE


@pytest.mark.parametrize("openvino_s", [1.0, 3.0])
def test_auto_measures_silence_only_for_an_encoder_that_it_takes(
    cache: Path, monkeypatch: pytest.MonkeyPatch, openvino_s: float
) -> None:
    pytest.importorskip("openvino")
    timed: list[Silence | None] = []

    def time_side_by_side(encoders: Sequence[ArrayEncoder], _: object) -> list[float]:
        timed.append(encoders[0].silence)
        return [openvino_s, 2.0]

    monkeypatch.setattr(encoder_choice, "time_side_by_side", time_side_by_side)
    name, encoder = fitted("auto")
    (silence,) = timed
    assert silence is not None  # it has its price, so it is part of what is timed
    if openvino_s > 2.0:
        assert (name, encoder) == ("ctranslate2", None)
        assert files_in(cache) == []
    else:
        assert name.startswith("openvino ")
        assert encoder is not None
        assert encoder.silence is not None
        assert encoder.silence.states.any()


def test_silence_that_openvino_cannot_measure_is_a_config_error_only_if_it_is_wanted(
    cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    library = importlib.import_module("talkmill.engine.model.openvino_encoder")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no memory for so many outputs")

    monkeypatch.setattr(library, "measure_with_openvino", fail)
    monkeypatch.setattr(encoder_choice, "time_side_by_side", lambda *_: [1.0, 2.0])
    assert fitted("auto") == ("ctranslate2", None)
    assert "no memory for so many outputs" in caplog.text
    with pytest.raises(ConfigError, match=r"^encoder: .*no memory for so many outputs"):
        fitted("openvino")
    assert files_in(cache) == []


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
    features = list(noise(5, 80, 500))
    prompts = [model.tokenizer.prompt("en", Task.TRANSCRIBE, timestamps=False)] * 5
    plan = DecodePlan(max_new_tokens=10)
    encoded, expected = parts.encode(features, 250), whole.encode(features, 250)
    assert relative_error(np.array(encoded), np.array(expected)) < TOLERANCE
    found = parts.generate(encoded, prompts, plan)
    assert [one.tokens for one in found] == [
        one.tokens for one in whole.generate(expected, prompts, plan)
    ]
    assert parts.detect_languages(encoded, range(5)) == [(("en", 1.0),)] * 5
