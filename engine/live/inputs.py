"""What comes over a wire, fed to a session: raw samples, or a container as it is being written."""

from __future__ import annotations

import io
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

from ..audio.decode import stream_blocks
from ..errors import InvalidAudio, TalkmillError
from .pcm import PcmDecoder
from .session import Session

MAX_HELD_BYTES = 2**20  # of a container that are not decoded yet

_log = logging.getLogger(__name__)


class LiveInput(Protocol):
    """Takes the bytes of one session. Belongs to one thread at a time."""

    @property
    def is_full(self) -> bool:
        """Whether `feed` would wait."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            TalkmillError: They cannot be decoded, or the session has ended.
        """

    def finish(self) -> None:
        """Take the end of the audio; the session is then closed, sooner or later."""

    def give_up(self) -> None:
        """Release everything; the session has ended or will be cancelled."""


class PcmInput:
    """A `LiveInput` of raw samples."""

    def __init__(self, session: Session, decoder: PcmDecoder) -> None:
        """Feed `session` with what `decoder` gives."""
        self._session = session
        self._decoder = decoder

    @property
    def is_full(self) -> bool:
        """See `LiveInput`."""
        return self._session.is_full

    def feed(self, data: bytes) -> None:
        """See `LiveInput`."""
        samples = self._decoder.feed(data)
        if len(samples):
            self._session.feed(samples)

    def finish(self) -> None:
        """See `LiveInput`; half a sample at the end is named in the reason."""
        if len(samples := self._decoder.finish()):
            self._session.feed(samples)
        rest = self._decoder.num_rest_bytes
        left = f"; the last {rest} bytes are no whole sample" if rest else ""
        self._session.close("the audio has ended" + left)

    def give_up(self) -> None:
        """See `LiveInput`."""


class ContainerInput:
    """A `LiveInput` of a file that is being written; decodes on a thread of its own."""

    def __init__(self, session: Session, on_room: Callable[[], None] = lambda: None) -> None:
        """Start.

        Args:
            session: What is fed.
            on_room: Called, from the thread, when `is_full` has become false.
        """
        self._session = session
        self._pipe = _Pipe(on_room)
        self._thread = threading.Thread(
            target=self._decode, name="talkmill-live-decoder", daemon=True
        )
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """See `LiveInput`."""
        return self._pipe.is_full

    def feed(self, data: bytes) -> None:
        """See `LiveInput`."""
        self._pipe.write(data)

    def finish(self) -> None:
        """See `LiveInput`."""
        self._pipe.end()

    def give_up(self) -> None:
        """See `LiveInput`."""
        self._pipe.abandon()

    def _decode(self) -> None:
        session, warnings = self._session, list[str]()
        try:
            for block in stream_blocks(cast(BinaryIO, self._pipe), warnings.append):
                session.feed(block)
            session.close("; ".join(["the audio has ended", *warnings]))
        except TalkmillError as error:
            session.close(str(error), error)
        except Exception:  # a fault of ours in one stream
            _log.exception("decoding a live stream failed")
            session.close("the audio cannot be decoded", InvalidAudio("it cannot be decoded"))
        finally:
            self._pipe.abandon()


class _Pipe(io.RawIOBase):
    """Bytes from one thread to another, read as they come; not seekable."""

    def __init__(self, on_room: Callable[[], None]) -> None:
        super().__init__()
        self._on_room = on_room
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._num_held = 0
        self._has_ended = False  # nothing is written any more
        self._is_abandoned = False  # nothing is read any more

    @property
    def is_full(self) -> bool:
        return self._num_held >= MAX_HELD_BYTES and not self._is_abandoned

    def readable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Add bytes, waiting for room."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_full)
            if data and not self._is_abandoned:
                self._pieces.append(data)
                self._num_held += len(data)
                self._changed.notify_all()
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes that are there, waiting for the first; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._has_ended or self._is_abandoned)
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if 0 <= size < len(piece):
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            was_full = self.is_full
            self._num_held -= len(piece)
            self._changed.notify_all()
        if was_full:
            self._on_room()
        return piece

    def end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._is_abandoned = True
            self._pieces.clear()
            self._changed.notify_all()
        self._on_room()
