"""About how long a file is, from its first bytes and its size: nothing is decoded."""

from __future__ import annotations

from typing import BinaryIO

_HEAD_BYTES = 32  # up to the bytes per second in the usual WAV header
_BYTES_PER_S = 16_000  # of other files: MP3 at 128 kbit/s, or FLAC of speech at 16 kHz


def guess_duration_s(source: BinaryIO, num_bytes: int) -> float:
    """Return about how long a file is, in seconds. A guess: what it holds is not looked at.

    Args:
        source: The file, at its start, where it is left.
        num_bytes: Its size.
    """
    head = source.read(_HEAD_BYTES)
    source.seek(0)
    is_wav = head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt "
    bytes_per_s = int.from_bytes(head[28:32], "little") if is_wav else _BYTES_PER_S
    return num_bytes / (bytes_per_s or _BYTES_PER_S)
