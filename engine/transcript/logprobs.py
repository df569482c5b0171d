"""The log-probabilities of a chunk's tokens, given to the segments that the tokens came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..decoding.hypothesis import Hypothesis
from ..model.tokenizer import WhisperTokenizer
from ..types import Segment, TokenLogprob


def with_logprobs(
    segments: Sequence[Segment], hypothesis: Hypothesis, tokenizer: WhisperTokenizer
) -> list[Segment]:
    """Return segments of one chunk, in order, each with the log-probabilities of its tokens.

    They stay as they are if the hypothesis has none.
    """
    if not hypothesis.token_logprobs:
        return list(segments)
    pairs = zip(hypothesis.tokens, hypothesis.token_logprobs, strict=True)
    words = [(token, logprob) for token, logprob in pairs if token < tokenizer.end_of_text]
    tokens = [token for token, _ in words]
    found: list[Segment] = []
    start = 0
    for segment in segments:
        own = [token for token in segment.tokens if token < tokenizer.end_of_text]
        start = _find(tokens, own, start)
        end = start + len(own)
        logprobs = tuple(
            _token_logprob(token, logprob, tokenizer) for token, logprob in words[start:end]
        )
        found.append(replace(segment, logprobs=logprobs))
        start = end
    return found


def _find(tokens: list[int], part: list[int], start: int) -> int:
    """Return where `part` comes next; what is between became no segment."""
    for place in range(start, len(tokens) - len(part) + 1):
        if tokens[place : place + len(part)] == part:
            return place
    raise ValueError("a segment has tokens that its hypothesis has not. This is a bug.")


def _token_logprob(token: int, logprob: float, tokenizer: WhisperTokenizer) -> TokenLogprob:
    data = tokenizer.token_bytes(token)
    return TokenLogprob(data.decode(errors="replace"), logprob, data)
