"""Random Whisper weights from a seed, with numpy alone, that say varied things and do end.

Plain random weights repeat one token for ever and never end: every length and stopping case
would be vacuous. Here the output is scaled up, and the end of text is likely enough.
"""

from __future__ import annotations

import hashlib

import numpy as np

D_MODEL, NUM_HEADS, NUM_LAYERS, NUM_MELS, FRAMES = 64, 4, 2, 80, 3000
NUM_TEXT, NUM_TIMES = 300, 1501
END_OF_TEXT = NUM_TEXT
START = NUM_TEXT + 1
NO_TIMESTAMPS = NUM_TEXT + 8
TIMESTAMP_BEGIN = NO_TIMESTAMPS + 1
END_PULL = 3.0  # found by trial: answers of none to some dozens of tokens
VOCABULARY = TIMESTAMP_BEGIN + NUM_TIMES
TASK = [START, START + 1, START + 3]  # a language and a task; neither means anything here
SUPPRESS_FIRST = [END_OF_TEXT, 7]
SEEDS = (0, 1, 2)
NUM_CHUNKS = 2


def random_weights(seed: int) -> dict[str, np.ndarray]:
    """Return float32 variables under CTranslate2's names."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "encoder/num_heads": np.int16(NUM_HEADS),
        "decoder/num_heads": np.int16(NUM_HEADS),
    }

    def dense(name, outputs, inputs, *kernel, scale=1.0, key_bias=None):
        fan_in = inputs * int(np.prod(kernel or (1,)))
        shape = (outputs, inputs, *kernel)
        weights[f"{name}/weight"] = rng.normal(0, scale * fan_in**-0.5, shape).astype(np.float32)
        bias = rng.normal(0, 0.1, outputs).astype(np.float32)
        if key_bias is not None:
            bias[key_bias] = 0  # Whisper's keys have none
        weights[f"{name}/bias"] = bias

    def norm(name):
        weights[f"{name}/gamma"] = rng.normal(1, 0.1, D_MODEL).astype(np.float32)
        weights[f"{name}/beta"] = rng.normal(0, 0.1, D_MODEL).astype(np.float32)

    dense("encoder/conv1", D_MODEL, NUM_MELS, 3)
    dense("encoder/conv2", D_MODEL, D_MODEL, 3)
    for side, length in (("encoder", FRAMES // 2), ("decoder", 448)):
        scale = 0.3 if side == "encoder" else 1.0
        weights[f"{side}/position_encodings/encodings"] = rng.normal(
            0, scale, (length, D_MODEL)
        ).astype(np.float32)
        norm(f"{side}/layer_norm")
        for i in range(NUM_LAYERS):
            name = f"{side}/layer_{i}"
            keys = slice(D_MODEL, 2 * D_MODEL)
            dense(f"{name}/self_attention/linear_0", 3 * D_MODEL, D_MODEL, scale=1.5, key_bias=keys)
            dense(f"{name}/self_attention/linear_1", D_MODEL, D_MODEL)
            norm(f"{name}/self_attention/layer_norm")
            if side == "decoder":
                dense(f"{name}/attention/linear_0", D_MODEL, D_MODEL, scale=2)
                keys = slice(0, D_MODEL)
                dense(f"{name}/attention/linear_1", 2 * D_MODEL, D_MODEL, scale=2, key_bias=keys)
                dense(f"{name}/attention/linear_2", D_MODEL, D_MODEL, scale=2)
                norm(f"{name}/attention/layer_norm")
            dense(f"{name}/ffn/linear_0", 4 * D_MODEL, D_MODEL)
            dense(f"{name}/ffn/linear_1", D_MODEL, 4 * D_MODEL)
            norm(f"{name}/ffn/layer_norm")
    embedding = rng.normal(0, 0.35, (VOCABULARY, D_MODEL)).astype(np.float32)
    embedding[TIMESTAMP_BEGIN:] *= 0.6
    # Along one direction, which the last norm's bias gives every hidden state, the end is likelier.
    common = rng.normal(0, D_MODEL**-0.5, D_MODEL).astype(np.float32)
    weights["decoder/layer_norm/beta"] += common
    embedding[END_OF_TEXT] += np.float32(END_PULL) * common
    weights["decoder/embeddings/weight"] = embedding
    return weights


def random_chunks(seed: int) -> np.ndarray:
    """Return what an encoder might say of 2 s of audio each: float32 (NUM_CHUNKS, 100, D_MODEL)."""
    shape = (NUM_CHUNKS, 100, D_MODEL)
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def fingerprint(weights: dict[str, np.ndarray]) -> str:
    """Return a digest of weights: it tells a changed generator of NumPy's from a wrong answer."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + np.asarray(value).tobytes())
    return digest.hexdigest()
