"""The lengths in the headers of WAV, AIFF, CAF and Wave64 files, put right where they are wrong.

Recorders that stop early leave the length that they had last written down, and programs that write
to a pipe leave one that means nothing. FFmpeg would believe the header and leave the rest out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

LONGEST_START = 64  # bytes that show where a file starts
MAX_CHUNKS = 100_000  # that are walked through; 12 hours in fragments of 1 s have about as many
_READ_BYTES = 2**20
_MIN_BYTES = 1024  # fewer bytes after the audio are a tag, not sound
_SLACK = 16  # bytes by which some programs misstate a length
_SHIFTED = 4096  # lengths that mean "unknown" may be this far below the largest number


@dataclass(frozen=True)
class _Form:
    """A file of chunks, each with an identifier and a length; one of them holds the audio.

    Attributes:
        start: What the file starts with.
        first: Where its first chunk is.
        data: Identifier of the chunk with the audio.
        num_size: Bytes of a length.
        big_endian: Whether the first byte of a length is the highest.
        counts_head: Whether a length includes that of the chunk's identifier and its own.
        align: Chunks start at multiples of this.
    """

    start: re.Pattern[bytes]
    first: int
    data: bytes
    num_size: int = 4
    big_endian: bool = False
    counts_head: bool = False
    align: int = 2

    @property
    def num_head(self) -> int:
        """Bytes of a chunk before its content."""
        return len(self.data) + self.num_size

    def size(self, head: bytes) -> int:
        """Return the length of a chunk's content as its head states it."""
        field = head[len(self.data) : self.num_head]
        size = int.from_bytes(field, "big" if self.big_endian else "little")
        return size - self.num_head if self.counts_head else size

    def field(self, size: int) -> bytes:
        """Return how a chunk's head states the length `size`; the largest where it has no room."""
        size += self.num_head if self.counts_head else 0
        size = min(size, 256**self.num_size - 1)
        return size.to_bytes(self.num_size, "big" if self.big_endian else "little")

    def is_unknown(self, size: int) -> bool:
        """Return whether a program wrote this length before it knew the length."""
        top = 256**self.num_size
        near = (top - _SHIFTED <= size, abs(size - top // 2) <= _SHIFTED)
        return size <= 0 or any(near)

    def is_chunk(self, head: bytes, room: int) -> bool:
        """Return whether this is the head of a chunk of at most `room` bytes."""
        name = head[: len(self.data)]
        is_name = name[4:] == self.data[4:] and (len(name) > 4 or all(32 <= b < 127 for b in name))
        return len(head) >= self.num_head and is_name and 0 <= self.size(head) <= room + _SLACK


def _starts(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


_WAVE64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # end of the identifiers of Sony Wave64
_FORMS = (
    _Form(_starts(rb"R(IFF|F64)....WAVE"), 12, b"data"),
    _Form(_starts(rb"BW64....WAVE"), 12, b"data"),
    _Form(_starts(rb"RIFX....WAVE"), 12, b"data", big_endian=True),
    _Form(_starts(rb"FORM....AIF[FC]"), 12, b"SSND", big_endian=True),
    _Form(_starts(rb"caff\x00\x01"), 8, b"data", num_size=8, big_endian=True, align=1),
    _Form(
        _starts(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00.{8}wave"),
        40,
        b"data" + _WAVE64,
        num_size=8,
        counts_head=True,
        align=8,
    ),
)


def wrong_lengths(
    body: BinaryIO, start: int, num_bytes: int, warn: Callable[[str], None]
) -> tuple[int, dict[int, bytes]] | None:
    """Return where the file at `start` ends, and what replaces its wrong lengths, by their place.

    None if the file is of another form.

    Args:
        body: The bytes, seekable.
        start: Where the file starts.
        num_bytes: Length of the body.
        warn: Called with one sentence for each problem.
    """
    head = read_at(body, start, LONGEST_START)
    for form in _FORMS:
        if form.start.match(head):
            return _Chunks(body, form, start, num_bytes, warn).end()
    return None


class _Chunks:
    """Walks through the chunks of a file of one of `_FORMS`."""

    def __init__(
        self,
        body: BinaryIO,
        form: _Form,
        start: int,
        num_bytes: int,
        warn: Callable[[str], None],
    ) -> None:
        self._body, self._form, self._start, self._num_bytes = body, form, start, num_bytes
        self._warn = warn

    def end(self) -> tuple[int, dict[int, bytes]]:
        """Return where the file ends, and what replaces its wrong lengths."""
        form, size_of_data = self._form, None
        place = self._start + form.first
        for _ in range(MAX_CHUNKS):
            head = read_at(self._body, place, LONGEST_START)
            content = place + form.num_head
            if head.startswith(b"ds64"):  # of RF64, whose other lengths are all ones
                size_of_data = int.from_bytes(head[16:24], "little")
            size = form.size(head)
            if head.startswith(form.data):
                if size_of_data is not None and size >= 0xFFFF_FFFF:
                    size = size_of_data
                return self._end_after(content, size)
            if not form.is_chunk(head, self._num_bytes - content):
                break
            place = self._aligned(content + size)
        return self._num_bytes, {}

    def _aligned(self, place: int) -> int:
        return place + (self._start - place) % self._form.align

    def _end_after(self, content: int, size: int) -> tuple[int, dict[int, bytes]]:
        """Return what `end` does; the audio is at `content` and has `size` bytes by its header."""
        form, left = self._form, self._num_bytes - content
        is_known = not form.is_unknown(size)
        if is_known and size > left + _SLACK:
            self._warn("audio is cut off: the end of the file is missing")
            return self._num_bytes, {}
        if is_known or size == 0:
            known_end = self._end_of_chunks(content + size)
            if known_end is not None:
                return known_end, {}
        end = next_start(self._body, form.start, content, self._num_bytes)
        if is_known:
            self._warn(
                f"the header states {size} bytes of audio, but {end - content} follow: all of them "
                "were read"
            )
        field = form.field(end - content)
        patches = {content - form.num_size: field}
        if read_at(self._body, self._start, 4) in (b"RF64", b"BW64"):
            patches[self._start] = b"RIFF"  # or FFmpeg takes the length from another chunk
        return end, patches

    def _end_of_chunks(self, place: int) -> int | None:
        """Return where the file ends whose chunks after the audio start at `place`.

        None if what is there is no chunk but audio.
        """
        form, is_audio = self._form, True
        for _ in range(MAX_CHUNKS):
            if place >= self._num_bytes:
                break
            heads = {at: read_at(self._body, at, LONGEST_START) for at in self._next_places(place)}
            if files := [at for at, head in heads.items() if form.start.match(head)]:
                return files[0]
            room = self._num_bytes - place - form.num_head
            chunks = [at for at, head in heads.items() if form.is_chunk(head, room)]
            if not chunks:
                is_audio &= not _is_padding(self._body, place, self._num_bytes)
                return None if is_audio else self._num_bytes
            is_audio = False
            place = chunks[0] + form.num_head + form.size(heads[chunks[0]])
        return self._num_bytes

    def _next_places(self, place: int) -> tuple[int, ...]:
        """Return where the next chunk may be: some programs do not align them."""
        return (place, self._aligned(place))


def read_at(body: BinaryIO, place: int, size: int) -> bytes:
    """Return up to `size` bytes at a place."""
    body.seek(place)
    return body.read(size)


def _is_padding(body: BinaryIO, start: int, end: int) -> bool:
    """Return whether a range is too short for sound or has zeros alone."""
    if end - start < _MIN_BYTES:
        return True
    return not any(any(block) for _, block in _blocks_of(body, start, end))


def _blocks_of(body: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes of a range with their places, in blocks."""
    while start < end and (block := read_at(body, start, min(_READ_BYTES, end - start))):
        yield start, block
        start += len(block)


def next_start(body: BinaryIO, pattern: re.Pattern[bytes], start: int, end: int) -> int:
    """Return where a range has the start of a file, or its end."""
    held = b""
    for place, block in _blocks_of(body, start, end):
        if found := pattern.search(held + block):
            return place - len(held) + found.start()
        held = (held + block)[-LONGEST_START:]
    return end
