"""Files to samples, for peers that take no files.

PyAV and NumPy only: this runs in the peers' environments.
"""

from __future__ import annotations

import av
import numpy as np

SAMPLE_RATE = 16_000


def decode(path: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return a file as float32 mono samples at 16 kHz, (num_samples,)."""
    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(path) as file:
        frames = [new for frame in file.decode(audio=0) for new in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
