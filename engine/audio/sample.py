"""The recording that ships with the package, to measure and to try models with."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import numpy as np

from ..types import Features, Samples
from .decode import decode_audio
from .features import CHUNK_S, HOP_SAMPLES, log_mel

_SAMPLE = Path(__file__).parents[1] / "demo_model" / "sample.flac"

_log = logging.getLogger(__name__)


def sample_clip() -> Samples:
    """Return the recording: speech, mono float32 at 16 kHz, shorter than 30 s."""
    with _SAMPLE.open("rb") as file:
        return np.concatenate(list(decode_audio(file, CHUNK_S, _log.warning)))


@functools.cache
def sample_features(n_mels: int, num_frames: int) -> Features:
    """Return the features of its start in a window; float32 (n_mels, num_frames), read-only."""
    features = log_mel(sample_clip()[: num_frames * HOP_SAMPLES], n_mels, num_frames)
    features.flags.writeable = False
    return features
