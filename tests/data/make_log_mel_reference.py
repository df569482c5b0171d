"""Write `log_mel_reference.npz`: features by HF's WhisperFeatureExtractor on `jfk.flac`.

Run once, with transformers 5.23.0 and soundfile: python tests/data/make_log_mel_reference.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from transformers import WhisperFeatureExtractor

FOLDER = Path(__file__).parent
FRAMES = np.unique(np.concatenate([np.arange(0, 3000, 29), np.arange(8), 2999 - np.arange(8)]))

samples, rate = soundfile.read(FOLDER / "jfk.flac", dtype="float32")
assert rate == 16_000
clips = {
    "padded": samples,  # 11 s: silence follows
    "full": np.tile(samples, 3)[:480_000],  # 30 s to the last sample
    "almost_full": np.tile(samples, 3)[:479_900],  # inside the last frame's window
    "tiny": samples[40_000:40_001],  # one sample
}
arrays: dict[str, Any] = {"frames": FRAMES}
for n_mels in (80, 128):
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    for name, clip in clips.items():
        features = extractor(clip, sampling_rate=rate, return_tensors="np").input_features[0]
        arrays[f"{name}_{n_mels}"] = features[:, FRAMES]
np.savez_compressed(FOLDER / "log_mel_reference.npz", **arrays)
