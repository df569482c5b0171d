"""The interface of a search: a generator that steers the decoder for one chunk.

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

_BLOCK = 256  # values of which `best` takes the maximum first


@dataclass(frozen=True)
class Step:
    """The tokens that the decoder reads next.

    Attributes:
        parents: For each new row the index of the old row that it continues.
        tokens: For each new row its next token.
    """

    parents: list[int]
    tokens: list[int]


@dataclass(frozen=True)
class Observation:
    """What the decoder computed for the rows of a chunk.

    Attributes:
        logits: Logits of each row's next token, float32 (num_rows, vocabulary).
        hidden: Hidden state of each row, float32 (num_rows, d_model). In the first observation,
            of one row: hidden states of all positions of the prompt, (prompt_length, d_model).
    """

    logits: Logits
    hidden: NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What a search found.

    Attributes:
        tokens: The answer, end of text left out.
        logprobs: Log-probability of each token, then of the end of text if it was generated.
    """

    tokens: list[int]
    logprobs: list[float]

    @property
    def sum_logprob(self) -> float:
        """Log-probability of the whole answer."""
        return sum(self.logprobs)


Search = Generator[Step | None, Observation, Answer]
"""Started with `next`, then sent one observation after another."""


def best(values: Scores, k: int) -> NDArray[np.intp]:
    """Return the indexes of the k greatest values, greatest first; of equal ones the first."""
    # k blocks have a value of at least `floor`, so the k best have too: few values remain.
    peaks = values[: len(values) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).max(1)
    floor = np.partition(peaks, -k)[-k] if k <= len(peaks) else -np.inf
    top = np.flatnonzero(values >= floor)
    last = np.partition(values[top], -k)[-k] if k < len(top) else -np.inf
    above, equal = top[values[top] > last], top[values[top] == last]
    top = np.concatenate([above, equal[: k - len(above)]])
    return top[np.argsort(-values[top], kind="stable")]
