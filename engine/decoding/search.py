"""What a search is: a generator for one chunk that steers the decoder.

It yields `Step`s, is sent an `Observation` after each, and returns an `Answer`. It knows nothing
of batches, requests or where arrays come from.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rules import Scores

Logits = NDArray[np.float32]
"""Unnormalised scores of the next token, float32 (num_rows, vocabulary)."""

_BLOCK = 256  # values that `best` looks at together


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
class Observation:
    """What the decoder saw.

    Attributes:
        logits: Of each row's next token, float32 (num_rows, vocabulary).
        hidden: Each row's hidden state, float32 (num_rows, d_model); the first time those of all
            the prompt's positions, for the one row that there is.
    """

    logits: Logits
    hidden: NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What a search found.

    Attributes:
        tokens: The answer, end of text left out.
        sum_logprob: Sum of the tokens' log-probabilities; the end of text counts if it was
            generated.
    """

    tokens: list[int]
    sum_logprob: float


Search = Generator[Step | None, Observation, Answer]
"""Started with `next`, then sent one observation after another."""


def best(values: Scores, k: int) -> NDArray[np.intp]:
    """Return the indexes of the k greatest, best first; of equals the first."""
    # As many blocks as are wanted reach this, so the best do: only few need a closer look.
    peaks = values[: len(values) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).max(1)
    floor = np.partition(peaks, -k)[-k] if k <= len(peaks) else -np.inf
    top = np.flatnonzero(values >= floor)
    last = np.partition(values[top], -k)[-k] if k < len(top) else -np.inf
    above, equal = top[values[top] > last], top[values[top] == last]
    top = np.concatenate([above, equal[: k - len(above)]])
    return top[np.argsort(-values[top], kind="stable")]
