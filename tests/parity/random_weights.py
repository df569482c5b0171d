"""The random models that goldens were taken of: their shape, their tokens, and their seeds.

Needs NumPy alone, as the environment that makes the goldens has nothing of talkmill's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.random_weights import Shape, varied

D_MODEL, NUM_HEADS, NUM_LAYERS, NUM_MELS = 64, 4, 2, 80
NUM_TEXT, NUM_TIMES = 300, 1501
END_OF_TEXT = NUM_TEXT
START = NUM_TEXT + 1
PREVIOUS = NUM_TEXT + 6
NO_TIMESTAMPS = NUM_TEXT + 8
TIMESTAMP_BEGIN = NO_TIMESTAMPS + 1
VOCABULARY = TIMESTAMP_BEGIN + NUM_TIMES
TASK = [START, START + 1, START + 3]  # a language and a task; neither means anything here
SUPPRESS_FIRST = [END_OF_TEXT, 7]
SEEDS = (0, 1, 2)
NUM_CHUNKS = 2


def random_weights(seed: int) -> dict[str, NDArray[Any]]:
    """Return variables under CTranslate2's names: float32, and the numbers of heads as int16."""
    shape = Shape(D_MODEL, NUM_HEADS, NUM_LAYERS, n_mels=NUM_MELS, num_tokens=VOCABULARY)
    heads = {f"{side}/num_heads": np.array(NUM_HEADS, np.int16) for side in ("encoder", "decoder")}
    weights = varied(shape, seed, end_of_text=END_OF_TEXT, first_timestamp=TIMESTAMP_BEGIN)
    return {**heads, **dict(weights)}


def random_chunks(seed: int) -> NDArray[np.float32]:
    """Return what an encoder might say of 2 s of audio each: float32 (NUM_CHUNKS, 100, D_MODEL)."""
    shape = (NUM_CHUNKS, 100, D_MODEL)
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def fingerprint(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest of weights: it tells a changed generator of NumPy's from a wrong answer."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()
