"""Cuts the audio of a session into utterances as it arrives: the chunks that a file would have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..audio.chunking import LiveSplitter, new_live_splitter
from ..audio.decode import SAMPLE_RATE
from ..audio.vad import SpeechDetector
from ..types import Chunk, Samples, Span, VadOptions
from .events import SpeechStarted


@dataclass(frozen=True, eq=False)
class Utterance:
    """An utterance that is complete.

    Attributes:
        number: Its number in the session, from 0.
        chunk: Its audio, with its place in the session; index 0.
    """

    number: int
    chunk: Chunk

    @property
    def start_s(self) -> float:
        """Start of its speech, in seconds."""
        return self.chunk.speech[0].start / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """End of its speech, in seconds."""
        return self.chunk.speech[-1].end / SAMPLE_RATE


class Utterances:
    """The audio of one session that is in no complete utterance yet. Not thread-safe.

    Attributes:
        number: That of the utterance that goes on, or of the next one.
        num_samples: What came so far, at 16 kHz.
    """

    def __init__(
        self,
        max_samples: int,
        options: VadOptions,
        new_detector: Callable[[], SpeechDetector] | None = None,
    ) -> None:
        """Start without audio.

        Args:
            max_samples: Length of the longest utterance, in samples.
            options: How speech is detected, and the pause that ends an utterance.
            new_detector: Creates the speech detector; see `new_splitter`.
        """
        self._max_samples = max_samples
        self._new = functools.partial(new_live_splitter, max_samples, options, new_detector)
        self._splitter: LiveSplitter = self._new()
        self._start = 0  # of the splitter's audio in the session
        self._is_open = False  # whether the start of speech was reported
        self.number = 0
        self.num_samples = 0

    @property
    def pending(self) -> Chunk | None:
        """The utterance that goes on, as far as it has come.

        None while nobody speaks, and while it is too long: it is then about to be cut.
        """
        chunk = self._splitter.pending
        if chunk is None or len(chunk.samples) > self._max_samples:
            return None
        return self._placed(chunk)

    def feed(self, samples: Samples) -> list[SpeechStarted | Utterance]:
        """Take audio, float32 of any length at 16 kHz; return what begins and is complete now."""
        self.num_samples += len(samples)
        return self._changes(self._splitter.feed(samples))

    def commit(self) -> list[SpeechStarted | Utterance]:
        """End the utterance that goes on here."""
        rest = self._splitter.rest  # a sound that has just begun may become speech
        changes = self._changes(self._splitter.feed(None))
        if changes and isinstance(last := changes[-1], Utterance):
            num_after = self.num_samples - last.chunk.spans[0].end
            rest = rest[max(0, len(rest) - num_after) :]
        self.clear()
        self._start -= len(rest)
        self._splitter.feed(rest)
        return changes

    def clear(self) -> None:
        """Forget the audio of the utterance that goes on; its number is not used again."""
        self.number += self._is_open
        self._is_open = False
        self._splitter, self._start = self._new(), self.num_samples

    def _changes(self, chunks: list[Chunk]) -> list[SpeechStarted | Utterance]:
        changes: list[SpeechStarted | Utterance] = []
        for chunk in map(self._placed, chunks):
            changes += self._started(chunk.speech[0].start)
            changes.append(Utterance(self.number, chunk))
            self.number, self._is_open = self.number + 1, False
        if (start := self._splitter.pending_start) is not None:
            changes += self._started(self._start + start)
        return changes

    def _started(self, start: int) -> list[SpeechStarted]:
        if self._is_open:
            return []
        self._is_open = True
        return [SpeechStarted(self.number, start / SAMPLE_RATE)]

    def _placed(self, chunk: Chunk) -> Chunk:
        """Return a chunk of the splitter with its place in the session."""

        def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
            return tuple(Span(one.start + self._start, one.end + self._start) for one in spans)

        return replace(chunk, index=0, spans=moved(chunk.spans), speech=moved(chunk.speech))
