"""Which answers of a chunk are not accepted: loops, improbable words, speech without words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from ..audio.decode import SAMPLE_RATE
from ..decoding.gates import Gates
from ..decoding.hypothesis import Hypothesis
from ..types import Segment, Span
from .loops import ngram_size

MAX_COMPRESSION_RATIO = 2.4  # openai/whisper's threshold
MIN_AVG_LOGPROB = -1.0  # openai/whisper's threshold

# An answer of so many tokens for its audio is a loop: fast speech has 8 tokens a second, languages
# that are spelled in bytes about 15.
_MAX_TOKENS_PER_S = 16
_MAX_TOKENS_BESIDES = 24  # timestamps, punctuation

# A sound this short that is taken for speech is often none, and Whisper says "Thank you." to it
# without doubt. Of 963 answers to real speech, 800 of them to digits of a quarter of a second, none
# with a greater probability of no speech was right.
_MOMENT_S = 0.5
_SURELY_NO_SPEECH = 0.7

_MIN_TOKENS_PER_S = 1.0  # of speech; slow speech has 2
_MIN_SPEECH_S = 3.0  # shorter speech may be a single word
_NEAR_S = 0.5  # times of the model are that far off
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
    if ngram_size(tokens):
        return "the end repeats itself"
    if hypothesis.avg_logprob < MIN_AVG_LOGPROB:
        return f"average log-probability under {MIN_AVG_LOGPROB}"
    if speech_s >= _MIN_SPEECH_S and len(tokens) < _MIN_TOKENS_PER_S * speech_s:
        return f"{len(tokens)} tokens for {speech_s:.1f} s of speech"
    return ""


def is_silence(hypothesis: Hypothesis, gates: Gates, speech_s: float, *, is_doubtful: bool) -> bool:
    """Return whether what was decoded is no speech, so that the answer is not its text.

    That is openai/whisper's rule. Beside it, a moment of speech that the model surely takes for
    none has no text, however probable the text is.

    Args:
        hypothesis: The answer.
        gates: The thresholds.
        speech_s: Length of the speech detected in the chunk; 0 if that is not known.
        is_doubtful: Whether another answer may say more, so that only a sure one counts.
    """
    if gates.no_speech is None:
        return False
    is_improbable = gates.logprob is not None and hypothesis.avg_logprob < gates.logprob
    sure = max(gates.no_speech, _SURELY_NO_SPEECH)
    if hypothesis.no_speech_prob > sure and 0 < speech_s < _MOMENT_S:
        return True
    bar = sure if is_doubtful else gates.no_speech
    return is_improbable and hypothesis.no_speech_prob > bar


def gate_failure(hypothesis: Hypothesis, text: str, gates: Gates, audio_s: float) -> str:
    """Return which gate an answer fails, in a few words; empty if it passes all.

    Args:
        hypothesis: The answer.
        text: Its text.
        gates: What it must pass.
        audio_s: Length of the chunk.
    """
    if gates.fallbacks and len(hypothesis.tokens) >= max_tokens(audio_s):
        return f"{len(hypothesis.tokens)} tokens for {audio_s:.1f} s of audio"
    if reason := repetition(hypothesis, text, gates):
        return reason
    if gates.logprob is not None and hypothesis.avg_logprob < gates.logprob:
        return f"average log-probability {hypothesis.avg_logprob:.2f} under {gates.logprob}"
    return ""


def repetition(hypothesis: Hypothesis, text: str, gates: Gates) -> str:
    """Return that an answer repeats itself too much for the gates; empty if it does not."""
    most, ratio = gates.compression_ratio, compression_ratio(text)
    if gates.token_compression_ratio is not None:
        most, ratio = gates.token_compression_ratio, token_compression_ratio(hypothesis.tokens)
    return f"compression ratio {ratio:.1f} over {most}" if most is not None and ratio > most else ""


def unspoken(segments: Sequence[Segment], speech: Sequence[Span]) -> list[Segment]:
    """Return the segments with text that are nowhere near detected speech.

    Args:
        segments: Segments with times.
        speech: The speech that was detected in their audio; empty if that is not known.
    """
    if not speech:
        return []
    near = [
        (span.start / SAMPLE_RATE - _NEAR_S, span.end / SAMPLE_RATE + _NEAR_S) for span in speech
    ]
    return [
        one
        for one in segments
        if not any(
            one.start_s < end_s and start_s < (one.start_s if one.end_s is None else one.end_s)
            for start_s, end_s in near
        )
    ]


def token_compression_ratio(tokens: Sequence[int]) -> float:
    """Return HF's measure of repetition: bytes of the token ids over their compressed bytes.

    Source: `_retrieve_compression_ratio` of transformers; Whisper's ids have two bytes.
    """
    data = b"".join(token.to_bytes(2, "little") for token in tokens)
    return len(data) / len(zlib.compress(data)) if data else 0.0


def compression_ratio(text: str) -> float:
    """Return openai/whisper's measure of repetition: bytes of a text over its compressed bytes."""
    data = text.strip().encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


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
