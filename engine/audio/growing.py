"""A file that is being uploaded: one thread writes it, another reads it as it grows."""

from __future__ import annotations

import io
import math
import threading
from typing import BinaryIO

from ..errors import TalkmillError


class GrowingFile:
    """Bytes that are still coming. Thread-safe."""

    def __init__(self, file: BinaryIO) -> None:
        """Take the file that keeps the bytes, which is empty and seekable; `close` closes it."""
        self._file = file
        self._changed = threading.Condition()
        self._num_bytes = 0
        self._has_ended = False
        self._error: TalkmillError | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes that have come."""
        return self._num_bytes

    def write(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            OSError: It cannot be stored.
        """
        with self._changed:
            if self._file.closed:  # nobody wants the rest
                return
            self._file.seek(0, io.SEEK_END)
            self._file.write(piece)
            self._num_bytes += len(piece)
            self._changed.notify_all()

    def end(self, error: TalkmillError | None = None) -> None:
        """Take note that all bytes have come, or why the rest does not. The first call counts."""
        with self._changed:
            if not self._has_ended:
                self._has_ended, self._error = True, error
            self._changed.notify_all()

    def wait_for(self, num_bytes: float = math.inf) -> int:
        """Wait until so many bytes have come, or all; return how many have.

        Raises:
            TalkmillError: The rest does not come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or self._num_bytes >= num_bytes)
            if self._error is not None:
                raise self._error
            return self._num_bytes

    def read_at(self, place: int, size: int) -> bytes:
        """Return up to `size` bytes at a place, once there is one; none at the end.

        Raises:
            TalkmillError: See `wait_for`.
        """
        self.wait_for(place + 1)
        with self._changed:
            if self._file.closed:
                return b""
            self._file.seek(place)
            return self._file.read(size)

    def whole(self) -> BinaryIO:
        """Return the file, at its start, once all bytes have come: it then belongs to the caller.

        Raises:
            TalkmillError: See `wait_for`.
        """
        self.wait_for()
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Close the file; who waits is told that nothing more comes."""
        with self._changed:
            self._has_ended = True
            self._file.close()
            self._changed.notify_all()
