"""Where the blocks of one request's audio come from: a whole file, or one that is still coming."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import BinaryIO, Protocol

from ..types import Channels
from .decode import decode_channels, decode_growing
from .duration_guess import HEAD_BYTES, bytes_per_s_of
from .growing import GrowingFile
from .resample import Planes

_READ_BYTES = 2**20
_MAX_WAITING = 16  # blocks of 1 s that are decoded and not taken

Warn = Callable[[str], None]


class AudioSource(Protocol):
    """The audio of one request. Not thread-safe.

    Attributes:
        decode_s: CPU seconds of threads of its own.
    """

    decode_s: float

    @property
    def coming_s(self) -> float:
        """About how much audio of a growing file has come, in seconds; 0 for a whole one."""

    @property
    def is_ready(self) -> bool:
        """Whether the next block is there, or the end: to ask for it does not wait for a caller."""

    def listen(self, on_ready: Callable[[], None]) -> None:
        """Have `on_ready` called, from any thread, when `is_ready` may have become true."""

    def blocks(self, max_audio_s: float, warn: Warn, channels: Channels) -> Generator[Planes]:
        """Return the blocks; see `decode.decode_channels`. Called once."""

    def digest(self) -> str:
        """Return the SHA-256 of the file."""

    def close(self) -> None:
        """Close the file."""


class WholeFile:
    """An `AudioSource` that is there."""

    decode_s = coming_s = 0.0
    is_ready = True

    def __init__(self, file: BinaryIO) -> None:
        """Take the file, seekable, at its start."""
        self._file = file

    def listen(self, on_ready: Callable[[], None]) -> None:
        """See `AudioSource`."""

    def blocks(self, max_audio_s: float, warn: Warn, channels: Channels) -> Generator[Planes]:
        """See `AudioSource`."""
        return decode_channels(self._file, max_audio_s, warn, channels)

    def digest(self) -> str:
        """See `AudioSource`; decoding may have begun, and continues where it was."""
        position = self._file.tell()
        found = _digest_of(self._file)
        self._file.seek(position)
        return found

    def close(self) -> None:
        """See `AudioSource`."""
        self._file.close()


class GrowingSource:
    """An `AudioSource` that is still coming: it is decoded on a thread of its own, as it comes."""

    def __init__(self, body: GrowingFile) -> None:
        """Take the body, of which `HEAD_BYTES` or all have come; see `decode.decode_growing`."""
        self.decode_s = 0.0
        self._body = body
        self._bytes_per_s = bytes_per_s_of(body.read_at(0, HEAD_BYTES))
        self._changed = threading.Condition()
        self._waiting: deque[Planes] = deque()
        self._error: Exception | None = None
        self._has_ended = self._is_closed = False
        self._on_ready: Callable[[], None] = lambda: None

    @property
    def coming_s(self) -> float:
        """See `AudioSource`."""
        return self._body.num_bytes / self._bytes_per_s

    @property
    def is_ready(self) -> bool:
        """See `AudioSource`."""
        return bool(self._waiting) or self._has_ended

    def listen(self, on_ready: Callable[[], None]) -> None:
        """See `AudioSource`."""
        self._on_ready = on_ready

    def blocks(self, max_audio_s: float, warn: Warn, channels: Channels) -> Generator[Planes]:
        """See `AudioSource`; the thread starts here."""
        decoding = decode_growing(self._body, max_audio_s, warn, channels)
        threading.Thread(
            target=self._decode, args=(decoding,), name="talkmill-upload", daemon=True
        ).start()
        return self._taken()

    def digest(self) -> str:
        """See `AudioSource`; waits for the end of the file."""
        return _digest_of(self._body.whole())

    def close(self) -> None:
        """See `AudioSource`; the thread ends soon."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._body.close()

    def _taken(self) -> Generator[Planes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.is_ready)
                if not self._waiting:
                    if self._error is not None:
                        raise self._error
                    return
                block = self._waiting.popleft()
                self._changed.notify_all()
            yield block

    def _decode(self, blocks: Generator[Planes]) -> None:
        try:
            for block in blocks:
                self.decode_s = time.thread_time()
                if not self._put(block):
                    break
        except Exception as error:  # the feeder takes it, as that of a file
            self._error = error
        finally:
            blocks.close()
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()
            self._on_ready()

    def _put(self, block: Planes) -> bool:
        """Add a block, waiting for room; return whether anyone still wants it."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._waiting) < _MAX_WAITING)
            self._waiting.append(block)
            self._changed.notify_all()
        self._on_ready()
        return not self._is_closed


def _digest_of(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(_READ_BYTES):
        digest.update(data)
    return digest.hexdigest()
