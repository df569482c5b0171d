"""Splits one utterance into chunks that fit the model's window, cut at silences.

Works on a stream: a chunk is yielded as soon as it is full, and its audio is then released. While
silence is removed, None is yielded after each block, so that hours of silence do not hold up other
requests. Every span of speech that the detector finds is in exactly one chunk, in order.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..types import Chunk, Samples, Span, VadMode
from .decode import SAMPLE_RATE
from .features import CHUNK_SAMPLES
from .vad import SpeechDetector

PAD_SAMPLES = SAMPLE_RATE // 5  # kept on each side of speech: detection is one or two windows late
# A full chunk is cut at the longest pause in its last fifth: a cut between sentences causes
# fewer word errors than one inside a phrase, and such a chunk is at least 80 % full.
_EARLIEST_CUT = 0.8


@dataclass(frozen=True, eq=False)
class _Piece:
    """A span of speech with its padding; chunks are cut between pieces only."""

    span: Span
    samples: Samples


def split_chunks(
    blocks: Iterable[Samples],
    mode: VadMode,
    on_speech: Callable[[int], None],
    new_detector: Callable[[], SpeechDetector] | None = None,
    max_samples: int = CHUNK_SAMPLES,
) -> Iterator[Chunk | None]:
    """Yield the chunks of one utterance, and None after each block while silence is removed.

    Args:
        blocks: The audio, float32 of shape (num_samples,) each.
        mode: When silence is removed; see `VadMode`.
        on_speech: Called with the number of samples of each span of speech.
        new_detector: Creates the speech detector; by default one with Silero's model.
        max_samples: Length of the longest chunk, in samples.

    Yields:
        Chunks of 1 to `max_samples` samples, or None.
    """
    if mode is VadMode.OFF:
        yield from _fixed_windows(blocks, on_speech, max_samples)
        return
    max_span_samples = max_samples - 2 * PAD_SAMPLES
    detector = new_detector() if new_detector else SpeechDetector(max_span_samples)
    if mode is VadMode.AUTO:
        head, blocks = _read_ahead(iter(blocks), max_samples + 1)
        if len(head) <= max_samples:
            yield from _one_chunk(head, detector, on_speech)
            return
    yield from _pack(_pieces(blocks, detector, on_speech), max_samples)


def _fixed_windows(
    blocks: Iterable[Samples], on_speech: Callable[[int], None], max_samples: int
) -> Iterator[Chunk]:
    audio: Samples = np.zeros(0, np.float32)
    index = start = 0
    for block in itertools.chain(blocks, [None]):
        audio = audio if block is None else np.concatenate([audio, block])
        while len(audio) >= max_samples or (block is None and len(audio)):
            window, audio = audio[:max_samples], audio[max_samples:]
            on_speech(len(window))
            yield Chunk(index, window, (Span(start, start + len(window)),))
            index, start = index + 1, start + len(window)


def _read_ahead(blocks: Iterator[Samples], num_samples: int) -> tuple[Samples, Iterator[Samples]]:
    """Read at least `num_samples`, or all; return them joined, and an iterator over all audio."""
    held: list[Samples] = []
    while sum(map(len, held)) < num_samples and (block := next(blocks, None)) is not None:
        held.append(block)
    head = np.concatenate(held) if held else np.zeros(0, np.float32)
    return head, itertools.chain([head], blocks)


def _one_chunk(
    audio: Samples, detector: SpeechDetector, on_speech: Callable[[int], None]
) -> Iterator[Chunk]:
    spans = [*detector.feed(audio), *detector.finish()]
    for span in spans:
        on_speech(span.end - span.start)
    if spans:
        yield Chunk(0, audio, (Span(0, len(audio)),))


def _pieces(
    blocks: Iterable[Samples], detector: SpeechDetector, on_speech: Callable[[int], None]
) -> Iterator[_Piece | None]:
    """Yield each span of speech with up to `PAD_SAMPLES` on each side, without overlaps.

    None is yielded after each block.
    """
    buffer: Samples = np.zeros(0, np.float32)
    buffer_start = taken = 0  # position of the buffer's first sample; end of the last piece
    waiting: Span | None = None  # the end of its padding is not known yet

    def piece(span: Span, limit: int) -> _Piece:
        nonlocal taken
        on_speech(span.end - span.start)
        padded = Span(max(taken, span.start - PAD_SAMPLES), min(limit, span.end + PAD_SAMPLES))
        taken = padded.end
        return _Piece(padded, buffer[padded.start - buffer_start : padded.end - buffer_start])

    for block in itertools.chain(blocks, [None]):
        buffer = buffer if block is None else np.concatenate([buffer, block])
        for span in detector.finish() if block is None else detector.feed(block):
            if waiting is not None:
                yield piece(waiting, limit=(waiting.end + span.start) // 2)
            waiting = span
        # The next span of speech starts at `quiet_until` or later.
        start = detector.open_start
        quiet_until = detector.position if start is None else start
        if waiting is not None and quiet_until >= waiting.end + 2 * PAD_SAMPLES:
            yield piece(waiting, limit=quiet_until)
            waiting = None
        needed = quiet_until if waiting is None else waiting.start
        keep = max(taken, needed - PAD_SAMPLES)
        buffer, buffer_start = buffer[keep - buffer_start :], keep
        yield None
    if waiting is not None:
        yield piece(waiting, limit=buffer_start + len(buffer))


def _pack(pieces: Iterable[_Piece | None], max_samples: int) -> Iterator[Chunk | None]:
    index = 0
    held: list[_Piece] = []
    num_samples = 0
    for piece in pieces:
        if piece is None:
            yield None
            continue
        while num_samples + len(piece.samples) > max_samples:
            cut = _best_cut([*held, piece], int(max_samples * _EARLIEST_CUT))
            yield _chunk(index, held[:cut])
            index, held = index + 1, held[cut:]
            num_samples = sum(len(kept.samples) for kept in held)
        held.append(piece)
        num_samples += len(piece.samples)
    if held:
        yield _chunk(index, held)


def _best_cut(pieces: list[_Piece], earliest: int) -> int:
    """Return how many pieces to take, all but the last one at most.

    The cut is at the longest pause after `earliest` samples, or before the last piece if there is
    none.
    """
    lengths = itertools.accumulate(len(piece.samples) for piece in pieces[:-1])
    cuts = [i for i, length in enumerate(lengths, 1) if length >= earliest]
    pauses = {i: pieces[i].span.start - pieces[i - 1].span.end for i in cuts}
    return max(cuts, key=lambda i: (pauses[i], i), default=len(pieces) - 1)


def _chunk(index: int, pieces: list[_Piece]) -> Chunk:
    spans: list[Span] = []
    for piece in pieces:
        if spans and spans[-1].end == piece.span.start:
            spans[-1] = Span(spans[-1].start, piece.span.end)
        else:
            spans.append(piece.span)
    return Chunk(index, np.concatenate([piece.samples for piece in pieces]), tuple(spans))


class ChunkClock:
    """Converts times in a chunk to times in the utterance."""

    def __init__(self, spans: tuple[Span, ...]) -> None:
        """Store the chunk's spans."""
        self._spans = spans
        lengths = [span.end - span.start for span in spans]
        # Where each span starts in the chunk, then the chunk's length.
        self._offsets = [0, *itertools.accumulate(lengths)]

    def start_s(self, time_s: float) -> float:
        """Return the time in the utterance of a start at `time_s` in the chunk."""
        return self._restore(time_s, bisect.bisect_right(self._offsets, self._sample(time_s)) - 1)

    def end_s(self, time_s: float) -> float:
        """Return the time in the utterance of an end at `time_s` in the chunk.

        At a cut this is the end of the span before the cut, not the start of the span after it.
        """
        return self._restore(time_s, bisect.bisect_left(self._offsets, self._sample(time_s)) - 1)

    def _sample(self, time_s: float) -> int:
        return min(round(time_s * SAMPLE_RATE), self._offsets[-1])

    def _restore(self, time_s: float, index: int) -> float:
        index = min(max(index, 0), len(self._spans) - 1)
        sample = self._spans[index].start + self._sample(time_s) - self._offsets[index]
        return sample / SAMPLE_RATE
