"""Detects speech: Silero's model on windows of 32 ms, then hysteresis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from ..types import Samples, Span
from .silero import CONTEXT_SAMPLES, STATE_SIZE, WINDOW_SAMPLES, silero_session

DEFAULT_THRESHOLD = 0.5  # speech starts at this probability,
_HYSTERESIS = 0.15  # and ends this far below it
_MIN_SILENCE_WINDOWS = 3  # 96 ms: shorter pauses count as speech
_MIN_SPEECH_WINDOWS = 3  # 96 ms: shorter sounds do not count as speech
_LEAD_IN_WINDOWS = 8  # of silence first: from a zero state the model misses 11 of 300 clipped words

Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps the next windows (num_windows, 512) of an utterance to probabilities (num_windows,)."""

_State = tuple[NDArray[np.float32], NDArray[np.float32]]


def probabilities_of(session: InferenceSession) -> Probabilities:
    """Return a function that runs Silero's model on one utterance; see `silero_session`.

    It starts in the state that silence leaves. The session may be shared.
    """
    hidden, cell = _state_after_silence(session)
    context = np.zeros((1, CONTEXT_SAMPLES), np.float32)

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal hidden, cell, context
        contexts = np.concatenate([context, windows[:-1, -CONTEXT_SAMPLES:]])
        inputs = {"input": np.concatenate([contexts, windows], 1), "h": hidden, "c": cell}
        probabilities, hidden, cell = session.run(None, inputs)
        context = windows[-1:, -CONTEXT_SAMPLES:].copy()  # a view would keep the block in memory
        return np.asarray(probabilities, np.float32).reshape(-1)

    return run


@functools.cache
def _state_after_silence(session: InferenceSession) -> _State:
    silence = np.zeros((_LEAD_IN_WINDOWS, CONTEXT_SAMPLES + WINDOW_SAMPLES), np.float32)
    zeros = np.zeros((1, 1, STATE_SIZE), np.float32)
    _, hidden, cell = session.run(None, {"input": silence, "h": zeros, "c": zeros})
    return hidden, cell


def preload() -> None:
    """Load the model now instead of at the first request."""
    probabilities_of(silero_session())


class SpeechDetector:
    """Detects the spans of speech in one utterance, block by block. Not thread-safe."""

    def __init__(
        self,
        max_span_samples: int,
        probabilities: Probabilities | None = None,
        threshold: float = DEFAULT_THRESHOLD,
    ) -> None:
        """Start an utterance.

        Args:
            max_span_samples: Longer spans are split at the lowest probability of their last third.
            probabilities: The model; by default Silero's.
            threshold: Probability at which speech starts, 0 to 1; it ends 0.15 below.
        """
        self._probabilities = probabilities or probabilities_of(silero_session())
        self._max_windows = max_span_samples // WINDOW_SAMPLES
        self._speech_probability = threshold
        self._silence_probability = threshold - _HYSTERESIS
        self._remainder: Samples = np.zeros(0, np.float32)
        self._num_windows = 0
        self._start: int | None = None  # first window of the open span, if any
        self._scores: list[float] = []  # probabilities of its windows
        self._num_silent = 0  # number of silent windows at its end

    @property
    def position(self) -> int:
        """Number of samples processed; if no span is open, all speech up to here was yielded."""
        return self._num_windows * WINDOW_SAMPLES

    @property
    def open_start(self) -> int | None:
        """First sample of the open span, which has not ended yet; None if there is none."""
        return None if self._start is None else self._start * WINDOW_SAMPLES

    @property
    def least_end(self) -> int:
        """The open span ends here or later, in samples; 0 if there is none.

        Where it is split, which may be before the windows that it has now, it keeps two thirds.
        """
        if self._start is None:
            return 0
        length = len(self._scores) - self._num_silent
        least = self._start + min(length, self._max_windows * 2 // 3)
        return least * WINDOW_SAMPLES if length >= _MIN_SPEECH_WINDOWS else 0

    @property
    def open_speech(self) -> Span | None:
        """The open span up to now; None while it may still be a sound too short for speech."""
        length = len(self._scores) - self._num_silent
        if self._start is None or length < _MIN_SPEECH_WINDOWS:
            return None
        return Span(self._start * WINDOW_SAMPLES, (self._start + length) * WINDOW_SAMPLES)

    def feed(self, block: Samples) -> Iterator[Span]:
        """Process a block, float32 of any length; yield the spans that are complete."""
        audio = np.concatenate([self._remainder, block])
        num_whole = len(audio) // WINDOW_SAMPLES * WINDOW_SAMPLES
        self._remainder = audio[num_whole:]
        if num_whole:
            yield from self._process(audio[:num_whole].reshape(-1, WINDOW_SAMPLES))

    def finish(self) -> Iterator[Span]:
        """Process the last, incomplete window; yield the spans that are complete or still open."""
        num_samples = self.position + len(self._remainder)
        if len(self._remainder):
            last = np.pad(self._remainder, (0, WINDOW_SAMPLES - len(self._remainder)))
            yield from self._process(last[None])
        for span in self._close(self._num_silent):
            yield Span(span.start, min(span.end, num_samples))

    def _process(self, windows: NDArray[np.float32]) -> Iterator[Span]:
        for probability in self._probabilities(windows).tolist():
            self._num_windows += 1
            if self._start is None:
                if probability < self._speech_probability:
                    continue
                self._start = self._num_windows - 1
            self._scores.append(probability)
            if probability >= self._speech_probability:
                self._num_silent = 0
            elif probability < self._silence_probability or self._num_silent:
                self._num_silent += 1
            if self._num_silent >= _MIN_SILENCE_WINDOWS:
                yield from self._close(self._num_silent)
            elif len(self._scores) >= self._max_windows:
                yield self._split()

    def _close(self, num_silent: int) -> Iterator[Span]:
        start, length = self._start, len(self._scores) - num_silent
        self._start, self._scores, self._num_silent = None, [], 0
        if start is not None and length >= _MIN_SPEECH_WINDOWS:
            yield Span(start * WINDOW_SAMPLES, (start + length) * WINDOW_SAMPLES)

    def _split(self) -> Span:
        # Split in the last third, so that the part before is at least 2/3 of the longest span.
        assert self._start is not None
        first = len(self._scores) * 2 // 3
        cut = first + int(np.argmin(self._scores[first:]))
        span = Span(self._start * WINDOW_SAMPLES, (self._start + cut) * WINDOW_SAMPLES)
        self._start += cut
        self._scores = self._scores[cut:]
        self._num_silent = min(self._num_silent, len(self._scores))
        return span
