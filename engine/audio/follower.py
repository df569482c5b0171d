"""Reads a growing file as FFmpeg reads a pipe, and finds the end of its first file.

The length in a WAV's header may be wrong, or another file may follow it (see `lengths`): that only
the whole body tells. So a WAV is read as far as its header says, and on from there once all of it
has come.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable

from .growing import GrowingFile
from .lengths import wrong_lengths

HEAD_BYTES = 4096  # that must have come first; in them a WAV's audio must begin
_WAV = re.compile(rb"RIFF....WAVE", re.DOTALL)
_ALL = b"\xff\xff\xff\xff"  # as the length of a WAV's audio: up to the end
_UNKNOWN = range(2**31 - 4096, 2**32)  # lengths that mean that in the file itself; see `lengths`
# FLAC, Ogg, Matroska, WebM and MP3: FFmpeg needs nothing of their ends. Of MP3 it then keeps the
# encoder's padding after the last sound, up to 0.1 s.
_PIPED = re.compile(rb"fLaC|OggS|\x1aE\xdf\xa3|ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")


def can_follow(head: bytes) -> bool:
    """Return whether a file that starts like this gives the same audio as it grows as whole."""
    return bool(_PIPED.match(head)) or _audio_of_wav(head) is not None


def _audio_of_wav(head: bytes) -> tuple[int, int] | None:
    """Return where the audio of a WAV starts and ends by its header; None if that does not say."""
    if not _WAV.match(head):
        return None
    place = 12
    while place + 8 <= min(len(head), HEAD_BYTES):
        name, size = head[place : place + 4], int.from_bytes(head[place + 4 : place + 8], "little")
        place += 8
        if name == b"data":
            return None if not size or size in _UNKNOWN else (place, place + size)
        place += size + size % 2
    return None


class Follower(io.RawIOBase):
    """The first file of a body that grows, read once, from its start to its end.

    Attributes:
        end: Where what follows it starts in the body; known once it is read to its end.
    """

    def __init__(self, body: GrowingFile, warn: Callable[[str], None]) -> None:
        """Start at the start of the body.

        Args:
            body: The body, of which `HEAD_BYTES` or all have come.
            warn: Called with one sentence for each problem.
        """
        super().__init__()
        self._body = body
        self._warn = warn
        self._place = 0
        self.end = 0
        head = body.read_at(0, HEAD_BYTES)
        found = _audio_of_wav(head)
        self._is_wav = found is not None
        start, end = found or (0, math.inf)
        self._audio_end: float = end
        self._head = head[: start - 4] + _ALL if found else b""  # what is read in place of it

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, once there is one; none at the end.

        Raises:
            TalkmillError: The rest of the body does not come.
        """
        if self._place >= self._audio_end and not self.end:
            self._find_end()
        if self._place < len(self._head):
            data = self._head[self._place : self._place + size]
        else:
            room = max(0, self._audio_end - self._place)
            data = self._body.read_at(self._place, int(min(size, room))) if room else b""
        self._place += len(data)
        if not data and not self.end:
            self._find_end()
        return data

    def finish(self) -> None:
        """Find the end if it was not read: FFmpeg stops before it at damage.

        Raises:
            TalkmillError: The rest of the body does not come.
        """
        if not self.end:
            self._find_end()

    def _find_end(self) -> None:
        """Wait for all of the body, and look where its first file ends."""
        self.end = self._body.wait_for()
        if not self._is_wav:
            return
        found = wrong_lengths(self._body.whole(), 0, self.end, self._warn)
        assert found is not None  # it is a WAV
        num_bytes, (self.end, patches) = self.end, found
        # Patches put a length right that was too small: the audio goes on.
        self._audio_end = self.end if patches else min(self._audio_end, num_bytes)
