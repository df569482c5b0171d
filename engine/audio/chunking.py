"""Splits one channel of an utterance into chunks that fit the model's window, cut at silences.

A chunk ends at a pause: the longer the chunk already is, the shorter the pause that ends it (1.5 s
at first, 0.5 s from 10 s on). A chunk that would be longer than the model's window is cut at a
shorter pause. A chunk is contiguous audio, its pauses included, so times in the chunk and in the
utterance differ by an offset. Chunks are not filled up to 30 s: with several sentences and long
pauses in a window, Whisper often leaves sentences out; with a few words alone it mishears them.

Works on a stream: a chunk is returned as soon as its end is known, and its audio is then released.
Every span of speech that the detector finds is in exactly one chunk, in order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..types import Chunk, Samples, Span, VadMode, VadOptions
from .decode import SAMPLE_RATE
from .features import CHUNK_SAMPLES
from .fixed_windows import FixedWindows
from .vad import DEFAULT_THRESHOLD, SpeechDetector

# Audio that is kept around speech. Detection is late at soft starts: 0.4 s before instead of 0.2
# leaves Whisper base a tenth fewer word errors, 0.5 s no fewer. After speech more than 0.2 s gains
# nothing.
BEFORE_SAMPLES = round(0.4 * SAMPLE_RATE)
AFTER_SAMPLES = round(0.2 * SAMPLE_RATE)

# The pause that ends a chunk, by the seconds from its first to its last speech. Pauses are the
# silence between two spans of speech, without padding. Measured on Whisper base: always 0.5 s costs
# 2.9 points of word errors on clips of up to 15 s, always 1.5 s shifts the times of segments. A
# pause of 1 s after 4 s of speech may be inside a sentence ("ask not | what your country").
_CUT_PAUSES_S = ((0.0, 1.5), (6.0, 1.0), (10.0, 0.5))
_CUT_PAUSES = tuple(
    (round(length_s * SAMPLE_RATE), round(pause_s * SAMPLE_RATE))
    for length_s, pause_s in _CUT_PAUSES_S
)
_SAMPLES_PER_MS = SAMPLE_RATE // 1000
CUT_PAUSE = _CUT_PAUSES[0][1]  # the longest of these, in samples

# The longest of these pauses where chunks may differ in language. On Whisper base 0.7 s separates
# an English word from the Spanish after it, and counted words stay together more than at 0.5 s.
TURN_PAUSE = round(0.7 * SAMPLE_RATE)
_DEFAULTS = VadOptions()

# A chunk that is too long is cut at the longest pause in the last fifth of the window: a cut
# between clauses causes fewer word errors than one inside a clause.
_EARLIEST_CUT = 0.8


class Splitter(Protocol):
    """Splits one channel, block by block. Not thread-safe."""

    @property
    def next_start(self) -> int:
        """The next chunk starts at this sample or later."""

    def feed(self, block: Samples | None) -> list[Chunk]:
        """Take the next block, None for the end; return the chunks that are complete now."""


class _Cuts:
    """Where chunks are cut, in samples: a request's `VadOptions` with their defaults.

    Attributes:
        before: Audio that is kept before speech.
        after: Audio that is kept after speech: at most half of any pause that ends a chunk.
        max_speech: Most samples from the first to the last speech of a chunk.
        pauses: Ascending lengths of a chunk, each with the pause that ends it from there on.
    """

    def __init__(self, max_samples: int, options: VadOptions, max_pause: int) -> None:
        """Resolve the options; see `new_splitter`."""
        before_ms, pause_ms = options.prefix_padding_ms, options.silence_duration_ms
        default = tuple((length, min(pause, max_pause)) for length, pause in _CUT_PAUSES)
        self.pauses = default if pause_ms is None else ((0, pause_ms * _SAMPLES_PER_MS),)
        self.before = BEFORE_SAMPLES if before_ms is None else before_ms * _SAMPLES_PER_MS
        self.after = min(AFTER_SAMPLES, self.shortest_pause // 2)
        self.max_speech = max_samples - self.before - self.after

    @property
    def shortest_pause(self) -> int:
        """The pause that ends a long chunk."""
        return self.pauses[-1][1]

    def pause(self, num_samples: int) -> int:
        """Return the pause that ends a chunk of this length."""
        return next(pause for length, pause in reversed(self.pauses) if num_samples >= length)


def new_splitter(
    mode: VadMode,
    on_speech: Callable[[int], None],
    new_detector: Callable[[], SpeechDetector] | None = None,
    max_samples: int = CHUNK_SAMPLES,
    options: VadOptions = _DEFAULTS,
    max_pause: int = CUT_PAUSE,
) -> Splitter:
    """Return what splits one channel into chunks of 1 to `max_samples` samples with one span each.

    Args:
        mode: Whether speech is detected. OFF: no, the chunks are fixed windows over all audio. AUTO
            and ON: yes.
        on_speech: Called with the number of samples of each span of speech.
        new_detector: Creates the speech detector; by default one with Silero's model. Its spans
            must be at most `max_samples - BEFORE_SAMPLES - AFTER_SAMPLES` long.
        max_samples: Length of the longest chunk, in samples.
        options: How speech is detected and cut.
        max_pause: A pause as long as this ends a chunk of any length, unless `options` say; in
            samples, at least 0.5 s.
    """
    if mode is VadMode.OFF:
        return FixedWindows(on_speech, max_samples)
    cuts = _Cuts(max_samples, options, max_pause)
    threshold = DEFAULT_THRESHOLD if options.threshold is None else options.threshold
    default = functools.partial(SpeechDetector, cuts.max_speech, threshold=threshold)
    return _AtPauses(on_speech, (new_detector or default)(), cuts)


class _AtPauses:
    """A `Splitter` at the pauses between spans of speech."""

    def __init__(
        self, on_speech: Callable[[int], None], detector: SpeechDetector, cuts: _Cuts
    ) -> None:
        self._on_speech = on_speech
        self._detector = detector
        self._cutter = _Cutter(cuts)

    @property
    def next_start(self) -> int:
        """See `Splitter`."""
        return self._cutter.next_start

    def feed(self, block: Samples | None) -> list[Chunk]:
        """See `Splitter`."""
        detector, cutter = self._detector, self._cutter
        if block is not None:
            cutter.add_audio(block)
        for span in detector.finish() if block is None else detector.feed(block):
            self._on_speech(span.end - span.start)
            cutter.add_speech(span)
        start = detector.open_start
        quiet_until = detector.position if start is None else start
        return cutter.take(math.inf if block is None else quiet_until)


class _Cutter:
    """Holds audio and its speech until they are in a chunk. Not thread-safe."""

    def __init__(self, cuts: _Cuts) -> None:
        """Start an utterance that is cut at `cuts`."""
        self._cuts = cuts
        self._audio: Samples = np.zeros(0, np.float32)
        self._audio_start = 0  # position of its first sample in the utterance
        self._speech: list[Span] = []  # not in a chunk yet
        self._index = 0  # of the next chunk
        self._taken = 0  # end of the last chunk

    @property
    def next_start(self) -> int:
        """See `Splitter`."""
        return self._audio_start

    def add_audio(self, block: Samples) -> None:
        """Append a block of audio."""
        self._audio = np.concatenate([self._audio, block])

    def add_speech(self, span: Span) -> None:
        """Append a span of speech; the audio has it already."""
        self._speech.append(span)

    def take(self, quiet_until: float) -> list[Chunk]:
        """Return the chunks whose ends are known, and release audio that is not needed any more.

        Args:
            quiet_until: Speech that was not added yet starts here or later, in samples; infinity
                if there is none.
        """
        chunks = []
        while num_spans := _first_cut(self._speech, quiet_until, self._cuts):
            chunks.append(self._chunk(num_spans))
        needed = self._speech[0].start if self._speech else quiet_until
        if needed < math.inf:
            keep = max(self._taken, int(needed) - self._cuts.before)
            self._audio, self._audio_start = self._audio[keep - self._audio_start :], keep
        return chunks

    def _chunk(self, num_spans: int) -> Chunk:
        speech, self._speech = self._speech[:num_spans], self._speech[num_spans:]
        end = speech[-1].end
        limit = self._audio_start + len(self._audio)
        if self._speech:  # a pause too short for two paddings is halved
            limit = (end + self._speech[0].start) // 2
        start = max(self._taken, speech[0].start - self._cuts.before)
        span = Span(start, min(end + self._cuts.after, limit))
        # A copy: a view would keep the audio around it in memory.
        samples = self._audio[span.start - self._audio_start : span.end - self._audio_start].copy()
        chunk = Chunk(self._index, samples, (span,), tuple(speech))
        self._index, self._taken = self._index + 1, span.end
        return chunk


def _first_cut(speech: Sequence[Span], quiet_until: float, cuts: _Cuts) -> int:
    """Return how many spans the first chunk takes; 0 if that depends on what follows.

    The answer does not change with more speech or a later `quiet_until`: the chunks do not depend
    on the sizes of the blocks.

    Args:
        speech: The spans that are in no chunk yet, in order.
        quiet_until: Where the next one starts at the earliest, in samples.
        cuts: Where chunks are cut.
    """
    starts = [*(span.start for span in speech[1:]), quiet_until]
    # After each span. The last one is at least this long, the others are exactly this long.
    pauses = [start - span.end for span, start in zip(speech, starts, strict=False)]
    for i, pause in enumerate(pauses):
        num_samples = speech[i].end - speech[0].start
        if i and num_samples > cuts.max_speech:
            return _cut_of_long(speech[: i + 1], pauses, cuts)
        if pause >= cuts.pause(num_samples):
            return i + 1
    return 0


def _cut_of_long(speech: Sequence[Span], pauses: Sequence[float], cuts: _Cuts) -> int:
    """Return how many spans to take of a chunk that its last span makes too long: 1 or more.

    The cut is at the last pause that ends a long chunk, else at the longest pause in the last fifth
    of the window, else before the last span.
    """
    places = range(1, len(speech))
    long_pauses = [i for i in places if pauses[i - 1] >= cuts.shortest_pause]
    if long_pauses:
        return long_pauses[-1]
    earliest = speech[0].start + _EARLIEST_CUT * cuts.max_speech
    late = [i for i in places if speech[i - 1].end >= earliest]
    return max(late, key=lambda i: (pauses[i - 1], i), default=places[-1])


class ChunkClock:
    """Converts times in a chunk to times in the utterance."""

    def __init__(self, spans: tuple[Span, ...]) -> None:
        """Store where the chunk is: its one span."""
        (self._span,) = spans

    def start_s(self, time_s: float) -> float:
        """Return the time in the utterance of a start at `time_s` in the chunk.

        It is in the chunk's span: times beyond the chunk are its end.
        """
        sample = self._span.start + max(0, round(time_s * SAMPLE_RATE))
        return min(sample, self._span.end) / SAMPLE_RATE

    def end_s(self, time_s: float) -> float:
        """Return the time in the utterance of an end at `time_s` in the chunk, as `start_s`."""
        return self.start_s(time_s)
