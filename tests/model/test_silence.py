from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes import DEMO_FOLDER
from talkmill.engine.audio.features import log_mel
from talkmill.engine.model.array_encoder import WhisperEncoder
from talkmill.engine.model.silence import (
    Silence,
    blank_silence,
    load_or_measure,
    measure_silence,
    measure_states,
    silence_cuts,
)
from talkmill.engine.model.weights import read_weights

D_MODEL, NUM_HEADS, NUM_LAYERS = 8, 2, 3
N_MELS = 80


def random_silence(seed: int = 0, num_layers: int = NUM_LAYERS) -> Silence:
    rng = np.random.default_rng(seed)
    size = (NUM_HEADS, 1500, D_MODEL // NUM_HEADS)
    keys, values = (
        tuple(rng.standard_normal(size, np.float32) for _ in range(num_layers)) for _ in range(2)
    )
    return Silence(rng.standard_normal((1500, D_MODEL), np.float32), keys, values)


def same(found: Silence, expected: Silence) -> bool:
    assert len(found.keys) == len(found.values) == len(expected.keys)
    pairs = zip(
        [found.states, *found.keys, *found.values],
        [expected.states, *expected.keys, *expected.values],
        strict=True,
    )
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def never() -> Silence:
    raise AssertionError("it was measured although a valid file is there")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def stored(cache: Path) -> Path:
    """The file of `random_silence()` under the key "model"."""
    load_or_measure("model", random_silence)
    (path,) = (path for path in cache.rglob("*") if path.is_file())
    return path


def test_cuts_are_eight_different_seconds_with_sound() -> None:
    cuts = silence_cuts()
    assert [len(cut) for cut in cuts] == [16_000] * 8
    assert min(float(np.abs(cut).max()) for cut in cuts) > 0.05
    assert len({cut.tobytes() for cut in cuts}) == 8


def test_silence_is_the_mean_over_the_cuts_of_every_array() -> None:
    seen: list[NDArray[np.float32]] = []

    def measure(window: NDArray[np.float32]) -> Silence:
        seen.append(window)
        return random_silence(seed=len(seen))

    found = measure_silence(measure, N_MELS)

    assert len(seen) == 8
    for window, cut in zip(seen, silence_cuts(), strict=True):
        np.testing.assert_array_equal(window, log_mel(cut, N_MELS, 3000)[None])
    ones = [random_silence(seed=1 + i) for i in range(8)]
    close(found.states, np.mean([one.states for one in ones], axis=0))
    for layer in range(NUM_LAYERS):
        close(found.keys[layer], np.mean([one.keys[layer] for one in ones], axis=0))
        close(found.values[layer], np.mean([one.values[layer] for one in ones], axis=0))


def test_states_alone_are_measured_through_an_encoder_as_it_is() -> None:
    def encode(window: NDArray[np.float32]) -> NDArray[np.float32]:
        assert window.shape == (1, N_MELS, 3000)
        return np.ascontiguousarray(window[:, :D_MODEL, ::2].transpose(0, 2, 1))

    found = measure_states(encode, N_MELS)

    windows = [log_mel(cut, N_MELS, 3000) for cut in silence_cuts()]
    close(found, np.mean(windows, axis=0)[:D_MODEL, ::2].T)


def test_blank_silence_has_the_shapes_of_the_models_own() -> None:
    weights = read_weights(DEMO_FOLDER / "model.bin")
    blank = blank_silence(weights)
    measured = WhisperEncoder(weights).measure(np.zeros((1, N_MELS, 3000), np.float32))
    assert blank.states.shape == measured.states.shape
    for name in ("keys", "values"):
        shapes = [array.shape for array in getattr(measured, name)]
        assert [array.shape for array in getattr(blank, name)] == shapes


@pytest.mark.parametrize("num_layers", [0, NUM_LAYERS])
def test_silence_is_measured_once_for_each_key(cache: Path, num_layers: int) -> None:
    first, second = random_silence(1, num_layers), random_silence(2, num_layers)
    assert load_or_measure("one model", lambda: first) is first
    assert load_or_measure("another model", lambda: second) is second
    assert same(load_or_measure("one model", never), first)
    assert same(load_or_measure("another model", never), second)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.match("cache/talkmill/silence-*.npz") for path in files)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def one_bit_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def with_fewer_positions(path: Path) -> None:
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "states": arrays["states"][:-1]})


def with_other_heads(path: Path) -> None:
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "keys_1": arrays["keys_1"][:1]})


def without_a_layer(path: Path) -> None:
    arrays = dict(np.load(path))
    del arrays["values_1"]
    np.savez(path, **arrays)


def in_float64(path: Path) -> None:
    np.savez(path, **{name: array.astype(np.float64) for name, array in np.load(path).items()})


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        emptied,
        one_bit_changed,
        with_fewer_positions,
        with_other_heads,
        without_a_layer,
        in_float64,
    ],
)
def test_damaged_file_is_measured_again_and_replaced(
    stored: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(stored)
    anew = random_silence(seed=9)
    assert load_or_measure("model", lambda: anew) is anew
    assert f"silence: {stored.name} is not valid and is measured again" in caplog.text
    assert str(stored.parent) not in caplog.text
    assert same(load_or_measure("model", never), anew)
    assert [path for path in stored.parent.iterdir() if path != stored] == []


def test_folder_that_cannot_be_written_is_only_a_log_line(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_bytes(b"a file where the folder should be")
    silence = random_silence()
    assert load_or_measure("model", lambda: silence) is silence
    assert "silence: cannot be stored" in caplog.text


def test_full_disk_leaves_no_part_of_a_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/silence.npz")

    monkeypatch.setattr(np, "savez", fail)
    silence = random_silence()
    assert load_or_measure("model", lambda: silence) is silence
    assert "No space left on device" in caplog.text
    assert "/cache" not in caplog.text
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_time_of_measuring_is_logged(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_or_measure("model", random_silence)
        load_or_measure("model", never)
    assert [text for text in caplog.messages if "measured in" in text] == [caplog.messages[0]]
