"""Sounds that `fakes.FakeModel` distinguishes by their loudest mel band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audio_files import encode_audio, mel_centres_hz, tone
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.types import Samples

N_MELS = 80
_BAND_HZ = mel_centres_hz(N_MELS)


def chunk_tone(band: int) -> Samples:
    """Return 1 s of sound that `FakeModel` hears as `band`: its loudest mel band."""
    return tone(_BAND_HZ[band], 1.0)


def chunk_tones(bands: Sequence[int]) -> Samples:
    """Return audio that fixed windows of 30 s cut into chunks heard as `bands`."""
    audio = np.zeros(len(bands) * CHUNK_SAMPLES, np.float32)
    for index, band in enumerate(bands):
        sound = chunk_tone(band)
        start = index * CHUNK_SAMPLES
        audio[start : start + len(sound)] = sound
    return audio[: (len(bands) - 1) * CHUNK_SAMPLES + SAMPLE_RATE]


def tones_file(*bands: int) -> bytes:
    """Return a small FLAC file of `chunk_tones`; send it with `VadMode.OFF`."""
    return encode_audio(chunk_tones(bands), "flac", "flac")
