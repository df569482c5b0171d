from __future__ import annotations

import functools
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.random_weights import Shape
from fakes import DEMO_FOLDER
from random_models import build
from talkmill.engine.model.array_encoder import WhisperEncoder
from talkmill.engine.model.silence import Silence, measure_silence
from talkmill.engine.model.weights import read_weights

TOLERANCE = 1e-4  # of the largest output
SAME = 1e-5  # likewise, between two ways to group the same products


def noise(num_rows: int, n_mels: int, num_frames: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((num_rows, n_mels, num_frames), np.float32)


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture
def library() -> Any:
    """The module under test, which needs an optional dependency."""
    pytest.importorskip("openvino")
    return importlib.import_module("talkmill.engine.model.openvino_encoder")


@pytest.fixture(params=["demo", "128 mels, float32", "int16", "float16"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model, by what is special about it."""
    if request.param == "demo":
        return DEMO_FOLDER
    if request.param == "128 mels, float32":
        return build(tmp_path, Shape(n_mels=128))
    return build(tmp_path, Shape(), quantization=request.param)


@pytest.mark.parametrize("num_frames", [500, 3000])
def test_openvino_gives_the_numbers_of_ctranslate2(
    library: Any, folder: Path, num_frames: int
) -> None:
    reference = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    features = noise(2, reference.n_mels, num_frames)
    expected = np.array(reference.encode(ctranslate2.StorageView.from_array(features)))
    encoder = library.OpenVinoEncoder(
        read_weights(folder / "model.bin"), workers=1, threads=1, is_bfloat16=False
    )

    found = encoder(features)

    assert found.dtype == np.float32
    assert relative_error(found, expected) < TOLERANCE


@functools.cache
def silence_of(folder: Path, n_mels: int) -> Silence:
    """Return what the model computes for some window that is not silent at all."""
    encoder = WhisperEncoder(read_weights(folder / "model.bin"))
    return encoder.measure(noise(1, n_mels, 3000) + 1)


@pytest.mark.parametrize("num_frames", [2, 60, 600, 3000])
def test_openvino_attends_to_silence_as_the_array_encoder_does(
    library: Any, folder: Path, num_frames: int
) -> None:
    weights = read_weights(folder / "model.bin")
    n_mels = weights["encoder/conv1/weight"].shape[1]
    silence = silence_of(folder, n_mels)
    reference = WhisperEncoder(weights)
    features = noise(1 if num_frames == 3000 else 3, n_mels, num_frames)
    without_silence = reference(features)
    reference.set_silence(silence)
    expected = reference(features)
    encoder = library.OpenVinoEncoder(
        weights, workers=1, threads=1, is_bfloat16=False, silence=silence
    )

    assert relative_error(encoder(features), expected) < TOLERANCE
    has_silence = num_frames < 3000
    assert (relative_error(without_silence, expected) > 100 * TOLERANCE) == has_silence


@pytest.mark.parametrize("has_silence", [False, True])
def test_openvino_gives_rows_that_do_not_depend_on_the_batch(
    library: Any, folder: Path, has_silence: bool
) -> None:
    weights = read_weights(folder / "model.bin")
    n_mels = weights["encoder/conv1/weight"].shape[1]
    encoder = library.OpenVinoEncoder(
        weights,
        workers=1,
        threads=1,
        is_bfloat16=False,
        silence=silence_of(folder, n_mels) if has_silence else None,
    )
    for num_frames in (2, 20, 80, 340, 500):
        features = noise(7, n_mels, num_frames)
        alone = np.concatenate([encoder(features[row : row + 1]) for row in range(7)])
        assert np.ptp(alone, axis=0).max() > 0.1, "rows that are all alike prove nothing"
        for num_rows in (2, 3, 7):
            assert relative_error(encoder(features[:num_rows]), alone[:num_rows]) < SAME


def test_openvino_measures_the_silence_that_the_array_encoder_measures(
    library: Any, tmp_path: Path
) -> None:
    weights = read_weights(build(tmp_path, Shape(n_mels=128)) / "model.bin")

    found = library.measure_with_openvino(weights, threads=1, is_bfloat16=False)

    expected = measure_silence(WhisperEncoder(weights).measure, n_mels=128)
    assert relative_error(found.states, expected.states) < TOLERANCE
    assert len(found.keys) == len(expected.keys) >= 2
    for name in ("keys", "values"):
        pairs = zip(getattr(found, name), getattr(expected, name), strict=True)
        assert all(relative_error(*pair) < TOLERANCE for pair in pairs)


def test_silence_of_another_model_is_refused(library: Any) -> None:
    whole = silence_of(DEMO_FOLDER, 80)
    part = Silence(whole.states, whole.keys[1:], whole.values[1:])
    with pytest.raises(ValueError, match="layers"):
        library.OpenVinoEncoder(
            read_weights(DEMO_FOLDER / "model.bin"), workers=1, threads=1, silence=part
        )


def test_openvino_keeps_apart_the_calls_of_several_threads(library: Any) -> None:
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
