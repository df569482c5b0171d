"""Splits one channel into windows of the same length: where speech is not detected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..types import Chunk, Samples, Span
from .decode import SAMPLE_RATE

# A rest shorter than the first of these is lengthened to the second.
_SHORTEST_REST = SAMPLE_RATE // 2
_LENGTHENED_REST = SAMPLE_RATE


class FixedWindows:
    """A `chunking.Splitter` into windows of the same length. Not thread-safe."""

    def __init__(self, on_speech: Callable[[int], None], max_samples: int) -> None:
        """Start a channel.

        Args:
            on_speech: Called with the number of samples of each window.
            max_samples: Length of the longest window, in samples.
        """
        self._on_speech = on_speech
        self._max_samples = max_samples
        self._audio: Samples = np.zeros(0, np.float32)
        self._index = 0  # of the next window
        self.next_start = 0

    def feed(self, block: Samples | None) -> list[Chunk]:
        """See `chunking.Splitter`."""
        if block is not None:
            self._audio = np.concatenate([self._audio, block])
        chunks = []
        while length := _window_length(len(self._audio), self._max_samples, is_last=block is None):
            window, self._audio = self._audio[:length], self._audio[length:]
            self._on_speech(length)
            span = Span(self.next_start, self.next_start + length)
            chunks.append(Chunk(self._index, window, (span,)))
            self._index, self.next_start = self._index + 1, span.end
        return chunks


def _window_length(num_samples: int, max_samples: int, *, is_last: bool) -> int:
    """Return the length of the next window; 0 if there is none, or not yet.

    Args:
        num_samples: Length of the audio that is not in a window yet.
        max_samples: Length of the longest window.
        is_last: Whether no audio follows.
    """
    if num_samples >= max_samples + _SHORTEST_REST:
        return max_samples
    if not is_last:
        return 0
    return num_samples if num_samples <= max_samples else num_samples - _LENGTHENED_REST
