"""What a search is: a generator for one chunk that steers the decoder.

It yields `Step`s and is sent what the decoder then sees; it returns the answer's tokens, end of
text left out. It knows nothing of batches, requests or where arrays come from.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkmill.engine.decoding.rules import Scores


@dataclass(frozen=True)
class Step:
    """What the decoder is to read next.

    Attributes:
        parents: For each new row the old row that it goes on from.
        tokens: For each new row its next token.
    """

    parents: list[int]
    tokens: list[int]


@dataclass(frozen=True)
class Seen:
    """What the decoder saw.

    Attributes:
        logits: Of each row's next token, float32 (num_rows, vocabulary).
        hidden: Each row's hidden state, float32 (num_rows, d_model); the first time those of all
            the prompt's positions, for the one row that there is.
    """

    logits: NDArray[np.float32]
    hidden: NDArray[np.float32]


Search = Generator[Step | None, Seen, list[int]]
"""Primed with `next`, then sent what the decoder sees."""


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-probabilities, row by row."""
    shifted = logits - logits.max(-1, keepdims=True)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def best(values: Scores, k: int) -> NDArray[np.intp]:
    """Return the indexes of the k greatest, best first; of equals the first."""
    top = np.argpartition(-values, k - 1)[:k] if k < len(values) else np.arange(len(values))
    return top[np.lexsort((top, -values[top]))]
