"""The requests that are not answered yet, so that all of them can be failed at once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from ..errors import TalkmillError
from .request import Request


class ActiveRequests:
    """Keeps each request until its future is done. Thread-safe."""

    def __init__(self) -> None:
        """Start without requests."""
        self._lock = threading.Lock()
        self._requests: dict[int, Request] = {}

    def add(self, request: Request, on_end: Callable[[], None]) -> None:
        """Take a request.

        Args:
            request: The request.
            on_end: Called when it is answered or has failed; must not refer to the request.
        """
        with self._lock:
            self._requests[request.id] = request
        # The callback must not refer to the request, whose future keeps it.
        end = functools.partial(self._ended, request.id, on_end)
        request.future.add_done_callback(lambda _: end())

    def fail(self, error: TalkmillError) -> None:
        """Fail every request that is not done."""
        with self._lock:
            requests = list(self._requests.values())
        for request in requests:
            request.fail(error)

    def _ended(self, request_id: int, on_end: Callable[[], None]) -> None:
        with self._lock:
            del self._requests[request_id]
        on_end()
