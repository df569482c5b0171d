"""About how long a file is, from its first bytes and its size: nothing is decoded."""

from __future__ import annotations

import io
from typing import BinaryIO

from ..errors import AudioTooLong, InvalidAudio
from .growing import GrowingFile

HEAD_BYTES = 32  # up to the bytes per second in the usual WAV header
_BYTES_PER_S = 16_000  # of other files: MP3 at 128 kbit/s, or FLAC of speech at 16 kHz


def guess_duration_s(source: BinaryIO | GrowingFile, max_bytes: int) -> float:
    """Return about how long a file is, in seconds. A guess: what it holds is not looked at.

    Args:
        source: The file, at its start, where it is left; or one that is still coming, of which
            what has come counts.
        max_bytes: Limit on its size, if it is there.

    Raises:
        InvalidAudio: It is empty.
        AudioTooLong: It is over the limit.
    """
    if isinstance(source, GrowingFile):
        num_bytes, head = source.num_bytes, source.read_at(0, HEAD_BYTES)
    else:
        num_bytes = source.seek(0, io.SEEK_END)
        source.seek(0)
        head = source.read(HEAD_BYTES)
        source.seek(0)
        if num_bytes == 0:
            raise InvalidAudio("the audio is empty")
        if num_bytes > max_bytes:
            raise AudioTooLong(f"audio of {num_bytes} bytes is over the limit of {max_bytes} bytes")
    return num_bytes / bytes_per_s_of(head)


def bytes_per_s_of(head: bytes) -> int:
    """Return about how many bytes of a file are a second, from its first bytes."""
    is_wav = head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt "
    return (int.from_bytes(head[28:32], "little") if is_wav else 0) or _BYTES_PER_S
