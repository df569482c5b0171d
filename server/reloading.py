"""Reads files again that have changed while the server runs: tokens and certificates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_INTERVAL_S = 1.0

_log = logging.getLogger(__name__)

Version = tuple[tuple[int, int, int] | None, ...]
"""For each file its inode, size in bytes and time of change in ns; None if it is not there."""


class Reloadable(Protocol):
    """What is read from files."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files."""

    def reload(self) -> None:
        """Read them again; if they are not valid, keep what holds now and log why."""


class Reloader:
    """Has parts read again, when asked or when their files have changed."""

    def __init__(self, parts: Sequence[Reloadable]) -> None:
        """Take the parts, which have just been read."""
        self._seen: dict[Reloadable, Version] = {part: _version(part.files) for part in parts}

    def reload(self) -> None:
        """Read all parts again."""
        for part in self._seen:
            self._seen[part] = _version(part.files)
            part.reload()

    def reload_changed(self) -> None:
        """Read those parts again whose files have changed since they were read."""
        for part, seen in self._seen.items():
            # The version is taken first: what is written while it is read is read once more.
            if (version := _version(part.files)) != seen:
                self._seen[part] = version
                part.reload()

    async def watch(self) -> None:
        """Look for changes every `_INTERVAL_S`, until cancelled."""
        while any(part.files for part in self._seen):
            await asyncio.sleep(_INTERVAL_S)
            # Not on the loop: a file on another machine may take long.
            try:
                await asyncio.to_thread(self.reload_changed)
            except Exception:  # a bug of ours must not end the watch
                _log.exception("files that have changed could not be read again")


def _version(files: Sequence[Path]) -> Version:
    return tuple(map(_version_of, files))


def _version_of(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()  # of what a link leads to: Kubernetes replaces the link
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
