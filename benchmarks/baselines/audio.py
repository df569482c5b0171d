"""Decodes audio files for peers that take samples.

Imports PyAV and NumPy only: it runs in the peers' environments.
"""

from __future__ import annotations

import av
import numpy as np

SAMPLE_RATE = 16_000


def decode(path: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return a file as float32 mono samples at 16 kHz, shape (num_samples,)."""
    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(path) as file:
        frames = [new for frame in file.decode(audio=0) for new in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
