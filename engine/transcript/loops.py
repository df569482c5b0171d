"""Loops: answers whose end repeats itself until the tokens run out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIN_REPEATS = 4  # of an n-gram at the end of the answer
_MAX_NGRAM = 12


@dataclass(frozen=True)
class Loop:
    """A loop at the end of an answer.

    Attributes:
        ngram: The text tokens that are repeated.
        times: How often they occur, one after the other.
        kept: The answer with the first of them alone.
    """

    ngram: tuple[int, ...]
    times: int
    kept: tuple[int, ...]


def ngram_size(tokens: Sequence[int]) -> int:
    """Return the length of the n-gram that the last tokens are, `MIN_REPEATS` times; 0 if none."""
    for size in range(1, _MAX_NGRAM + 1):
        tail = list(tokens[-MIN_REPEATS * size :])
        if len(tail) == MIN_REPEATS * size and tail == tail[:size] * MIN_REPEATS:
            return size
    return 0


def find_loop(tokens: Sequence[int], timestamp_begin: int) -> Loop | None:
    """Return the loop at the end of an answer; None if it does not end in one.

    Args:
        tokens: The answer.
        timestamp_begin: Tokens from here on are timestamps, which a loop may count up.
    """
    places = [place for place, token in enumerate(tokens) if token < timestamp_begin]
    said = [tokens[place] for place in places]
    size = ngram_size(said)
    if not size:
        return None
    start = len(said) - size
    while start and said[start - 1] == said[start - 1 + size]:
        start -= 1
    end = places[start + size - 1] + 1
    if end < len(tokens) and tokens[end] >= timestamp_begin:
        end += 1  # the time at which it ends
    ngram = tuple(said[start : start + size])
    return Loop(ngram, (len(said) - start) // size, tuple(tokens[:end]))
