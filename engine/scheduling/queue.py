"""The one queue between preparation and the model: the batcher behind a lock."""

from __future__ import annotations

import threading
import time

from .batch_key import BatchKey
from .batcher import Batcher, Turn
from .pending_chunk import PendingChunk


class ChunkQueue:
    """The feeder's threads put chunks, the workers take batches. Thread-safe.

    Requests of dropped chunks fail outside the lock: their callbacks may take other locks.
    """

    def __init__(self, batcher: Batcher, max_waiting: int) -> None:
        """Take the rules.

        Args:
            batcher: Owned by the queue from here on.
            max_waiting: From so many waiting chunks on, `wait_for_room` blocks.
        """
        self._batcher = batcher
        self._max_waiting = max_waiting
        self._is_closed = False
        self._running: dict[int, Turn] = {}  # what each worker took last
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)
        self._has_room = threading.Condition(lock)

    @property
    def num_waiting(self) -> int:
        """Chunks that wait for the model now."""
        with self._arrived:
            return len(self._batcher)

    @property
    def is_exact_first(self) -> bool:
        """See `Batcher.is_exact_first`."""
        with self._arrived:
            return self._batcher.is_exact_first

    @property
    def is_closed(self) -> bool:
        """Whether no more batches are given out."""
        return self._is_closed

    def wait_for_room(self) -> bool:
        """Wait until fewer than `max_waiting` chunks wait; return False once closed."""
        with self._has_room:
            self._has_room.wait_for(
                lambda: self._is_closed or len(self._batcher) < self._max_waiting
            )
            return not self._is_closed

    def put(self, item: PendingChunk) -> None:
        """Queue a chunk."""
        with self._arrived:
            self._batcher.put(item)
            self._arrived.notify()

    def take(self) -> list[PendingChunk]:
        """Return the next batch, waiting for it; empty once closed.

        A worker that asks has finished the batch that it took before.
        """
        while True:
            with self._arrived:
                self._finish_last()
                if self._is_closed:
                    return []
                turn = self._next_turn()
                if not turn.batch and not turn.dropped:
                    self._arrived.wait(self._batcher.wait_s(time.monotonic()))
                    continue
            _report(turn)
            if turn.batch:
                return turn.batch

    def take_between_steps(self, num_live_rows: int) -> list[PendingChunk]:
        """Return what may run while the exact lane has live rows, without waiting for it."""
        with self._arrived:
            self._finish_last()
            turn = Turn() if self._is_closed else self._next_turn(num_live_rows)
        _report(turn)
        return turn.batch

    def shrink_after_oom(self, key: BatchKey, size: int) -> int | None:
        """See `Batcher.shrink_after_oom`."""
        with self._arrived:
            return self._batcher.shrink_after_oom(key, size)

    def close(self) -> None:
        """Give out no more batches, and wake everyone who waits."""
        with self._arrived:
            self._is_closed = True
            self._arrived.notify_all()
            self._has_room.notify_all()

    def drain(self) -> list[PendingChunk]:
        """Return every chunk that waits, and forget them."""
        with self._arrived:
            return self._batcher.drain()

    def _next_turn(self, num_live_rows: int = 0) -> Turn:
        turn = self._batcher.next_batch(time.monotonic(), num_live_rows)
        if turn.batch or turn.dropped:
            self._has_room.notify_all()
        if turn.batch:
            self._running[threading.get_ident()] = turn
        return turn

    def _finish_last(self) -> None:
        turn = self._running.pop(threading.get_ident(), None)
        if turn is not None:
            self._batcher.finished(turn)
            if turn.is_slow:
                self._arrived.notify()  # what could not run beside it


def _report(turn: Turn) -> None:
    now_s = time.monotonic()
    for item in turn.batch:
        item.request.permit.taken(item.index)
    for item in turn.dropped:
        item.request.expire(now_s)
