"""Sounds without speech, made by synthesis: noise, hums and music."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.types import Samples

_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)  # half tones
_TIMBRES = {
    "organ": (1.0, 0.5, 0.3, 0.2),
    "sine": (1.0,),
    "saw": tuple(1 / k for k in range(1, 12)),
}


def sounds() -> Iterator[tuple[str, Samples]]:
    """Yield 48 sounds with names: noise of three colours and four levels, pulses, hums, tunes."""
    rng = np.random.default_rng(0)
    for exponent, color in ((0.0, "white"), (0.5, "pink"), (1.0, "brown")):
        for level_db in (-50, -30, -12, -3):
            noise = _noise(round(rng.uniform(4, 20) * SAMPLE_RATE), exponent, rng)
            yield f"{color} noise, {level_db} dB", noise * np.float32(10 ** (level_db / 20))
    time_s = np.arange(12 * SAMPLE_RATE) / SAMPLE_RATE
    for rate_hz in (0.7, 1.5, 3.0, 6.0):
        pulses = np.abs(np.sin(np.pi * rate_hz * time_s)) ** 4
        yield f"pulses, {rate_hz} Hz", _level(_noise(len(time_s), 0.4, rng) * pulses)
    for base_hz in (50, 60, 110, 440):
        parts = [np.sin(2 * np.pi * base_hz * k * time_s) / k for k in (1, 2, 3, 5)]
        yield f"hum, {base_hz} Hz", _level(np.sum(parts, axis=0))
    for seed in range(28):
        yield f"tune {seed}", _tune(seed)


def _tune(seed: int) -> Samples:
    """Return 15 s of a melody, alone or in chords, every other one with a drum."""
    rng = np.random.default_rng(100 + seed)
    weights = list(_TIMBRES.values())[seed % len(_TIMBRES)]
    audio = np.zeros(16 * SAMPLE_RATE, np.float32)
    beat_s, at_s = rng.uniform(0.25, 0.6), 0.0
    while at_s < 14:
        length_s = beat_s * int(rng.choice([1, 1, 2]))
        time_s = np.arange(int(length_s * SAMPLE_RATE)) / SAMPLE_RATE
        base_hz = 220 * 2 ** (int(rng.choice(_SCALE)) / 12)
        note = np.zeros(len(time_s))
        for interval in (1.0, 1.26, 1.5) if seed % 4 == 0 else (1.0,):
            for k, weight in enumerate(weights, 1):
                note += weight * np.sin(2 * np.pi * base_hz * interval * k * time_s)
        decays = seed % 3 == 1
        note *= np.exp(-4 * time_s / length_s) if decays else np.minimum(1, time_s / 0.03)
        if seed % 2:
            note += 3 * np.sin(2 * np.pi * 60 * time_s) * np.exp(-25 * time_s)
        start = int(at_s * SAMPLE_RATE)
        audio[start : start + len(note)] += note
        at_s += length_s
    return _level(audio[: 15 * SAMPLE_RATE])


def _noise(num_samples: int, exponent: float, rng: np.random.Generator) -> Samples:
    """Return noise whose spectrum falls with the frequency to the power of `exponent`."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    falling = np.maximum(np.arange(len(spectrum)), 1) ** exponent
    return _level(np.fft.irfft(spectrum / falling, num_samples))


def _level(samples: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Samples:
    leveled: Samples = (0.8 * samples / np.abs(samples).max()).astype(np.float32)
    return leveled
