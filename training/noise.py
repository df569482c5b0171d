"""Noise for training and evaluation, and augmentation of utterances."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

SAMPLE_RATE = 16_000
Audio = npt.NDArray[np.float32]
Generator = np.random.Generator


def _coloured(rng: Generator, num_samples: int, exponent: float) -> Audio:
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequency = np.maximum(np.arange(len(spectrum)), 20.0)
    return np.fft.irfft(spectrum / frequency**exponent, num_samples).astype(np.float32)


def _hum(rng: Generator, num_samples: int) -> Audio:
    time_s = np.arange(num_samples) / SAMPLE_RATE
    mains_hz = rng.choice((50.0, 60.0, 100.0, 120.0))
    partials = [
        np.sin(2 * np.pi * mains_hz * k * time_s + rng.uniform(0, 6)) * rng.uniform(0, 1) / k
        for k in range(1, 9)
    ]
    hum: Audio = np.sum(partials, axis=0).astype(np.float32)
    return hum + _coloured(rng, num_samples, 0.0) * np.float32(0.02)


def _clicks(rng: Generator, num_samples: int) -> Audio:
    impulses = np.zeros(num_samples, np.float32)
    num_clicks = max(1, num_samples * int(rng.integers(1, 12)) // SAMPLE_RATE)
    places = rng.integers(0, num_samples, num_clicks)
    impulses[places] = rng.uniform(-1, 1, len(places))
    decay = np.exp(-np.arange(400) / rng.uniform(10, 120)) * rng.standard_normal(400)
    clicks: Audio = fftconvolve(impulses, decay.astype(np.float32))[:num_samples]
    return clicks.astype(np.float32)


def _tones(rng: Generator, num_samples: int) -> Audio:
    time_s = np.arange(num_samples) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * rng.uniform(200, 3000) * time_s)
    pulse = np.sin(2 * np.pi * rng.uniform(0.2, 3) * time_s + rng.uniform(0, 6))
    gate = pulse > rng.uniform(-1, 0.7)
    return (tone * gate).astype(np.float32)


def _gusts(rng: Generator, num_samples: int) -> Audio:
    time_s = np.arange(num_samples) / SAMPLE_RATE
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(0.1, 1.5) * time_s + rng.uniform(0, 6))
    return (_coloured(rng, num_samples, rng.uniform(0.3, 1.2)) * swell).astype(np.float32)


KINDS: dict[str, Callable[[Generator, int], Audio]] = {
    "white": lambda rng, n: _coloured(rng, n, 0.0),
    "pink": lambda rng, n: _coloured(rng, n, 0.5),
    "brown": lambda rng, n: _coloured(rng, n, 1.0),
    "hum": _hum,
    "clicks": _clicks,
    "tones": _tones,
    "gusts": _gusts,
}


def make_noise(rng: Generator, kind: str, num_samples: int) -> Audio:
    """Return noise of one of `KINDS`, float32 of shape (num_samples,), with an RMS of 1."""
    noise = KINDS[kind](rng, num_samples)
    even: Audio = (noise / (np.sqrt(np.mean(noise**2)) + 1e-9)).astype(np.float32)
    return even


class NoisePool:
    """Noise clips made once and cut at random places. Not thread-safe: it holds a generator."""

    def __init__(self, rng: Generator, clips_per_kind: int = 6, clip_s: float = 40.0) -> None:
        """Make the clips; they take 0.2 s each, so make one pool."""
        self._rng = rng
        length = int(clip_s * SAMPLE_RATE)
        self._clips = [
            make_noise(rng, kind, length) for kind in KINDS for _ in range(clips_per_kind)
        ]

    def cut(self, num_samples: int) -> Audio:
        """Return a random stretch of a random clip, RMS about 1."""
        clip = self._clips[self._rng.integers(len(self._clips))]
        start = self._rng.integers(len(clip) - num_samples)
        return clip[start : start + num_samples]


def roughen(rng: Generator, audio: Audio) -> Audio:
    """Return an utterance, at random with changed rate, limited band or reverberation."""
    if rng.random() < 0.2:
        places = np.arange(0, len(audio) - 1, rng.uniform(0.93, 1.07))
        audio = np.interp(places, np.arange(len(audio)), audio).astype(np.float32)
    chance = rng.random()
    if chance < 0.06:
        audio = _limit_band(audio, rng.uniform(80, 350), rng.uniform(3000, 4000))
    elif chance < 0.12:
        audio = _reverberate(rng, audio)
    return audio


def _limit_band(audio: Audio, low_hz: float, high_hz: float) -> Audio:
    spectrum = np.fft.rfft(audio)
    frequency_hz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


def _reverberate(rng: Generator, audio: Audio) -> Audio:
    time_s = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    room = rng.standard_normal(len(time_s)) * np.exp(-time_s / rng.uniform(0.02, 0.08))
    room *= rng.uniform(0.01, 0.05)
    room[0] = 1.0
    heard: Audio = fftconvolve(audio, room)[: len(audio)].astype(np.float32)
    return heard
