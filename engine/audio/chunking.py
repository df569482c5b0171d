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
from collections.abc import Callable
from typing import Protocol

import numpy as np

from ..types import Chunk, Samples, Span, VadMode, VadOptions
from .cuts import CUT_PAUSE, Cuts, first_cut
from .decode import SAMPLE_RATE
from .features import CHUNK_SAMPLES
from .fixed_windows import FixedWindows
from .vad import DEFAULT_THRESHOLD, SpeechDetector

_DEFAULTS = VadOptions()


class Splitter(Protocol):
    """Splits one channel, block by block. Not thread-safe."""

    @property
    def next_start(self) -> int:
        """The next chunk starts at this sample or later."""

    def feed(self, block: Samples | None) -> list[Chunk]:
        """Take the next block, None for the end; return the chunks that are complete now."""


class LiveSplitter(Splitter, Protocol):
    """A `Splitter` that shows what is in no chunk yet."""

    @property
    def pending(self) -> Chunk | None:
        """The next chunk as far as it has come; None while there is no speech for it.

        It may be longer than the longest chunk: until it is known where that ends.
        """

    @property
    def pending_start(self) -> int | None:
        """The first sample of its speech."""

    @property
    def rest(self) -> Samples:
        """The audio at the end that the next speech may need, after the end of all chunks."""


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
    return _at_pauses(on_speech, Cuts(max_samples, options, max_pause), options, new_detector)


def new_live_splitter(
    max_samples: int,
    options: VadOptions,
    new_detector: Callable[[], SpeechDetector] | None = None,
) -> LiveSplitter:
    """Return what splits the audio of a live session as `new_splitter` splits that of a file."""
    cuts = Cuts(max_samples, options, CUT_PAUSE)
    return _at_pauses(lambda num_samples: None, cuts, options, new_detector)


def _at_pauses(
    on_speech: Callable[[int], None],
    cuts: Cuts,
    options: VadOptions,
    new_detector: Callable[[], SpeechDetector] | None,
) -> _AtPauses:
    threshold = DEFAULT_THRESHOLD if options.threshold is None else options.threshold
    default = functools.partial(SpeechDetector, cuts.max_speech, threshold=threshold)
    return _AtPauses(on_speech, (new_detector or default)(), cuts)


class _AtPauses:
    """A `LiveSplitter` at the pauses between spans of speech."""

    def __init__(
        self, on_speech: Callable[[int], None], detector: SpeechDetector, cuts: Cuts
    ) -> None:
        self._on_speech = on_speech
        self._detector = detector
        self._cutter = _Cutter(cuts)

    @property
    def next_start(self) -> int:
        """See `Splitter`."""
        return self._cutter.next_start

    @property
    def pending(self) -> Chunk | None:
        """See `LiveSplitter`."""
        return self._cutter.pending(self._detector.open_speech)

    @property
    def pending_start(self) -> int | None:
        """See `LiveSplitter`."""
        return self._cutter.pending_start(self._detector.open_speech)

    @property
    def rest(self) -> Samples:
        """See `LiveSplitter`."""
        start = self._detector.open_start
        return self._cutter.rest(self._detector.position if start is None else start)

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
        return cutter.take(math.inf if block is None else quiet_until, detector.least_end)


class _Cutter:
    """Holds audio and its speech until they are in a chunk. Not thread-safe."""

    def __init__(self, cuts: Cuts) -> None:
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

    def take(self, quiet_until: float, least_end: float = 0.0) -> list[Chunk]:
        """Return the chunks whose ends are known, and release audio that is not needed any more.

        Args:
            quiet_until: Speech that was not added yet starts here or later, in samples; infinity
                if there is none.
            least_end: See `first_cut`.
        """
        chunks = []
        while num_spans := first_cut(self._speech, quiet_until, self._cuts, least_end):
            chunks.append(self._chunk(num_spans, quiet_until))
        needed = self._speech[0].start if self._speech else quiet_until
        if needed < math.inf:
            keep = max(self._taken, int(needed) - self._cuts.before)
            self._audio, self._audio_start = self._audio[keep - self._audio_start :], keep
        return chunks

    def pending(self, open_speech: Span | None) -> Chunk | None:
        """Return all speech that is in no chunk yet with the audio around it; None without speech.

        Args:
            open_speech: Speech that goes on.
        """
        speech = (*self._speech, *([open_speech] if open_speech else []))
        if not speech:
            return None
        end = self._audio_start + len(self._audio)
        if open_speech is None:  # in a pause
            end = min(end, speech[-1].end + self._cuts.after)
        span = Span(self._start_of(speech[0]), end)
        samples = self._audio[span.start - self._audio_start : end - self._audio_start].copy()
        return Chunk(self._index, samples, (span,), speech)

    def pending_start(self, open_speech: Span | None) -> int | None:
        """Return where speech starts that is in no chunk yet; see `pending`."""
        first = self._speech[0] if self._speech else open_speech
        return None if first is None else first.start

    def rest(self, quiet_until: int) -> Samples:
        """Return the audio at the end that speech from `quiet_until` on may need."""
        start = max(self._taken, quiet_until - self._cuts.before, self._audio_start)
        return self._audio[start - self._audio_start :].copy()

    def _start_of(self, first: Span) -> int:
        return max(self._taken, first.start - self._cuts.before)

    def _chunk(self, num_spans: int, quiet_until: float) -> Chunk:
        speech, self._speech = self._speech[:num_spans], self._speech[num_spans:]
        end = speech[-1].end
        limit = self._audio_start + len(self._audio)
        next_start = self._speech[0].start if self._speech else quiet_until
        if next_start < math.inf:  # a pause too short for two paddings is halved
            limit = int(end + next_start) // 2
        span = Span(self._start_of(speech[0]), min(end + self._cuts.after, limit))
        # A copy: a view would keep the audio around it in memory.
        samples = self._audio[span.start - self._audio_start : span.end - self._audio_start].copy()
        chunk = Chunk(self._index, samples, (span,), tuple(speech))
        self._index, self._taken = self._index + 1, span.end
        return chunk


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
