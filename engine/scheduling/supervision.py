"""Keeps threads at work: a loop that raises starts again once, one that hangs is noticed."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import EngineFailed, ModelError
from .request import Request

_CHECKS = 20  # by the watchdog in the time after which a thread is stuck

_log = logging.getLogger(__name__)

OnFailure = Callable[[EngineFailed], None]
"""Takes what the engine cannot go on from; called from one of its threads."""


class Hand:
    """What one thread works on. The thread writes it, the watchdog reads it.

    Attributes:
        num_steps: Steps that the thread has done, of whatever length.
        failed: Ids of the requests that the model failed on since its last answer.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.num_steps = 0
        self.failed: set[int] = set()
        self._held: dict[tuple[int, int], Request] = {}

    @property
    def is_empty(self) -> bool:
        """Whether the thread waits for work."""
        return not self._held

    def hold(self, request: Request, chunk: int = 0) -> None:
        """Take a chunk of a request."""
        self._held[request.id, chunk] = request
        self.step()

    def let_go(self, request: Request, chunk: int = 0) -> None:
        """Give a chunk away: its request is answered, failed, or waits elsewhere."""
        self._held.pop((request.id, chunk), None)
        self.step()

    def clear(self) -> None:
        """Hold nothing: every request is answered or failed."""
        self._held = {}

    def step(self) -> None:
        """Show the watchdog that the thread gets on."""
        self.num_steps += 1

    def drop(self, message: str, cause: BaseException | None = None) -> None:
        """Fail every request that is held, and hold nothing."""
        held, self._held = self._held, {}
        for request in held.values():
            failure = ModelError(message)
            failure.__cause__ = cause
            request.fail(failure)


@dataclass
class _Watched:
    """What the watchdog saw of one thread: its steps, and in how many checks they were as many."""

    hand: Hand
    num_steps: int = -1
    num_checks: int = 0

    def is_stuck(self) -> bool:
        """Look again; return whether it has done nothing for too many checks."""
        if self.hand.is_empty or self.hand.num_steps != self.num_steps:
            self.num_steps, self.num_checks = self.hand.num_steps, 0
            return False
        self.num_checks += 1
        return self.num_checks >= _CHECKS


class Crew:
    """Threads that each run a loop until there is no more work. Thread-safe.

    What an exception that escapes a loop left in hand fails, and the loop starts again. The second
    time, and when a loop is stuck in one step, the engine has failed.

    Attributes:
        num_restarts: Loops that were started again.
    """

    def __init__(self, on_failure: OnFailure, stuck_after_s: float = math.inf) -> None:
        """Hire nobody yet.

        Args:
            on_failure: Called when a loop died twice or is stuck.
            stuck_after_s: Longest honest time of one step, in seconds; inf for no limit.
        """
        self.num_restarts = 0
        self._on_failure = on_failure
        self._stuck_after_s = stuck_after_s
        self._lock = threading.Lock()
        self._hands: list[Hand] = []
        self._threads: list[threading.Thread] = []
        self._has_ended = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="talkmill-watchdog", daemon=True)

    def hire(self, name: str, loop: Callable[[Hand], None]) -> None:
        """Add a thread; `start` starts it.

        Args:
            name: Its name.
            loop: Works until there is no more work, and keeps its hand up to date.
        """
        hand = Hand()
        self._hands.append(hand)
        self._threads.append(
            threading.Thread(target=self._keep_running, args=(loop, hand), name=name, daemon=True)
        )

    def start(self) -> None:
        """Start the threads, and the watchdog if there is a limit."""
        for thread in self._threads:
            thread.start()
        if math.isfinite(self._stuck_after_s):
            self._watchdog.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the loops have ended, at most `timeout_s`; return whether they have."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if until_s is None else max(0.0, until_s - time.monotonic()))
        self._has_ended.set()
        if self._watchdog.is_alive():
            self._watchdog.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _keep_running(self, loop: Callable[[Hand], None], hand: Hand) -> None:
        name = threading.current_thread().name
        for is_second in (False, True):
            try:
                loop(hand)
                return
            except BaseException as error:  # a loop that ends unnoticed leaves its callers waiting
                _log.critical("thread %s died", name, exc_info=error)
                hand.drop("the server failed on this request", error)
                if is_second:
                    # Callers read it: what the error says may name a file of this machine.
                    reason = f"thread {name} died twice of {type(error).__name__}"
                    self._on_failure(EngineFailed(reason))
                    return
                with self._lock:
                    self.num_restarts += 1

    def _watch(self) -> None:
        # Counts checks, not seconds: of the time in which the process was stopped (SIGSTOP) or the
        # machine slept, it sees one check.
        watched = [_Watched(hand) for hand in self._hands]
        while not self._has_ended.wait(self._stuck_after_s / _CHECKS):
            for one, thread in zip(watched, self._threads, strict=True):
                if one.is_stuck():
                    limit = f"{self._stuck_after_s:g} s"
                    _log.critical("thread %s has been in one step for %s", thread.name, limit)
                    one.hand.drop(f"no progress on this audio in {limit}, so it was given up")
                    self._on_failure(EngineFailed(f"a call did not return within {limit}"))
                    return
