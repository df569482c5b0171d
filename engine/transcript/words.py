"""The words of a chunk's segments with their times, as openai/whisper's `timing.py` finds them.

Tokens are joined to words, each word begins where its first token does, words that are implausibly
long beside a pause are shortened, and punctuation joins the word that it belongs to. Whisper's own
times of the segments decide where the two disagree by more than half a second, and stay as they
are: with and without words an answer has the same segments. (openai/whisper moves the times of a
segment to its words.) A word may therefore stand a little outside its segment, but it is always
inside the chunk, and never starts before the word before it has ended.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..audio.chunking import ChunkClock
from ..audio.decode import SAMPLE_RATE
from ..model.alignment import POSITION_S, Alignment
from ..model.tokenizer import WhisperTokenizer
from ..types import Segment, Span, Word

_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
_OPENING = "\"'“¿([{-"  # punctuation that joins the word after it
_CLOSING = "\"'.。,，!！?？:：”)]}、"  # punctuation that joins the word before it
_SENTENCE_ENDS = ".。!！?？"
_LONGEST_MEDIAN_S = 0.7
_TOLERANCE_S = 0.5  # a word that sticks out further than this from its segment is cut
_REPLACEMENT = "\ufffd"  # what an incomplete character is decoded to


@dataclass
class _TimedWord:
    """A word with its times in seconds of the utterance; empty once it has joined another.

    Attributes:
        num_tokens: Tokens that it consists of.
    """

    text: str
    num_tokens: int
    start_s: float
    end_s: float
    probability: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def with_words(
    segments: Sequence[Segment],
    alignment: Alignment,
    span: Span,
    tokenizer: WhisperTokenizer,
    language: str,
    speech: Sequence[Span] = (),
) -> list[Segment]:
    """Return the segments of one chunk with their words.

    Args:
        segments: The segments, in order, with their tokens.
        alignment: Of all their tokens, one after the other.
        span: Where the chunk's audio comes from.
        tokenizer: The model's tokenizer.
        language: Code of the language of the text; it decides how tokens are joined to words.
        speech: The speech that was detected in the chunk; empty if nothing is known of it.
    """
    tokens = [token for segment in segments for token in segment.tokens]
    words = _timed(split_words(tokens, tokenizer, language), alignment, span)
    durations_s = [word.duration_s for word in words if word.duration_s > 0]
    typical_s = min(_LONGEST_MEDIAN_S, median(durations_s)) if durations_s else 0.0
    if durations_s:
        _shorten_at_sentence_ends(words, 2 * typical_s)
    _join_punctuation(words)
    owned = list(_by_segment(words, segments))
    last_s = span.start / SAMPLE_RATE  # until when there are words
    for segment, own in zip(segments, owned, strict=True):
        if own:
            _shorten_after_pause(own, last_s, typical_s)
            _fit_to_segment(own, segment, typical_s)
            last_s = own[-1].end_s
    _leave_silence([word for own in owned for word in own], speech, 2 * typical_s)
    found: list[Segment] = []
    for segment, own in zip(segments, owned, strict=True):
        found.append(replace(segment, words=tuple(_in_order(own, found, span))))
    return found


def split_words(
    tokens: Sequence[int], tokenizer: WhisperTokenizer, language: str
) -> list[tuple[str, int]]:
    """Return the words that text tokens make up, each with the number of its tokens.

    A word begins with a space, and a punctuation mark is a word of its own. In languages that
    write no spaces, every character or sequence of characters that the tokens separate is one.
    """
    words: list[tuple[str, int]] = []
    for text, num_tokens in _characters(tokens, tokenizer):
        is_punctuation = text.strip() in string.punctuation
        if not words or text.startswith(" ") or is_punctuation or language in _WITHOUT_SPACES:
            words.append((text, num_tokens))
        else:
            before, count = words[-1]
            words[-1] = before + text, count + num_tokens
    return words


def _characters(tokens: Sequence[int], tokenizer: WhisperTokenizer) -> Iterator[tuple[str, int]]:
    """Yield the shortest sequences of tokens that are whole characters: text, number of tokens."""
    whole = tokenizer.decode(tokens)
    place = first = 0  # of the sequence, in `whole` and in `tokens`
    for end in range(1, len(tokens) + 1):
        text = tokenizer.decode(tokens[first:end])
        broken = text.find(_REPLACEMENT)
        # A replacement character that stays one in the whole text was never a part of another.
        is_whole = broken < 0 or whole[place + broken : place + broken + 1] == _REPLACEMENT
        if is_whole or end == len(tokens):
            yield text, end - first
            place, first = place + len(text), end


def _timed(words: Sequence[tuple[str, int]], alignment: Alignment, span: Span) -> list[_TimedWord]:
    clock = ChunkClock((span,))
    starts_s = [clock.start_s(position * POSITION_S) for position in alignment.starts]
    found = []
    ends = itertools.accumulate(num_tokens for _, num_tokens in words)
    for (text, num_tokens), end in zip(words, ends, strict=True):
        first = end - num_tokens
        probability = sum(alignment.probabilities[first:end]) / num_tokens
        found.append(_TimedWord(text, num_tokens, starts_s[first], starts_s[end], probability))
    return found


def _shorten_at_sentence_ends(words: Sequence[_TimedWord], longest_s: float) -> None:
    """Shorten a full stop and the word after one: the pause between them is in neither."""
    for before, word in itertools.pairwise(words):
        if word.duration_s <= longest_s:
            continue
        if word.text in _SENTENCE_ENDS:
            word.end_s = word.start_s + longest_s
        elif before.text in _SENTENCE_ENDS:
            word.start_s = word.end_s - longest_s


def _join_punctuation(words: list[_TimedWord]) -> None:
    """Join punctuation with the word that it belongs to, whose times and probability stay."""
    following = len(words) - 1
    for i in range(len(words) - 2, -1, -1):
        text = words[i].text
        if text.startswith(" ") and text.strip() in _OPENING:
            words[following].text = text + words[following].text
            words[following].num_tokens += words[i].num_tokens
            words[i].text, words[i].num_tokens = "", 0
        else:
            following = i
    before = 0
    for i in range(1, len(words)):
        text = words[i].text
        if not words[before].text.endswith(" ") and text in _CLOSING:
            words[before].text += text
            words[before].num_tokens += words[i].num_tokens
            words[i].text, words[i].num_tokens = "", 0
        else:
            before = i


def _by_segment(
    words: Sequence[_TimedWord], segments: Sequence[Segment]
) -> Iterator[list[_TimedWord]]:
    """Yield the words of each segment: those that begin before its tokens are used up."""
    left = iter(words)
    surplus = 0  # tokens of the next segment that a word of this one holds
    for segment in segments:
        own: list[_TimedWord] = []
        num_tokens = surplus
        while num_tokens < len(segment.tokens) and (word := next(left, None)) is not None:
            num_tokens += word.num_tokens
            if word.text:
                own.append(word)
        surplus = max(0, num_tokens - len(segment.tokens))
        yield own


def _shorten_after_pause(words: Sequence[_TimedWord], last_s: float, typical_s: float) -> None:
    """Shorten the first and the second word after a pause to twice the typical length."""
    longest_s = 2 * typical_s
    first, second = words[0], words[1] if len(words) > 1 else None
    is_late = first.end_s - last_s > 4 * typical_s
    is_long = first.duration_s > longest_s
    are_long = second is not None and second.end_s - first.start_s > 2 * longest_s
    if not (is_late and (is_long or are_long)):
        return
    if second is not None and second.duration_s > longest_s:
        middle_s = (first.start_s + second.end_s) / 2
        first.end_s = second.start_s = max(middle_s, second.end_s - longest_s)
    first.start_s = max(last_s, first.end_s - longest_s)


def _fit_to_segment(words: Sequence[_TimedWord], segment: Segment, typical_s: float) -> None:
    """Cut a first or last word that sticks far out of the segment by Whisper's own times."""
    first, last = words[0], words[-1]
    if first.start_s + _TOLERANCE_S < segment.start_s < first.end_s:
        first.start_s = max(0.0, min(first.end_s - typical_s, segment.start_s))
    if segment.end_s is not None and last.start_s < segment.end_s < last.end_s - _TOLERANCE_S:
        last.end_s = max(last.start_s + typical_s, segment.end_s)


def _leave_silence(words: Sequence[_TimedWord], speech: Sequence[Span], longest_s: float) -> None:
    """Let words beside detected silence begin and end at its edge.

    An alignment has no silence: the first word of a chunk begins where the chunk does, the last
    word before a pause ends before its sound does, and a short word may be wholly in the pause
    before it.
    """
    edges_s = [(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in speech]
    next_starts_s = [*(word.start_s for word in words[1:]), math.inf]
    for word, next_start_s in zip(words, next_starts_s, strict=True):
        heard = [edge for edge in edges_s if word.start_s < edge[1] and edge[0] < word.end_s]
        if heard:
            end_s = heard[-1][1]
            is_last = next_start_s >= end_s and end_s - word.end_s <= _TOLERANCE_S
            word.start_s = max(word.start_s, heard[0][0])
            word.end_s = end_s if is_last else min(word.end_s, end_s)
            continue
        for start_s, end_s in edges_s:
            if word.end_s <= start_s <= min(word.end_s + _TOLERANCE_S, next_start_s):
                word.start_s = start_s
                word.end_s = min(end_s, next_start_s, start_s + longest_s)
                break


def _in_order(words: Sequence[_TimedWord], before: Sequence[Segment], span: Span) -> Iterator[Word]:
    """Yield words inside the chunk, none of which starts before the one before it has ended."""
    ends_s = [segment.words[-1].end_s for segment in before if segment.words]
    at_s = max([span.start / SAMPLE_RATE, *ends_s])
    limit_s = span.end / SAMPLE_RATE
    for word in words:
        start_s = min(max(at_s, word.start_s), limit_s)
        at_s = min(max(start_s, word.end_s), limit_s)
        yield Word(word.text, start_s, at_s, word.probability)
