"""The order in which the segments of a request are given out: that of its answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..types import Segment


class SegmentOrder:
    """Takes the segments of chunks in any order. Not thread-safe; the request holds a lock.

    Chunks are numbered by their starts. The segments of mixed audio come chunk after chunk. With
    split channels they come by their start, then by their channel: a segment waits for each chunk
    that starts before it does.
    """

    def __init__(self, *, is_split: bool) -> None:
        """Start a request.

        Args:
            is_split: Whether channels are split, and segments get the channel of their chunk.
        """
        self._is_split = is_split
        self._sent: list[tuple[float, int]] = []  # start in seconds, and channel, of each chunk
        self._early: dict[int, Sequence[Segment]] = {}  # done, but a chunk before them is not
        self._num_done = 0  # chunks without one before them that is not done
        self._waiting: list[Segment] = []  # of these, by start and channel

    def sent(self, start_s: float, channel: int) -> None:
        """Take note of the next chunk."""
        self._sent.append((start_s, channel))

    def channel_of(self, index: int) -> int:
        """Return the channel of a chunk; 0 if channels are mixed."""
        return self._sent[index][1]

    def done(self, index: int, segments: Sequence[Segment]) -> list[Segment]:
        """Take the segments of a chunk, and return those whose turn it is."""
        if self._is_split:
            channel = self.channel_of(index)
            segments = [replace(segment, channel=channel) for segment in segments]
        self._early[index] = segments
        while (ready := self._early.pop(self._num_done, None)) is not None:
            self._num_done += 1
            self._waiting += ready
        return self._take(self._next_start_s() if self._is_split else math.inf)

    def rest(self) -> list[Segment]:
        """Return what has waited, once every chunk is done."""
        return self._take(math.inf)

    def _next_start_s(self) -> float:
        """Return when the next chunk starts, or may start if it was not sent yet."""
        return self._sent[min(self._num_done, len(self._sent) - 1)][0]

    def _take(self, until_s: float) -> list[Segment]:
        if self._is_split:
            self._waiting.sort(key=lambda segment: (segment.start_s, segment.channel))
        num_ready = sum(segment.start_s < until_s for segment in self._waiting)
        ready, self._waiting = self._waiting[:num_ready], self._waiting[num_ready:]
        return ready
