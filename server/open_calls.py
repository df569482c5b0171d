"""The calls that are open, and how they are ended with an answer when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..engine import NotReady


class OpenCalls:
    """The tasks of the admitted calls. Belongs to one event loop."""

    def __init__(self) -> None:
        """Start without calls."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refusal = ""  # why the rest of them is refused

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count the task that runs as an open call.

        Raises:
            NotReady: The server refuses what is open.
        """
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._refusal:
                raise
            task.uncancel()
            raise NotReady(self._refusal) from None
        finally:
            self._tasks.discard(task)

    def refuse(self, message: str) -> None:
        """End every open call with `NotReady` and this message."""
        self._refusal = message
        for task in self._tasks:
            task.cancel()
