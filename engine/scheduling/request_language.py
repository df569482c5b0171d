"""The language of one request: given, detected from its first words, or from each of its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.protocol import Detection
from ..options import CheckedOptions

# How much of a chunk its language is detected from, in positions of 20 ms; the time grows with it.
ALL_POSITIONS = 0  # of a request's first chunk, from which the language of all is taken
EACH_POSITIONS = 750  # of each chunk of a request that asks for the language of each
CHECKED_POSITIONS = 400  # of chunks after the first: what they tell may be a warning in the end

NUM_OTHERS = 3  # of the next most probable languages in the answer

# A chunk that is as surely of another language gives a warning. On Whisper base none of 445 chunks
# of English was taken for another one so surely, and one with more than 0.5; chunks in Spanish,
# Swedish, Chinese and Japanese were detected with 0.97 or more.
_MIN_OTHER = 0.8


@dataclass(frozen=True)
class Heard:
    """What was detected in one chunk.

    Attributes:
        index: The chunk's index in its utterance.
        detection: The probability of each language.
        start_s: Start of the chunk, in seconds from the start of the utterance.
        num_samples: Samples of speech in it.
        has_text: Whether its answer has words.
    """

    index: int
    detection: Detection
    start_s: float
    num_samples: int
    has_text: bool


class RequestLanguage:
    """What is known of one request's language. Not thread-safe: its owner holds the lock."""

    def __init__(self, checked: CheckedOptions) -> None:
        """Take what the request says of it."""
        self._given = checked.language
        self._is_multi = checked.is_multi
        self._first: Heard | None = None  # the chunk that the language is detected from
        self._heard: dict[int, Heard] = {}

    @property
    def code(self) -> str | None:
        """The language of the chunks to come; None where it must be detected in them."""
        if self._given or self._is_multi:
            return self._given
        return self._first.detection[0][0] if self._first else None

    @property
    def is_open(self) -> bool:
        """Whether the next chunk must wait for what is detected in the one before it."""
        return not self._is_multi and self.code is None

    def hear(self, heard: Heard) -> None:
        """Record what was detected in a chunk whose answer was accepted, if anything was."""
        if not heard.detection:
            return
        self._heard[heard.index] = heard
        if self._first is None and heard.has_text:
            self._first = heard

    def probabilities(self) -> Detection:
        """Return the probability of each language, the most probable first; empty if unknown.

        Of a request with a language for each chunk it is the mean over its speech.
        """
        if self._given:
            return ((self._given, 1.0),)
        heard = [self._heard[index] for index in sorted(self._heard)]
        if self._is_multi:
            return _mean([one for one in heard if one.has_text] or heard)
        first = self._first or (heard[0] if heard else None)
        return first.detection if first else ()

    def warnings(self) -> list[str]:
        """Return a warning if later chunks sound like another language than the first."""
        first = self._first
        if self._given or self._is_multi or first is None:
            return []
        code = first.detection[0][0]
        later = [one for index, one in sorted(self._heard.items()) if index > first.index]
        others = [one for one in later if _sounds_different(one, code)]
        if not others:
            return []
        other, start_s = others[0].detection[0][0], others[0].start_s
        return [
            f"language: {code} was detected from the first words, but {len(others)} of "
            f"{len(later)} later pieces of audio sound different, first like {other} at "
            f'{start_s:.1f} s; language "multi" detects that of each piece'
        ]


def positions_to_detect(checked: CheckedOptions, language: str | None) -> int:
    """Return how many positions to detect a chunk's language from; 0 for all.

    Args:
        checked: The request's options.
        language: The request's language, if it is known.
    """
    if checked.is_multi:
        return EACH_POSITIONS
    return ALL_POSITIONS if language is None else CHECKED_POSITIONS


def limited(detection: Detection, languages: Sequence[str]) -> Detection:
    """Return what a detection says if only some languages are possible; empty means all."""
    if not languages:
        return detection
    possible = [(code, probability) for code, probability in detection if code in languages]
    total = sum(probability for _, probability in possible) or 1.0
    return tuple((code, probability / total) for code, probability in possible)


def _sounds_different(heard: Heard, code: str) -> bool:
    other, probability = heard.detection[0]
    return other != code and probability >= _MIN_OTHER


def _mean(heard: Sequence[Heard]) -> Detection:
    total = sum(one.num_samples for one in heard)
    sums: dict[str, float] = {}
    for one in heard:
        for code, probability in one.detection:
            sums[code] = sums.get(code, 0.0) + one.num_samples * probability / total
    return tuple(sorted(sums.items(), key=lambda item: -item[1]))
