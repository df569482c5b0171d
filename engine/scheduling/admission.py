"""Which requests are taken: the limits on requests, memory and waiting, and the drain.

The only place that refuses a request because there is too much, or because of a drain.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from concurrent.futures import Future, InvalidStateError

from ..errors import NotReady, Overloaded
from .engine_load import EngineLoad
from .wait_estimate import Load, WaitEstimate

# Of `max_queue_s`, what one client may fill while it is the only one: room for another.
_LONE_SHARE = 0.75
# Below this share of `max_queue_s` nobody is refused for the sake of others.
_FREE_SHARE = 0.5


class Permit:
    """The right to one request, from its admission until it has ended. Thread-safe.

    A context manager that releases itself at the end. Tells the admission what the request has the
    model do, in seconds of audio of plain decoding, and which memory it holds.
    """

    def __init__(self, admission: Admission, client: str) -> None:
        """See `Admission.admit`."""
        self._admission = admission
        self._effort = 1.0
        # What follows belongs to the admission, and is changed under its lock.
        self.load = Load(client)
        self.num_bytes = 0
        self.chunks: dict[int, tuple[float, int]] = {}  # seconds and bytes of those under way
        self.taken_chunks: set[int] = set()

    def reserve(self, num_bytes: int) -> None:
        """Count memory that the request takes from here on, until the permit is released.

        Raises:
            Overloaded: The memory of all requests would be over the limit.
        """
        self._admission.reserve(self, num_bytes)

    def enqueue(self, audio_s: float, timeout_s: float | None = None, effort: float = 1.0) -> None:
        """Take a place in the queue.

        Args:
            audio_s: About how much audio there is to decode, in seconds.
            timeout_s: Seconds after which the answer is of no use.
            effort: How many times as long as plain decoding it takes.

        Raises:
            Overloaded: The wait would be too long.
        """
        self._effort = effort
        self._admission.enqueue(self, audio_s * effort, timeout_s)

    def another(self, effort: float) -> Permit:
        """Return a permit for more work of a request that is admitted; it is never refused.

        Args:
            effort: See `enqueue`.
        """
        permit = self._admission.admit_more(self.load.client)
        permit._effort = effort
        return permit

    def read(self, unread_s: float) -> None:
        """Take how much audio is still to be prepared, as far as it is known, in seconds."""
        self._admission.read(self, unread_s * self._effort)

    def sent(self, index: int, audio_s: float, num_bytes: int) -> None:
        """Count a chunk on its way to the model. Its memory is counted, and never refused."""
        self._admission.sent(self, index, audio_s * self._effort, num_bytes)

    def taken(self, index: int) -> None:
        """Count a chunk as taken by a worker."""
        self._admission.taken(self, index)

    def done(self, index: int) -> None:
        """Count a chunk as done."""
        self._admission.done(self, index)

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
    """Hands out permits until a limit is reached or a drain begins. Thread-safe."""

    def __init__(self, max_requests: int, max_bytes: int, max_queue_s: float = 0.0) -> None:
        """Set the limits.

        Args:
            max_requests: Most requests at once.
            max_bytes: Most memory that they reserve, in bytes.
            max_queue_s: Longest wait for the first turn, as predicted; 0 for no limit.
        """
        self._num_refused: Counter[str] = Counter()
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._max_queue_s = max_queue_s
        self._lock = threading.Lock()
        self._held: set[Permit] = set()
        self._num_bytes = 0
        self._estimate = WaitEstimate()
        self._idle: Future[None] | None = None  # made when the drain begins

    @property
    def num_admitted(self) -> int:
        """Requests that hold a permit now."""
        with self._lock:
            return len(self._held)

    @property
    def load(self) -> EngineLoad:
        """What is in flight now."""
        with self._lock:
            return EngineLoad(
                num_requests=len(self._held),
                num_bytes=self._num_bytes,
                audio_s=self._estimate.left_s,
                wait_s=self._estimate.wait_s(),
                num_refused=dict(self._num_refused),
            )

    @property
    def is_draining(self) -> bool:
        """Whether no more requests are admitted."""
        return self._idle is not None

    def start(self, audio_s_per_s: float, turn_s: float, num_workers: int) -> None:
        """Begin to predict, once the model is loaded; see `WaitEstimate.start`."""
        with self._lock:
            self._estimate.start(audio_s_per_s, turn_s, num_workers)

    def admit(self, client: str = "", timeout_s: float | None = None) -> Permit:
        """Return a permit for one request; the caller releases it when the request has ended.

        Args:
            client: Who asks; clients share the queue.
            timeout_s: Seconds after which the answer is of no use.

        Raises:
            NotReady: A drain has begun.
            Overloaded: `max_requests` requests hold a permit, or the wait would be too long.
        """
        with self._lock:
            if self._idle is not None:
                self._num_refused["drain"] += 1
                raise NotReady("draining: no more requests are admitted")
            if len(self._held) >= self._max_requests:
                limit = f"over the limit of {self._max_requests} concurrent requests"
                raise self._refusal("requests", limit)
            self._check_wait(client, 0.0, timeout_s)
            return self._permit(client)

    def admit_more(self, client: str) -> Permit:
        """Return a permit for more work of a request that holds one already, whatever the limits.

        What was accepted is finished, also during a drain.
        """
        with self._lock:
            return self._permit(client)

    def reserve(self, permit: Permit, num_bytes: int) -> None:
        """See `Permit.reserve`."""
        with self._lock:
            if self._num_bytes + num_bytes > self._max_bytes:
                raise self._refusal(
                    "bytes",
                    f"{num_bytes} bytes more would be over the limit of {self._max_bytes} bytes "
                    f"in flight: {self._num_bytes} are",
                )
            self._hold(permit, num_bytes)

    def enqueue(self, permit: Permit, audio_s: float, timeout_s: float | None) -> None:
        """See `Permit.enqueue`."""
        with self._lock:
            self._check_wait(permit.load.client, audio_s, timeout_s)
            if permit in self._held:
                self._estimate.read(permit.load, audio_s)

    def read(self, permit: Permit, unread_s: float) -> None:
        """See `Permit.read`."""
        with self._lock:
            if permit in self._held:
                self._estimate.read(permit.load, unread_s)

    def sent(self, permit: Permit, index: int, audio_s: float, num_bytes: int) -> None:
        """See `Permit.sent`."""
        with self._lock:
            if permit in self._held:
                permit.chunks[index] = (audio_s, num_bytes)
                self._hold(permit, num_bytes)
                self._estimate.read(permit.load, permit.load.unread_s, audio_s)

    def taken(self, permit: Permit, index: int) -> None:
        """See `Permit.taken`."""
        with self._lock:  # one that is decoded again is taken again
            if permit in self._held and index in permit.chunks.keys() - permit.taken_chunks:
                permit.taken_chunks.add(index)
                self._estimate.taken(permit.load, permit.chunks[index][0])

    def done(self, permit: Permit, index: int) -> None:
        """See `Permit.done`."""
        with self._lock:
            if permit in self._held and index in permit.taken_chunks:
                permit.taken_chunks.remove(index)
                audio_s, num_bytes = permit.chunks.pop(index)
                self._hold(permit, -num_bytes)
                self._estimate.done(permit.load, audio_s, time.monotonic())

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
            if permit in self._held:
                self._held.remove(permit)
                self._hold(permit, -permit.num_bytes)
                self._estimate.remove(permit.load, time.monotonic())
            idle = None if self._held else self._idle
        if idle is not None:
            _resolve(idle)

    def _permit(self, client: str) -> Permit:
        permit = Permit(self, client)
        self._held.add(permit)
        self._estimate.add(permit.load, time.monotonic())
        return permit

    def _hold(self, permit: Permit, num_bytes: int) -> None:
        permit.num_bytes += num_bytes
        self._num_bytes += num_bytes

    def _check_wait(self, client: str, audio_s: float, timeout_s: float | None) -> None:
        """Refuse a request that would wait too long, or whose client has more than its share."""
        wait_s, limit_s = self._estimate.wait_s(audio_s), self._max_queue_s
        if not limit_s:
            return
        if wait_s > limit_s:
            raise self._refusal(
                "queue",
                f"the wait would be about {wait_s:.1f} s, over the limit of {limit_s:g} s",
                wait_s - limit_s,
            )
        if timeout_s is not None and wait_s > timeout_s:
            raise self._refusal(
                "deadline",
                f"the wait would be about {wait_s:.1f} s, and the deadline is in {timeout_s:.1f} s",
                wait_s - timeout_s,
            )
        own_s = self._estimate.wait_of(client)
        num_others = len(self._estimate.clients - {client})
        share = 1 / (1 + num_others) if num_others else _LONE_SHARE
        if client and wait_s > _FREE_SHARE * limit_s and own_s > share * limit_s:
            raise self._refusal(
                "client",
                f"requests of {client} that wait take {own_s:.1f} s, over its share of "
                f"{share * limit_s:g} s of the queue",
                own_s - share * limit_s,
            )

    def _refusal(self, reason: str, message: str, retry_after_s: float = 1.0) -> Overloaded:
        self._num_refused[reason] += 1
        return Overloaded(message, retry_after_s=max(1.0, retry_after_s))


def _resolve(idle: Future[None]) -> None:
    # Outside the lock: the callbacks of the future may ask for the number of permits.
    with contextlib.suppress(InvalidStateError):  # two threads saw the last permit released
        idle.set_result(None)


NO_PERMIT = Permit(Admission(0, 0), "")
"""Not admitted, so that it counts nothing: for a request whose permit somebody else releases."""
