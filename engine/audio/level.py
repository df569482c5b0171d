"""Brings quiet stretches of speech up to a usual level: far speakers, low recordings.

Speech detection misses what is quieter than about -55 dBFS, and quiet speech after loud speech. The
level is measured each 0.1 s, with what is around it, so that a stretch is raised as a whole and
nothing loud is ever raised. Steady noise is not raised, however quiet: only sound that comes and
goes, as speech does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..types import Samples
from .resample import Planes

_STEP_SAMPLES = 1600  # 0.1 s at 16 kHz
_REACH = 8  # steps to each side that decide the gain of a step
_QUIET_RMS = 10 ** (-42 / 20)  # of the loudest step in reach; louder stretches stay as they are
_TARGET_RMS = 10 ** (-25 / 20)
_MAX_GAIN = 10 ** (40 / 20)
_MIN_SWING = 10 ** (10 / 20)  # of the loudest to the softest step in reach; steady noise has 1 dB


def leveled(blocks: Iterable[Planes]) -> Iterator[Planes]:
    """Yield audio with its quiet stretches raised, each channel on its own, 0.8 s later.

    Args:
        blocks: float32 (num_channels, num_samples) each, of any length.
    """
    levelers: list[_Leveler] = []
    for block in blocks:
        levelers = levelers or [_Leveler() for _ in block]
        pairs = zip(levelers, block, strict=True)
        if (found := np.stack([one.feed(plane) for one, plane in pairs])).size:
            yield found
    if levelers and (rest := np.stack([one.feed(None) for one in levelers])).size:
        yield rest


class _Leveler:
    """Raises the quiet stretches of one channel. Not thread-safe."""

    def __init__(self) -> None:
        """Start an utterance."""
        self._audio: Samples = np.zeros(0, np.float32)  # not returned yet; starts with a step
        # From `_REACH` steps before it; NaN where there is no audio.
        self._levels: NDArray[np.float32] = np.full(_REACH, np.nan, np.float32)
        self._gain = 1.0  # at the end of what was returned

    def feed(self, block: Samples | None) -> Samples:
        """Take a block, None for the end; return the audio whose level is decided now.

        Args:
            block: float32 of any length.

        Returns:
            float32: what was taken and not returned yet, less up to 0.9 s at its end.
        """
        audio = self._audio if block is None else np.concatenate([self._audio, block])
        num_known = len(self._levels) - _REACH  # steps of `audio` that were measured already
        whole = audio[: len(audio) // _STEP_SAMPLES * _STEP_SAMPLES]
        steps = whole.reshape(-1, _STEP_SAMPLES)[num_known:]
        parts = [self._levels, np.sqrt(np.mean(np.square(steps), 1))]
        if block is None:  # what is less than a step has the gain that suits the steps before it
            parts.append(np.full(_REACH + (len(audio) > len(whole)), np.nan))
        levels = np.concatenate(parts).astype(np.float32)
        num_done = max(0, len(levels) - 2 * _REACH)
        gains = _gains(levels)
        end = len(audio) if block is None else num_done * _STEP_SAMPLES
        self._audio, self._levels = audio[end:], levels[num_done:]
        return self._raised(audio[:end], gains)

    def _raised(self, audio: Samples, gains: NDArray[np.float32]) -> Samples:
        """Return audio with a gain for each step, reached at its end."""
        before, self._gain = self._gain, float(gains[-1]) if len(gains) else self._gain
        if before == 1.0 and (gains == 1.0).all():
            return audio
        ends = np.arange(len(gains) + 1) * _STEP_SAMPLES
        curve = np.interp(np.arange(len(audio)), ends, np.concatenate([[before], gains]))
        raised: Samples = (audio * curve).astype(np.float32)
        return raised


def _gains(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gain of each step but the first and last `_REACH`, from the levels of all."""
    if len(levels) < 2 * _REACH + 1:
        return np.ones(0, np.float32)
    around = sliding_window_view(levels, 2 * _REACH + 1)
    loudest, softest = np.fmax.reduce(around, 1), np.fmin.reduce(around, 1)
    is_raised = (loudest < _QUIET_RMS) & (loudest > _MIN_SWING * softest)
    wanted = np.minimum(_TARGET_RMS / np.maximum(loudest, 1e-9), _MAX_GAIN)
    return np.where(is_raised, wanted, 1.0).astype(np.float32)
