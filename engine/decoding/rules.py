"""Which tokens may come next: HF's logits processors and Whisper's own rules, in HF's order.

Scores are logits, or log-probabilities in beam search: the rules apply to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .plan import DecodePlan

Scores = NDArray[np.float32]
"""One score for each token of the vocabulary, float32 of shape (vocabulary,)."""

MAX_INITIAL_TIMESTAMP = 50  # Whisper's limit: the first timestamp of a chunk is at most 1.00 s


@dataclass(frozen=True)
class Vocabulary:
    """The token ids that the rules need.

    Attributes:
        end_of_text: The token that ends the text; ids of text tokens are below it.
        timestamp_begin: The timestamp token of 0.00 s; the id before it is <|notimestamps|>.
        suppress: Tokens that are never generated.
        suppress_first: Tokens that are never generated first.
        start_of_transcript: The token that starts the transcript; None in a vocabulary without it.
        no_speech: The token of a chunk without speech; None in a vocabulary without it.
    """

    end_of_text: int
    timestamp_begin: int
    suppress: tuple[int, ...] = ()
    suppress_first: tuple[int, ...] = ()
    start_of_transcript: int | None = None
    no_speech: int | None = None


class Rules:
    """The rules for the tokens of one chunk."""

    def __init__(self, plan: DecodePlan, vocabulary: Vocabulary, prompt: Sequence[int]) -> None:
        """Store the chunk's plan, the vocabulary and the tokens of its prompt."""
        self._plan = plan
        self._vocabulary = vocabulary
        self._prompt = list(prompt)
        self._suppress = np.array([*vocabulary.suppress, *plan.suppress_tokens], np.int64)
        self._suppress_first = np.array(vocabulary.suppress_first, np.int64)

    def apply(self, scores: Scores, answer: Sequence[int]) -> None:
        """Apply the rules, in place, to the scores of the token after `answer`.

        Forbidden tokens get minus infinity. Where all are forbidden, the end of text is certain.
        """
        plan, vocabulary = self._plan, self._vocabulary
        if plan.repetition_penalty != 1.0:
            self._penalize_repetition(scores, answer)
        if plan.no_repeat_ngram_size:
            self._forbid_ngrams(scores, answer)
        if len(answer) < plan.min_new_tokens:
            scores[vocabulary.end_of_text] = -np.inf
        scores[self._suppress] = -np.inf
        if not answer:
            scores[self._suppress_first] = -np.inf
        if plan.timestamps:
            apply_timestamp_rules(scores, answer, vocabulary)
        if scores.max() == -np.inf:  # HF would go on with any token
            scores[vocabulary.end_of_text] = 0

    def _penalize_repetition(self, scores: Scores, answer: Sequence[int]) -> None:
        # CTRL (Keskar et al., 2019); HF counts the prompt's tokens too.
        said = np.unique([*self._prompt, *answer])
        penalty = np.float32(self._plan.repetition_penalty)
        scores[said] = np.where(scores[said] < 0, scores[said] * penalty, scores[said] / penalty)

    def _forbid_ngrams(self, scores: Scores, answer: Sequence[int]) -> None:
        size = self._plan.no_repeat_ngram_size
        tokens = [*self._prompt, *answer]
        tail = tokens[len(tokens) - size + 1 :]
        for i in range(len(tokens) - size + 1):
            if tokens[i : i + size - 1] == tail:
                scores[tokens[i + size - 1]] = -np.inf


def apply_timestamp_rules(scores: Scores, answer: Sequence[int], vocabulary: Vocabulary) -> None:
    """Apply Whisper's rules for timestamps, in place.

    They come in pairs and never decrease; the first one is at most 1.00 s.

    Source: `ApplyTimestampRules` of openai/whisper, as HF's `WhisperTimeStampLogitsProcessor`.
    """
    begin, end_of_text = vocabulary.timestamp_begin, vocabulary.end_of_text
    scores[begin - 1] = -np.inf  # <|notimestamps|>
    is_time = [token >= begin for token in answer[-2:]]
    ends_in_time = bool(answer) and is_time[-1]
    if ends_in_time:
        if len(answer) < 2 or is_time[0]:
            scores[begin:] = -np.inf  # after a pair or the first one: text must follow
        else:
            scores[:end_of_text] = -np.inf  # after the end of a phrase: no text may follow
    latest = next((token for token in reversed(answer) if token >= begin), None)
    if latest is not None:
        closes = ends_in_time and not (len(answer) < 2 or is_time[0])
        scores[begin : latest + (0 if closes else 1)] = -np.inf
    if not answer:
        scores[:begin] = -np.inf
        scores[begin + MAX_INITIAL_TIMESTAMP + 1 :] = -np.inf
    # If all timestamps together are more likely than the likeliest other token, one must follow.
    times, words = scores[begin:], scores[:begin]
    peak = times.max()
    if peak > -np.inf and peak + np.log(np.exp(times - peak).sum()) > words.max():
        scores[:begin] = -np.inf
