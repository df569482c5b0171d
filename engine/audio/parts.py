"""The audio files that one body consists of: some callers send one file after the other.

FFmpeg would read the first and leave the rest out.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from .lengths import LONGEST_START, MAX_CHUNKS, next_start, read_at, wrong_lengths

_MAX_PARTS = 100

# Files of which FFmpeg reads the first only; where the next one starts is searched for.
_SEARCHED = (
    re.compile(rb"FLV\x01.\x00{3}\x09\x00{4}", re.DOTALL),
    re.compile(rb"TTA1[\x01\x02]\x00"),
    re.compile(rb"Creative Voice File\x1a"),
    re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),  # ASF
)


class Part(io.RawIOBase):
    """A file in a body, read only, some of its bytes replaced. Does not close the body."""

    def __init__(self, body: BinaryIO, start: int, end: int, patches: dict[int, bytes]) -> None:
        """Store the range of the body and what replaces its bytes, by their place in the body."""
        super().__init__()
        self._body, self._start, self._end, self._patches = body, start, end, patches
        self._place = start

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._place - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase`."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._place, io.SEEK_END: self._end}[whence]
        self._place = max(self._start, base + offset)
        return self.tell()

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase`."""
        room = max(0, self._end - self._place)
        self._body.seek(self._place)
        data = self._body.read(room if size < 0 else min(size, room))
        for place, patch in self._patches.items():
            at = place - self._place
            if -len(patch) < at < len(data):
                changed = bytearray(data)
                changed[max(0, at) : at + len(patch)] = patch[max(0, -at) : len(data) - at]
                data = bytes(changed)
        self._place += len(data)
        return data


def parts_of(body: BinaryIO, warn: Callable[[str], None], start: int = 0) -> Iterator[BinaryIO]:
    """Yield the files in a body, most often the body itself, each at its start.

    Args:
        body: The files, one after the other, seekable.
        warn: Called with one sentence for each problem.
        start: Where the first of them starts; there is none where the body ends.
    """
    num_bytes = body.seek(0, io.SEEK_END)
    if 0 < num_bytes <= start:
        return
    for count in itertools.count(1):
        end, patches = _part_at(body, start, num_bytes, warn)
        if start == 0 and end == num_bytes and not patches:
            body.seek(0)
            yield body
        else:
            yield cast(BinaryIO, Part(body, start, end, patches))
        if end >= num_bytes:
            return
        if count == _MAX_PARTS:
            warn(f"the body has more than {_MAX_PARTS} files: the rest was not read")
            return
        start = end


def _part_at(
    body: BinaryIO, start: int, num_bytes: int, warn: Callable[[str], None]
) -> tuple[int, dict[int, bytes]]:
    """Return where the file at `start` ends, and what replaces its wrong lengths."""
    if (found := wrong_lengths(body, start, num_bytes, warn)) is not None:
        return found
    head = read_at(body, start, LONGEST_START)
    if head[4:8] == b"ftyp":
        return _end_of_mp4(body, start, num_bytes), {}
    for pattern in _SEARCHED:
        if pattern.match(head):
            return next_start(body, pattern, start + 1, num_bytes), {}
    return num_bytes, {}


def _end_of_mp4(body: BinaryIO, start: int, num_bytes: int) -> int:
    """Return where the next file starts after one of boxes, as MP4 and MOV; else the end."""
    place, has_sound = start, False
    for _ in range(MAX_CHUNKS):
        if place >= num_bytes:  # a size of 64 bits may reach farther than any file can seek
            break
        head = read_at(body, place, 16)
        if len(head) < 8:
            break
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if name == b"ftyp" and has_sound:
            return place
        has_sound |= name == b"mdat"
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:  # 0: up to the end
            break
        place += size
    return num_bytes
