"""Keeps an upload until it is complete: in memory, on disk if it is large."""

from __future__ import annotations

import contextlib
import errno
import logging
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from ..engine import NoSpace

SPOOL_BYTES = 8 * 2**20  # a larger upload goes to disk
_RETRY_AFTER_S = 30.0  # what frees a disk takes longer than what frees a queue
_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be over the system's limit",
    errno.EROFS: "the disk is read-only",
    errno.ENOENT: "the folder is missing",
    errno.EMFILE: "the process has no file descriptor left",
    errno.ENFILE: "the machine has no file descriptor left",
}

_log = logging.getLogger(__name__)


class Spool:
    """One upload. Closes its file unless `take` has given it away; a context manager."""

    def __init__(self) -> None:
        """Start with nothing, in memory."""
        file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = file

    def __enter__(self) -> Spool:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, if it is still here."""
        if self._file is not None:
            # What could not be written is written again by closing; the file closes all the same.
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            NoSpace: It cannot be stored.
        """
        assert self._file is not None
        with storing():
            self._file.write(piece)

    @property
    def file(self) -> BinaryIO:
        """The file, which stays the spool's."""
        return cast(BinaryIO, self._file)

    def give_away(self) -> None:
        """Leave it to others to close the file."""
        self._file = None

    def take(self) -> BinaryIO:
        """Return the complete upload; the caller closes it.

        Raises:
            NoSpace: The last of it cannot be stored.
        """
        assert self._file is not None
        with storing():
            self._file.flush()  # else the error comes when it is read, as one of ours
        file, self._file = self._file, None
        return cast(BinaryIO, file)


@contextlib.contextmanager
def storing() -> Iterator[None]:
    """Raise `NoSpace` for an error of the disk; neither callers nor the log learn the path.

    Raises:
        NoSpace: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        _log.error("an upload cannot be stored: %s", error.strerror)
        cause = _CAUSES.get(error.errno or 0, "the disk failed")
        raise NoSpace(
            f"the upload cannot be stored on the server: {cause}; an upload of up to "
            f"{SPOOL_BYTES} bytes needs no disk",
            _RETRY_AFTER_S,
        ) from error
