"""The order in which the segments of a request are given out: that of its answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..types import Segment

Place = tuple[float, float]
"""When a chunk or segment starts, in seconds, and its channel: they come in this order."""

_END = (math.inf, math.inf)


class SegmentOrder:
    """Takes the segments of chunks in any order. Not thread-safe; the request holds a lock.

    Chunks are numbered by their place. The segments of mixed audio come chunk after chunk. Those of
    split channels come by their own place: a segment waits for each chunk with one before it.
    """

    def __init__(self, *, is_split: bool) -> None:
        """Start a request.

        Args:
            is_split: Whether channels are split, and segments get the channel of their chunk.
        """
        self._is_split = is_split
        self._sent: list[Place] = []  # of each chunk
        self._early: dict[int, Sequence[Segment]] = {}  # done, but a chunk before them is not
        self._num_done = 0  # chunks without one before them that is not done
        self._waiting: list[Segment] = []  # of these, by start and channel

    def sent(self, start_s: float, channel: int) -> list[Segment]:
        """Take note of the next chunk, and return the segments whose turn it is."""
        self._sent.append((start_s, channel))
        return self._take(self._next_place())

    def channel_of(self, index: int) -> int:
        """Return the channel of a chunk; 0 if channels are mixed."""
        return int(self._sent[index][1])

    def done(self, index: int, segments: Sequence[Segment]) -> list[Segment]:
        """Take the segments of a chunk, and return those whose turn it is."""
        if self._is_split:
            channel = self.channel_of(index)
            segments = [replace(segment, channel=channel) for segment in segments]
        self._early[index] = segments
        while (ready := self._early.pop(self._num_done, None)) is not None:
            self._num_done += 1
            self._waiting += ready
        return self._take(self._next_place())

    def rest(self) -> list[Segment]:
        """Return what has waited, once every chunk is done."""
        return self._take(_END)

    def _next_place(self) -> Place:
        """Return the place of the next chunk, or one before it if it was not sent yet.

        Only another channel can have segments that come before those of earlier chunks.
        """
        if not self._is_split:
            return _END
        return self._sent[min(self._num_done, len(self._sent) - 1)]

    def _take(self, until: Place) -> list[Segment]:
        if self._is_split:
            self._waiting.sort(key=_place)
        num_ready = sum(_place(segment) < until for segment in self._waiting)
        ready, self._waiting = self._waiting[:num_ready], self._waiting[num_ready:]
        return ready


def _place(segment: Segment) -> Place:
    return segment.start_s, segment.channel or 0
