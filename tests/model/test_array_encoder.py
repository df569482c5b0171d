from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.random_weights import Shape
from fakes import DEMO_FOLDER
from random_models import build
from talkmill.engine.model import array_encoder
from talkmill.engine.model.array_encoder import WhisperEncoder
from talkmill.engine.model.array_math import gelu
from talkmill.engine.model.silence import Silence
from talkmill.engine.model.weights import read_weights

TOLERANCE = 1e-4  # of the largest output
SAME = 1e-5  # likewise, between two ways to group the same products
HALF_TOLERANCE = 2e-2  # likewise, of products in float16

MODELS = {
    "one layer": Shape(64, 2, 1),
    "128 mels": Shape(64, 4, 2, n_mels=128),
    "tiny shape": Shape(384, 6, 2),
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    @functools.cache
    def get(name: str, quantization: str = "") -> Path:
        if name == "demo":
            return DEMO_FOLDER
        folder = tmp_path_factory.mktemp("model")
        return build(folder, MODELS[name], quantization=quantization)

    return get


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    return WhisperEncoder(read_weights(DEMO_FOLDER / "model.bin"))


def noise(num_rows: int, n_mels: int, num_frames: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((num_rows, n_mels, num_frames)).astype(np.float32)


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def by_ctranslate2(folder: Path, features: NDArray[np.float32]) -> NDArray[np.float32]:
    whisper = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    return np.array(whisper.encode(ctranslate2.StorageView.from_array(features)))


@pytest.mark.parametrize(("num_rows", "num_frames"), [(1, 2), (3, 300), (1, 3000)])
@pytest.mark.parametrize("name", ["demo", *MODELS])
def test_output_is_that_of_ctranslate2(
    folder_of: Callable[..., Path], name: str, num_rows: int, num_frames: int
) -> None:
    folder = folder_of(name)
    weights = read_weights(folder / "model.bin")
    features = noise(num_rows, 128 if "128" in name else 80, num_frames)

    found = WhisperEncoder(weights)(features)

    assert found.dtype == np.float32
    assert found.shape == (num_rows, num_frames // 2, len(weights["encoder/conv1/weight"]))
    assert relative_error(found, by_ctranslate2(folder, features)) < TOLERANCE


@pytest.mark.parametrize("quantization", ["int8", "int16", "float16"])
def test_stored_weights_of_every_type_are_read_as_ctranslate2_reads_them(
    folder_of: Callable[..., Path], quantization: str
) -> None:
    folder = folder_of("one layer", quantization)
    features = noise(1, 80, 100)
    found = WhisperEncoder(read_weights(folder / "model.bin"))(features)
    assert relative_error(found, by_ctranslate2(folder, features)) < TOLERANCE


def test_measured_silence_is_that_of_the_full_window(encoder: WhisperEncoder) -> None:
    features = noise(1, 80, 3000)
    silence = encoder.measure(features)
    np.testing.assert_array_equal(silence.states, encoder(features)[0])
    assert len(silence.keys) == len(silence.values) > 1
    assert not np.array_equal(silence.keys[0], silence.values[0])


@pytest.mark.parametrize("num_frames", [2, 60, 600])
def test_window_followed_by_its_own_silence_is_as_if_it_went_on(
    encoder: WhisperEncoder, num_frames: int
) -> None:
    # Keys and values are of this very window, so what is cut off is attended to all the same. It
    # is zeros, which the convolutions see at the end of a window too.
    features = noise(1, 80, 3000)
    features[:, :, num_frames:] = 0.0
    full = encoder(features)
    fitted = WhisperEncoder(read_weights(DEMO_FOLDER / "model.bin"))
    fitted.set_silence(encoder.measure(features))

    found = fitted(features[:, :, :num_frames])

    alone = encoder(features[:, :, :num_frames])
    expected = full[:, : num_frames // 2]
    assert relative_error(found, expected) < TOLERANCE
    assert relative_error(alone, expected) > 100 * TOLERANCE


def test_full_window_has_no_room_for_silence(encoder: WhisperEncoder) -> None:
    features = noise(1, 80, 3000)
    fitted = WhisperEncoder(read_weights(DEMO_FOLDER / "model.bin"))
    fitted.set_silence(encoder.measure(noise(1, 80, 3000) + 1))
    np.testing.assert_array_equal(fitted(features), encoder(features))


def test_silence_of_another_model_is_refused(encoder: WhisperEncoder) -> None:
    silence = encoder.measure(noise(1, 80, 3000))
    other = Silence(silence.states, silence.keys[1:], silence.values[1:])
    with pytest.raises(ValueError, match="layers"):
        encoder.set_silence(other)


@pytest.mark.parametrize("has_silence", [False, True])
@pytest.mark.parametrize("name", ["demo", *MODELS])
def test_rows_do_not_depend_on_the_batch(
    folder_of: Callable[..., Path],
    name: str,
    has_silence: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = WhisperEncoder(read_weights(folder_of(name) / "model.bin"))
    n_mels = 128 if "128" in name else 80
    if has_silence:
        encoder.set_silence(encoder.measure(noise(1, n_mels, 3000) + 1))
    for num_frames in (40, 200):
        features = noise(5, n_mels, num_frames)
        alone = np.concatenate([encoder(features[row : row + 1]) for row in range(5)])
        assert np.ptp(alone, axis=0).max() > 0.1, "rows that are all alike prove nothing"
        num_keys = 1500 if has_silence else num_frames // 2
        row_scores = encoder.num_heads * num_frames // 2 * num_keys
        for num_rows in (8, 2, 0):  # all rows at once, in groups with a rest, row by row
            monkeypatch.setattr(array_encoder, "_MAX_SCORES", num_rows * row_scores)
            assert relative_error(encoder(features), alone) < SAME


@pytest.mark.parametrize("has_silence", [False, True])
def test_products_in_float16_give_nearly_the_same(
    folder_of: Callable[..., Path], has_silence: bool
) -> None:
    weights = read_weights(folder_of("128 mels") / "model.bin")
    exact, half = WhisperEncoder(weights), WhisperEncoder(weights, dtype=np.float16)
    assert (exact.number_type, half.number_type) == ("float32", "float16")
    features = noise(2, 128, 60)
    if has_silence:
        silence = exact.measure(noise(1, 128, 3000) + 1)
        exact.set_silence(silence)
        half.set_silence(silence)
    found = half(features)
    assert found.dtype == np.float32
    assert 0 < relative_error(found, exact(features)) < HALF_TOLERANCE


class OtherLibrary:
    """NumPy as if its arrays were on a device, and with dirty memory."""

    def __init__(self) -> None:
        self.num_copies = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty_like(self, array: Any) -> Any:
        return np.full_like(array, np.nan)

    def asnumpy(self, array: Any) -> Any:
        self.num_copies += 1
        return np.array(array)


def test_output_stays_on_the_device(encoder: WhisperEncoder) -> None:
    library = OtherLibrary()
    device = WhisperEncoder(read_weights(DEMO_FOLDER / "model.bin"), library)
    features = noise(2, 80, 100)
    np.testing.assert_array_equal(device(features), encoder(features))
    assert library.num_copies == 0
    silence = device.measure(noise(1, 80, 3000))
    assert library.num_copies == 1 + len(silence.keys) + len(silence.values)


def test_gelu_is_exact() -> None:
    x = np.linspace(-8, 8, 2001, dtype=np.float32)
    expected = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()]
    np.testing.assert_allclose(gelu(x, np), expected, rtol=0, atol=1e-6)
