"""Tokens of one chunk to segments with their times in the utterance.

Timestamp tokens are read as HF does (`_decode_asr`): the text between two of them is a segment; a
segment without a closing one has no end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..audio.chunking import ChunkClock
from ..audio.decode import SAMPLE_RATE
from ..audio.features import HOP_SAMPLES
from ..decoding.hypothesis import Hypothesis
from ..model.tokenizer import TIMESTAMP_S, WhisperTokenizer
from ..types import Segment, Span


def to_segments(
    tokens: Sequence[int], spans: tuple[Span, ...], tokenizer: WhisperTokenizer, *, timestamps: bool
) -> list[Segment]:
    """Return the segments of one chunk, in order and inside its bounds; none without text.

    Args:
        tokens: The tokens that the model generated.
        spans: Where the chunk's audio comes from.
        tokenizer: The model's tokenizer.
        timestamps: Whether there are timestamps among the tokens; without them the chunk is one
            segment.
    """
    if not timestamps:
        text = tokenizer.decode(tokens)
        bounds = spans[0].start / SAMPLE_RATE, spans[-1].end / SAMPLE_RATE
        ids = tuple(token for token in tokens if token < tokenizer.end_of_text)
        return [Segment(text, *bounds, tokens=ids)] if text.strip() else []
    clock = ChunkClock(spans)
    segments: list[Segment] = []
    latest_s = spans[0].start / SAMPLE_RATE
    for phrase, start_s, end_s in _phrases(tokens, tokenizer.timestamp_begin):
        text = tokenizer.decode(phrase)
        if not text.strip():
            continue
        # Timestamps of the model may go back; a segment never starts before the one before it.
        begin_s = max(latest_s, clock.start_s(start_s))
        stop_s = None if end_s is None else max(begin_s, clock.end_s(end_s))
        latest_s = begin_s if stop_s is None else stop_s
        ids = tuple(token for token in phrase if token < tokenizer.end_of_text)
        segments.append(Segment(text, begin_s, stop_s, tokens=ids))
    return segments


def with_confidence(
    segments: Sequence[Segment], hypothesis: Hypothesis, span: Span, compression_ratio: float
) -> list[Segment]:
    """Return the segments of one chunk with what is known of the answer that they are from.

    Args:
        segments: The segments.
        hypothesis: The answer.
        span: The audio that it is for.
        compression_ratio: Of the text of the answer.
    """
    return [
        replace(
            segment,
            avg_logprob=hypothesis.avg_logprob,
            no_speech_prob=hypothesis.no_speech_prob,
            compression_ratio=compression_ratio,
            temperature=hypothesis.temperature,
            seek=span.start // HOP_SAMPLES,
        )
        for segment in segments
    ]


def _phrases(
    tokens: Sequence[int], timestamp_begin: int
) -> Iterator[tuple[list[int], float, float | None]]:
    """Yield (text tokens, start, end) with times in seconds of the chunk."""
    text: list[int] = []
    start_s = 0.0
    for token in tokens:
        if token < timestamp_begin:
            text.append(token)
            continue
        time_s = (token - timestamp_begin) * TIMESTAMP_S
        if text:
            yield text, start_s, time_s
            text = []
        start_s = time_s
    if text:
        yield text, start_s, None
