"""Which answers of a chunk are not accepted: loops, improbable words, speech without words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from ..audio.decode import SAMPLE_RATE
from ..decoding.hypothesis import Hypothesis
from ..types import Segment, Span

MAX_COMPRESSION_RATIO = 2.4  # openai/whisper's threshold
MIN_AVG_LOGPROB = -1.0  # openai/whisper's threshold

# An answer of so many tokens for its audio is a loop: fast speech has 8 tokens a second, languages
# that are spelled in bytes about 15.
_MAX_TOKENS_PER_S = 16
_MAX_TOKENS_BESIDES = 24  # timestamps, punctuation

_MIN_REPEATS = 4  # of an n-gram at the end of the answer
_MAX_NGRAM = 12

_MIN_TOKENS_PER_S = 1.0  # of speech; slow speech has 2
_MIN_SPEECH_S = 3.0  # shorter speech may be a single word
_MAX_UNWRITTEN_S = 1.5  # from the last time to the end of the last speech


def max_tokens(audio_s: float) -> int:
    """Return the number of tokens at which the answer for so much audio is taken for a loop."""
    return _MAX_TOKENS_BESIDES + int(_MAX_TOKENS_PER_S * audio_s)


def suspicion(
    hypothesis: Hypothesis, text: str, audio_s: float, speech_s: float, timestamp_begin: int
) -> str:
    """Return why an answer is suspect, in a few words; empty if it is not.

    Args:
        hypothesis: The answer.
        text: Its text.
        audio_s: Length of the chunk.
        speech_s: Length of the speech in it; 0 if that is not known.
        timestamp_begin: Tokens from here on are timestamps.
    """
    tokens = [token for token in hypothesis.tokens if token < timestamp_begin]
    if len(hypothesis.tokens) >= max_tokens(audio_s):
        return f"{len(hypothesis.tokens)} tokens for {audio_s:.1f} s of audio"
    if compression_ratio(text) > MAX_COMPRESSION_RATIO:
        return f"compression ratio over {MAX_COMPRESSION_RATIO}"
    if ends_in_loop(tokens):
        return "the end repeats itself"
    if hypothesis.avg_logprob < MIN_AVG_LOGPROB:
        return f"average log-probability under {MIN_AVG_LOGPROB}"
    if speech_s >= _MIN_SPEECH_S and len(tokens) < _MIN_TOKENS_PER_S * speech_s:
        return f"{len(tokens)} tokens for {speech_s:.1f} s of speech"
    return ""


def compression_ratio(text: str) -> float:
    """Return openai/whisper's measure of repetition: bytes of a text over its compressed bytes."""
    data = text.strip().encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def ends_in_loop(tokens: Sequence[int]) -> bool:
    """Return whether the last tokens are one n-gram, `_MIN_REPEATS` times in a row."""
    for size in range(1, _MAX_NGRAM + 1):
        tail = list(tokens[-_MIN_REPEATS * size :])
        if len(tail) == _MIN_REPEATS * size and tail == tail[:size] * _MIN_REPEATS:
            return True
    return False


def written_until(segments: Sequence[Segment], span: Span, *, timestamps: bool) -> int:
    """Return the sample up to which a chunk has been written.

    Args:
        segments: The segments of the chunk.
        span: Where its audio comes from.
        timestamps: Whether the segments have times of the model.
    """
    if not segments:
        return span.start
    end_s = segments[-1].end_s
    if not timestamps or end_s is None:
        return span.end
    return min(span.end, round(end_s * SAMPLE_RATE))


def is_unwritten(until: int, speech: Sequence[Span]) -> bool:
    """Return whether speech goes on for long after the sample `until`."""
    return bool(speech) and speech[-1].end - until > _MAX_UNWRITTEN_S * SAMPLE_RATE


def num_written(until: int, speech: Sequence[Span]) -> int:
    """Return the samples of speech before the sample `until`."""
    return sum(max(0, min(until, span.end) - span.start) for span in speech)
