"""What an engine got wrong: words, whole runs of words, and the times of its segments.

Words are compared after Whisper's own English normalizer (package `whisper-normalizer`), aligned by
`jiwer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.real_speech import Utterance

LOST_RUN = 4  # words: fewer in a row are often one misheard word and its neighbours
_COMPARED = 3  # words at the start of an utterance that must be those of the segment


@dataclass(frozen=True)
class WordCounts:
    """Errors in words, of one file or added up.

    Attributes:
        words: Words of the reference.
        substitutions: Words of the reference for which there is another.
        deletions: Words of the reference that are missing.
        insertions: Words that are not in the reference.
        lost: Deleted words in runs of at least `LOST_RUN` words.
    """

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    lost: int = 0

    def __add__(self, other: WordCounts) -> WordCounts:
        """Return the sums."""
        return WordCounts(
            self.words + other.words,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.lost + other.lost,
        )

    @property
    def wer(self) -> float:
        """Errors per word of the reference; 0.1 is a WER of 10 %."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / max(1, self.words)


def normal_words(text: str) -> list[str]:
    """Return the words of English text as Whisper's normalizer writes them."""
    words: list[str] = _normalizer()(text).split()
    return words


def count_errors(reference: str, hypothesis: str) -> WordCounts:
    """Return the errors of a text; both are normalized first."""
    spoken, heard = normal_words(reference), normal_words(hypothesis)
    if not spoken:
        return WordCounts(insertions=len(heard))
    output = _align(spoken, heard)
    runs = [
        chunk.ref_end_idx - chunk.ref_start_idx
        for chunk in output.alignments[0]
        if chunk.type == "delete"
    ]
    return WordCounts(
        len(spoken),
        output.substitutions,
        output.deletions,
        output.insertions,
        sum(run for run in runs if run >= LOST_RUN),
    )


def start_errors_s(
    utterances: Sequence[Utterance], segments: Sequence[tuple[float, str]]
) -> list[float]:
    """Return how much later than the speech each segment starts, in seconds.

    Only a segment that begins with the first words of an utterance counts, as only then its true
    start is known: the first three words of both (fewer if one is shorter) are aligned one to one,
    and more than half of them are equal. An utterance in the middle of a segment has no start.

    Args:
        utterances: What is said, with the times of their starts.
        segments: Start in seconds and text of each segment, in order.
    """
    spoken = [normal_words(one.text) for one in utterances]
    heard = [normal_words(text) for _, text in segments]
    place = _places(_joined(spoken), _joined(heard))
    beginning = dict(zip(_firsts(spoken), range(len(spoken)), strict=True))
    errors_s = []
    for (start_s, _), words, first in zip(segments, heard, _firsts(heard), strict=True):
        number = beginning.get(place.get(first, -1))
        if number is None or (true_s := utterances[number].start_s) is None:
            continue
        count = min(_COMPARED, len(words), len(spoken[number]))
        is_in_order = all(place.get(first + i) == place[first] + i for i in range(count))
        equal = sum(words[i] == spoken[number][i] for i in range(count))
        if is_in_order and 2 * equal > count:
            errors_s.append(start_s - true_s)
    return errors_s


def _firsts(parts: Sequence[Sequence[str]]) -> list[int]:
    """Return the number of the first word of each part, counted over all parts."""
    return list(accumulate(map(len, parts), initial=0))[:-1]


def _places(spoken: Sequence[str], heard: Sequence[str]) -> dict[int, int]:
    """Return, for each word heard that stands for a spoken one, the number of that."""
    if not spoken:
        return {}
    return {
        chunk.hyp_start_idx + i: chunk.ref_start_idx + i
        for chunk in _align(spoken, heard).alignments[0]
        if chunk.type in ("equal", "substitute")
        for i in range(chunk.hyp_end_idx - chunk.hyp_start_idx)
    }


def _align(spoken: Sequence[str], heard: Sequence[str]) -> jiwer.WordOutput:
    return jiwer.process_words([" ".join(spoken)], [" ".join(heard)])


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    return [word for part in parts for word in part]


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()
