"""Which requests are taken: the limits on requests and memory in flight, and the drain.

The only place that refuses a request because there is too much, or because of a drain.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future, InvalidStateError

from ..errors import NotReady, Overloaded


class Permit:
    """The right to one request, from its admission until it has ended. Thread-safe.

    A context manager that releases itself at the end.
    """

    def __init__(self, admission: Admission) -> None:
        """See `Admission.admit`."""
        self._admission = admission

    def reserve(self, num_bytes: int) -> None:
        """Count memory that the request takes from here on, until the permit is released.

        Raises:
            Overloaded: The memory of all requests would be over the limit.
        """
        self._admission.reserve(self, num_bytes)

    def release(self) -> None:
        """Give the place and the memory free; a second call has no effect."""
        self._admission.release(self)

    def __enter__(self) -> Permit:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release itself."""
        self.release()


class Admission:
    """Hands out permits until the limit is reached or a drain begins. Thread-safe."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        """Set the limits.

        Args:
            max_requests: Most requests at once.
            max_bytes: Most memory that they reserve, in bytes.
        """
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._held: dict[Permit, int] = {}  # bytes of each
        self._idle: Future[None] | None = None  # made when the drain begins

    @property
    def num_admitted(self) -> int:
        """Requests that hold a permit now."""
        with self._lock:
            return len(self._held)

    @property
    def num_bytes(self) -> int:
        """Memory that they have reserved, in bytes."""
        with self._lock:
            return sum(self._held.values())

    @property
    def is_draining(self) -> bool:
        """Whether no more requests are admitted."""
        return self._idle is not None

    def admit(self) -> Permit:
        """Return a permit for one request; the caller releases it when the request has ended.

        Raises:
            NotReady: A drain has begun.
            Overloaded: `max_requests` requests hold a permit.
        """
        with self._lock:
            if self._idle is not None:
                raise NotReady("draining: no more requests are admitted")
            if len(self._held) >= self._max_requests:
                raise Overloaded(f"over the limit of {self._max_requests} concurrent requests")
            permit = Permit(self)
            self._held[permit] = 0
            return permit

    def reserve(self, permit: Permit, num_bytes: int) -> None:
        """See `Permit.reserve`."""
        with self._lock:
            total = sum(self._held.values()) + num_bytes
            if total > self._max_bytes:
                raise Overloaded(
                    f"{num_bytes} bytes more would be over the limit of {self._max_bytes} bytes "
                    "in flight"
                )
            self._held[permit] += num_bytes

    def drain(self) -> Future[None]:
        """Admit no more requests; the future resolves when the last permit has been released."""
        with self._lock:
            idle = self._idle = self._idle or Future()
            is_idle = not self._held
        if is_idle:
            _resolve(idle)
        return idle

    def release(self, permit: Permit) -> None:
        """See `Permit.release`."""
        with self._lock:
            self._held.pop(permit, None)
            idle = None if self._held else self._idle
        if idle is not None:
            _resolve(idle)


def _resolve(idle: Future[None]) -> None:
    # Outside the lock: the callbacks of the future may ask for the number of permits.
    with contextlib.suppress(InvalidStateError):  # two threads saw the last permit released
        idle.set_result(None)
