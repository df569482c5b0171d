"""What the encoder computes for silence, measured once for each model and kept on disk.

A fitted window is as long as its chunk. What the full window would have after it, silence, is
taken from here: the encoder's output for the decoder, and each layer's keys and values for the
encoder's own attention. Without them Whisper does not know where to stop and repeats itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..audio.decode import SAMPLE_RATE
from ..audio.features import CHUNK_FRAMES, log_mel
from ..audio.sample import sample_clip
from ..errors import ConfigError
from ..types import Features, Samples
from .files import cache_folder
from .weights import Weights, num_encoder_layers

NUM_POSITIONS = CHUNK_FRAMES // 2  # of the encoder's output for the full window

# Found by trial: silence after a second of speech, averaged over eight seconds, gives fewer word
# errors than silence after one second of speech or after digital silence.
_CUT_STARTS_S = (0.6, 1.2, 1.8, 4.0, 4.6, 7.5, 8.2, 8.8)
_CUT_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Silence:
    """What one encoder computes for the full window where it holds silence; all float32.

    Only positions from one second on are silence: before, they hold the mean of speech.

    Attributes:
        states: Output, (1500, d_model).
        keys: Keys of each layer's self-attention, (num_heads, 1500, head_size) each; empty if the
            encoder cannot take them.
        values: Values of each layer's self-attention, likewise.
    """

    states: NDArray[np.float32]
    keys: tuple[NDArray[np.float32], ...] = ()
    values: tuple[NDArray[np.float32], ...] = ()

    def __post_init__(self) -> None:
        """Check types and shapes.

        Raises:
            ValueError: An array is not float32 or its shape does not fit, or there are not as many
                keys as values.
            ConfigError: A number is not finite.
        """
        if self.states.ndim != 2 or len(self.states) != NUM_POSITIONS:
            raise ValueError(f"states of shape {self.states.shape}, not ({NUM_POSITIONS}, d_model)")
        if len(self.keys) != len(self.values):
            raise ValueError(f"keys of {len(self.keys)} layers, values of {len(self.values)}")
        d_model = self.states.shape[1]
        for array in (*self.keys, *self.values):
            num_heads, num_positions, head_size = array.shape
            if num_positions != NUM_POSITIONS or num_heads * head_size != d_model:
                raise ValueError(f"keys or values of shape {array.shape}, d_model {d_model}")
        if any(array.dtype != np.float32 for array in (self.states, *self.keys, *self.values)):
            raise ValueError("an array is not float32")
        if not all(np.isfinite(array).all() for array in (self.states, *self.keys, *self.values)):
            raise ConfigError("model: damaged: the encoder's output for silence is not finite")

    def layers(self, num_layers: int) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return the keys and values of each layer.

        Raises:
            ValueError: There are not as many as the model has layers.
        """
        if len(self.keys) != num_layers:
            raise ValueError(f"silence of {len(self.keys)} layers for a model of {num_layers}")
        return list(zip(self.keys, self.values, strict=True))


def silence_cuts() -> list[Samples]:
    """Return eight cuts of one second each from the package's recording."""
    clip = sample_clip()
    starts = [int(SAMPLE_RATE * start_s) for start_s in _CUT_STARTS_S]
    return [clip[start : start + int(SAMPLE_RATE * _CUT_S)] for start in starts]


def measure_silence(measure: Callable[[NDArray[np.float32]], Silence], n_mels: int) -> Silence:
    """Return the mean over the cuts of what an encoder computes for each of them.

    Args:
        measure: Returns what the encoder computes for features (1, n_mels, 3000).
        n_mels: Mel bands of the model.
    """
    windows = _windows(n_mels)
    num_windows = 1
    total = _arrays(measure(next(windows)))
    for window in windows:
        for name, array in _arrays(measure(window)).items():
            total[name] = total[name] + array
        num_windows += 1
    return _silence({name: array / np.float32(num_windows) for name, array in total.items()})


def measure_states(
    encode: Callable[[NDArray[np.float32]], NDArray[np.float32]], n_mels: int
) -> NDArray[np.float32]:
    """Return `Silence.states` of an encoder whose attention cannot take keys and values.

    Args:
        encode: Returns float32 (1, 1500, d_model) for features (1, n_mels, 3000).
        n_mels: Mel bands of the model.
    """
    return measure_silence(lambda window: Silence(encode(window)[0]), n_mels).states


def blank_silence(weights: Weights) -> Silence:
    """Return zeros in the shapes of a model's silence, for measuring times."""
    d_model = len(weights["encoder/conv1/weight"])
    num_heads = int(weights["encoder/num_heads"])
    zeros = np.zeros((num_heads, NUM_POSITIONS, d_model // num_heads), np.float32)
    heads = (zeros,) * num_encoder_layers(weights)
    return Silence(np.zeros((NUM_POSITIONS, d_model), np.float32), heads, heads)


def load_or_measure(key: str, measure: Callable[[], Silence]) -> Silence:
    """Return what was measured under this key before, on this machine; else measure and store it.

    Args:
        key: Names everything that the numbers depend on: weights, library, number type.
        measure: Called if no valid file is there.
    """
    text = f"{key} {_CUT_STARTS_S} {_CUT_S}"
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = cache_folder() / f"silence-{name}.npz"
    if path.is_file():
        try:
            return _load(path)
        except Exception as error:  # of zipfile, zlib, NumPy or `Silence`, by where the damage is
            _log.warning("silence: %s is not valid and is measured again: %s", path.name, error)
    start_s = time.perf_counter()
    silence = measure()
    _log.info("silence: measured in %.1f s", time.perf_counter() - start_s)
    try:
        _store(path, silence)
    except OSError as error:
        _log.warning("silence: cannot be stored, so each start measures it: %s", error.strerror)
    return silence


def _windows(n_mels: int) -> Iterator[Features]:
    for cut in silence_cuts():
        yield log_mel(cut, n_mels)[None]


def _load(path: Path) -> Silence:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return _silence({name: stored[name] for name in stored.files})


def _store(path: Path, silence: Silence) -> None:
    # Written under another name first: other processes never see a part of the file.
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **_arrays(silence))  # type: ignore[arg-type]  # not allow_pickle
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _arrays(silence: Silence) -> dict[str, NDArray[np.float32]]:
    """Return every array by a name; `_silence` is the inverse."""
    arrays = {"states": silence.states}
    arrays |= {f"keys_{layer}": array for layer, array in enumerate(silence.keys)}
    arrays |= {f"values_{layer}": array for layer, array in enumerate(silence.values)}
    return arrays


def _silence(arrays: dict[str, NDArray[np.float32]]) -> Silence:
    num_layers = len(arrays) // 2
    return Silence(
        arrays["states"],
        tuple(arrays[f"keys_{layer}"] for layer in range(num_layers)),
        tuple(arrays[f"values_{layer}"] for layer in range(num_layers)),
    )
