"""Logits to probabilities and log-probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of scores (vocabulary,); minus infinity gives 0."""
    exponentials = np.exp(scores - scores.max())
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum()
    return probabilities


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-probabilities of logits (..., vocabulary), row by row."""
    result: NDArray[np.float32] = logits - logits.max(-1, keepdims=True)
    result -= np.log(np.exp(result).sum(-1, keepdims=True))
    return result


def log_probability(scores: NDArray[np.float32], token: int) -> float:
    """Return the log-probability of one token of scores (vocabulary,)."""
    peak = scores.max()
    return float(scores[token] - peak - np.log(np.exp(scores - peak).sum()))
