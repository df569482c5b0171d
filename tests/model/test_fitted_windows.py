"""CTranslate2's model in windows of any length: the same numbers and words, silence after them."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from audio_files import decode_file
from benchmarks.random_weights import Shape
from fakes import DEMO_FOLDER, small_config
from random_models import build
from talkmill.engine import (
    EncoderWindow,
    Engine,
    EngineConfig,
    Task,
    TranscribeOptions,
    VadOptions,
)
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import Windows
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model import loading
from talkmill.engine.model.loading import LoadedModel, load_model
from talkmill.engine.model.silence import Silence
from talkmill.engine.model.whisper_ct2 import CTranslate2Model
from talkmill.engine.types import Features, Samples

FITTED, FULL = EncoderWindow.FITTED, EncoderWindow.FULL
POSITIONS = 1500
LENGTHS = (160, 520, 3000, 160, 2900, 22)  # frames of the rows of one batch
TOLERANCE = 1e-4
SHAPE = Shape()


def without_windows(folder: Path) -> Path:
    """Return a model's folder after it has stopped declaring windows."""
    (folder / "talkmill.json").unlink()
    return folder


@pytest.fixture(scope="module")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without_windows(build(tmp_path_factory.mktemp("model"), SHAPE, gain=0.3))


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, as if it were stock Whisper."""
    folder = tmp_path_factory.mktemp("demo") / "model"
    shutil.copytree(DEMO_FOLDER, folder)
    return without_windows(folder)


def loaded_in(folder: Path, **settings: object) -> LoadedModel:
    return load_model(small_config(model=str(folder), **settings))


def replica_in(model: LoadedModel) -> CTranslate2Model:
    replica = model.replicas[0]
    assert isinstance(replica, CTranslate2Model)
    return replica


@pytest.fixture(scope="module", params=["random weights", "demo"])
def model(request: pytest.FixtureRequest, random_folder: Path, demo_folder: Path) -> LoadedModel:
    """A model with fitted windows, on CTranslate2 in float32."""
    return loaded_in(demo_folder if request.param == "demo" else random_folder)


@pytest.fixture(scope="module")
def sound() -> Samples:
    return decode_file(DEMO_FOLDER / "sample.flac")


@pytest.fixture(scope="module")
def rows(sound: Samples) -> list[Features]:
    """Features of several lengths, each of another part of the recording."""
    return [
        log_mel(sound[6000 * i :][: max(1, 160 * (frames - 60))], 80, frames)
        for i, frames in enumerate(LENGTHS)
    ]


def encoded(model: LoadedModel, rows: list[Features]) -> NDArray[np.float32]:
    return np.array(replica_in(model).encode(rows, POSITIONS))


def test_models_without_declared_windows_have_fitted_ones(model: LoadedModel) -> None:
    assert model.runtime.windows == Windows(FITTED)
    silence = replica_in(model).silence
    assert silence is not None
    assert silence.dtype == np.float32
    assert silence.shape == (POSITIONS, replica_in(model).states(features(3000)).shape[2])
    assert np.isfinite(silence).all()


def features(num_frames: int, num_rows: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((num_rows, 80, num_frames), np.float32)


@pytest.mark.parametrize(("num_rows", "num_frames"), [(1, 160), (3, 500), (2, 3000)])
@pytest.mark.parametrize("compute_type", ["float32", "int8"])
def test_states_are_an_array_of_the_host(
    random_folder: Path, compute_type: str, num_rows: int, num_frames: int
) -> None:
    replica = replica_in(loaded_in(random_folder, compute_type=compute_type))
    states = replica.states(features(num_frames, num_rows))
    assert isinstance(states, np.ndarray)
    assert states.dtype == np.float32
    assert states.shape == (num_rows, num_frames // 2, SHAPE.d_model)


@pytest.mark.parametrize("encoder", ["ctranslate2", "array"])
@pytest.mark.parametrize("encoder_batch_size", [0, 1, 2, 8])
def test_rows_in_windows_of_several_lengths_are_as_if_alone(
    random_folder: Path, rows: list[Features], encoder_batch_size: int, encoder: str
) -> None:
    model = loaded_in(random_folder, encoder=encoder, encoder_batch_size=encoder_batch_size)
    together = encoded(model, rows)
    assert together.shape == (len(rows), POSITIONS, SHAPE.d_model)
    for row, found in zip(rows, together, strict=True):
        np.testing.assert_allclose(found, encoded(model, [row])[0], rtol=0, atol=TOLERANCE)


def test_row_is_the_output_of_its_window_and_then_silence(
    model: LoadedModel, rows: list[Features]
) -> None:
    replica = replica_in(model)
    assert replica.silence is not None
    for row, found in zip(rows, encoded(model, rows), strict=True):
        length = row.shape[1] // 2
        own = replica.states(row[None])[0]
        np.testing.assert_allclose(found[:length], own, rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(found[length:], replica.silence[length:])


def test_full_windows_are_what_ctranslate2_makes_of_them(
    model: LoadedModel, random_folder: Path, demo_folder: Path, sound: Samples
) -> None:
    folder = demo_folder if model.name == demo_folder.name else random_folder
    whisper = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    row = log_mel(sound, 80)
    expected = whisper.encode(ctranslate2.StorageView.from_array(row[None]))
    np.testing.assert_array_equal(encoded(model, [row]), np.array(expected))


def test_windows_that_fill_their_positions_need_no_silence(random_folder: Path) -> None:
    replica = replica_in(loaded_in(random_folder, encoder_windows=(5,)))
    assert replica.silence is None
    output = np.array(replica.encode(list(features(500, 3)), 250))
    np.testing.assert_allclose(output, replica.states(features(500, 3)), rtol=0, atol=TOLERANCE)
    with pytest.raises(RuntimeError, match="needs the output for silence"):
        replica.encode(list(features(500)), POSITIONS)


@pytest.mark.parametrize("is_exact", [False, True], ids=["native", "exact"])
def test_answers_and_languages_are_those_of_the_rows_alone(
    model: LoadedModel, rows: list[Features], is_exact: bool
) -> None:
    replica = replica_in(model)
    prompt = model.tokenizer.prompt("en", Task.TRANSCRIBE, timestamps=False)
    plan = DecodePlan(is_exact=is_exact, max_new_tokens=12)

    def answers(batch: list[Features]) -> list[tuple[int, ...]]:
        output = replica.encode(batch, POSITIONS)
        if not is_exact:
            found = replica.generate(output, [prompt] * len(batch), plan)
        else:
            tasks = [ExactTask(prompt, plan, 0, i, lambda: True) for i in range(len(batch))]
            found = replica.exact_lane(model.vocabulary).run(output, tasks)
        return [one.tokens for one in found]

    together = answers(rows)
    assert together == [answers([row])[0] for row in rows]
    assert len(set(together)) > 2, "answers that are all alike prove nothing"
    found = replica.detect_languages(replica.encode(rows, POSITIONS), range(len(rows)))
    alone = [replica.detect_languages(replica.encode([row], POSITIONS), [0])[0] for row in rows]
    assert [languages[0][0] for languages in found] == [languages[0][0] for languages in alone]


def test_another_encoder_is_asked_once_for_each_length(random_folder: Path) -> None:
    class Encoder:
        def __init__(self) -> None:
            self.number_type = "float32"
            self.silence: Silence | None = None
            self.shapes: list[tuple[int, ...]] = []

        def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
            self.shapes.append(features.shape)
            return np.full((len(features), features.shape[2] // 2, SHAPE.d_model), 7.0, np.float32)

    model = loaded_in(random_folder, encoder_batch_size=4)
    replica, encoder = replica_in(model), Encoder()
    replica.encoder = encoder
    rows = [features(frames)[0] for frames in (160, 500, 160, 3000)]
    output = np.array(replica.encode(rows, POSITIONS))
    assert sorted(encoder.shapes) == [(1, 80, 500), (1, 80, 3000), (2, 80, 160)]
    assert replica.silence is not None
    assert np.all(output[0, :80] == 7.0)
    np.testing.assert_array_equal(output[0, 80:], replica.silence[80:])


def test_without_an_array_library_windows_are_full(
    random_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "array_library", lambda device: None)  # as on a GPU without CuPy
    model = loaded_in(random_folder)
    assert model.runtime.windows == Windows(FULL)
    assert replica_in(model).silence is None


def one_by_one(**settings: object) -> EngineConfig:
    """Return settings without batches: the last digits of a score depend on what is beside it."""
    return small_config(max_batch_size=1, **settings)


@pytest.fixture(scope="module")
def fitted(demo_folder: Path) -> Iterator[Engine]:
    with Engine(one_by_one(model=str(demo_folder))) as engine:
        yield engine


@pytest.mark.parametrize("timestamps", [False, True])
def test_full_windows_on_demand_give_the_words_of_a_server_with_full_windows(
    fitted: Engine, demo_folder: Path, sample: bytes, timestamps: bool
) -> None:
    in_parts = VadOptions(silence_duration_ms=500)
    options = TranscribeOptions(timestamps=timestamps, encoder_window=FULL, vad_options=in_parts)
    found = fitted.transcribe(io.BytesIO(sample), options)
    with Engine(one_by_one(model=str(demo_folder), encoder_windows="full")) as engine:
        expected = engine.transcribe(io.BytesIO(sample), replace(options, encoder_window=None))
    assert found.segments == expected.segments
    assert len(found.segments) > 1
    assert found.encoder_window is expected.encoder_window is FULL


def test_model_in_fitted_windows_answers(fitted: Engine, sample: bytes) -> None:
    transcript = fitted.transcribe(sample)
    assert transcript.text
    assert transcript.encoder_window is FITTED
    assert transcript.coverage is not None


def test_second_load_reads_silence_from_the_cache_folder(
    random_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.INFO, logger="talkmill"):
        first, second = (replica_in(loaded_in(random_folder)).silence for _ in range(2))
        assert len([text for text in caplog.messages if "silence: measured" in text]) == 1
        loaded_in(random_folder, compute_type="int8")
        assert len([text for text in caplog.messages if "silence: measured" in text]) == 2
    assert len(list(tmp_path.rglob("silence-*.npz"))) == 2
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)
