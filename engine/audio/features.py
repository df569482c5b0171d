"""Log-mel features as Whisper's encoder expects them. Stateless and thread-safe.

The values are those of HF's `WhisperFeatureExtractor` on audio padded with silence.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..types import Features, Samples
from .decode import SAMPLE_RATE

CHUNK_S = 30  # length of the windows that Whisper's encoder was trained on
HOP_SAMPLES = 160
FFT_SAMPLES = 400
CHUNK_SAMPLES = CHUNK_S * SAMPLE_RATE
CHUNK_FRAMES = CHUNK_SAMPLES // HOP_SAMPLES  # 3000

# Whisper's constants: the power has a floor, its log10 is raised to at least the maximum minus the
# dynamic range, then shifted and scaled to about -1 to 1.
_POWER_FLOOR = 1e-10
_DYNAMIC_RANGE = 8.0
_SHIFT = _SCALE = 4.0

# Frames computed together. They stay in a core's cache: half the time of all 3000 at once.
_BLOCK_FRAMES = 128


def log_mel(samples: Samples, n_mels: int, window_frames: int = CHUNK_FRAMES) -> Features:
    """Return the log-mel features of one chunk, padded with silence to the encoder's window.

    Args:
        samples: Mono float32 audio at 16 kHz, shape (num_samples,), from 1 sample to the window.
        n_mels: Mel bands of the model: 80, or 128 for large-v3.
        window_frames: Frames of the window, 10 ms each.

    Returns:
        float32 of shape (n_mels, window_frames).
    """
    # Only frames that overlap the samples are computed; the rest, silence, has the floor's value.
    num_frames = min(window_frames, (len(samples) + FFT_SAMPLES // 2) // HOP_SAMPLES + 1)
    padded = _padded(samples, num_frames, window_frames * HOP_SAMPLES)
    frames = sliding_window_view(padded, FFT_SAMPLES)[::HOP_SAMPLES]
    filters = _mel_filters(n_mels)
    mel = np.empty((n_mels, num_frames), np.float32)
    for start in range(0, num_frames, _BLOCK_FRAMES):
        block = slice(start, start + _BLOCK_FRAMES)
        np.matmul(filters, _power_spectrum(frames[block]).T, out=mel[:, block])
    np.log10(np.maximum(mel, _POWER_FLOOR, out=mel), out=mel)
    floor = max(float(mel.max()) - _DYNAMIC_RANGE, math.log10(_POWER_FLOOR))
    np.maximum(mel, floor, out=mel)
    mel += _SHIFT
    mel /= _SCALE
    features = np.empty((n_mels, window_frames), np.float32)
    features[:, :num_frames] = mel
    features[:, num_frames:] = (floor + _SHIFT) / _SCALE
    return features


def in_window(features: Features, num_frames: int) -> Features:
    """Return features cut to a window, or padded as `log_mel` pads them with silence.

    Args:
        features: float32 (n_mels, any number of frames); the least value stands for silence.
        num_frames: Frames of the window.
    """
    missing = num_frames - features.shape[1]
    if missing <= 0:
        return features[:, :num_frames]
    silence = np.full((len(features), missing), features.min(), np.float32)
    return np.concatenate([features, silence], axis=1)


def _padded(samples: Samples, num_frames: int, window_samples: int) -> Samples:
    # Frames are centred, so the audio is mirrored at its start. It is mirrored at the window's end
    # too, if it reaches there; shorter audio is followed by silence.
    half = FFT_SAMPLES // 2
    padded = np.zeros((num_frames - 1) * HOP_SAMPLES + FFT_SAMPLES, np.float32)
    sound = samples[: len(padded) - half]
    padded[half : half + len(sound)] = sound
    mirrored = padded[half + 1 : 2 * half + 1]
    padded[:half] = mirrored[::-1]
    if len(samples) > window_samples - half:
        full = np.zeros(window_samples, np.float32)
        full[: len(samples)] = samples
        end = half + window_samples
        padded[end:] = full[-2 : -2 - (len(padded) - end) : -1]
    return padded


def _power_spectrum(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power of each bin, (num_frames, FFT_SAMPLES // 2 + 1)."""
    spectrum = np.fft.rfft(frames * _window())  # complex64, not complex128 as its type says
    parts = spectrum.view(np.float32)  # real, imaginary, real ...
    parts *= parts
    power: NDArray[np.float32] = parts[:, 0::2] + parts[:, 1::2]
    return power


@functools.cache
def _window() -> NDArray[np.float32]:
    return np.hanning(FFT_SAMPLES + 1)[:-1].astype(np.float32)


@functools.cache
def _mel_filters(n_mels: int) -> NDArray[np.float32]:
    """Return triangular filters on Slaney's mel scale, area-normalised, (n_mels, num_bins)."""
    bins_hz = np.fft.rfftfreq(FFT_SAMPLES, 1 / SAMPLE_RATE)
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    widths_hz = np.diff(edges_hz)
    distance_hz = edges_hz[:, None] - bins_hz[None, :]
    rising = -distance_hz[:-2] / widths_hz[:-1, None]
    falling = distance_hz[2:] / widths_hz[1:, None]
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    filters = np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]
    return filters.astype(np.float32)


# Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)  # valid above the break only


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, logarithmic)
