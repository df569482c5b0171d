"""The complete utterances of a session that have no answer yet, in the order of the speech."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ..scheduling.request import Request
from .utterances import Utterance


@dataclass(eq=False)
class Waiting:
    """An utterance without an answer.

    Attributes:
        utterance: The utterance.
        is_started: Whether its pass is on its way, or about to be.
        request: The pass, once it is.
    """

    utterance: Utterance
    is_started: bool = False
    request: Request | None = None


class Unanswered:
    """The utterances of one session. Not thread-safe: the session locks."""

    def __init__(self) -> None:
        """Start without one."""
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        """Return their number."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        """Return an iterator over those that are there now."""
        return iter(list(self._waiting))

    def add(self, utterance: Utterance) -> None:
        """Take a complete utterance."""
        self._waiting.append(Waiting(utterance))

    def next_to_start(self, *, is_serial: bool) -> Waiting | None:
        """Return the next whose pass may start now, which counts as started from here on.

        Args:
            is_serial: Whether each waits for the answer to the one before it.
        """
        for one in itertools.islice(self, 1 if is_serial else None):
            if not one.is_started:
                one.is_started = True
                return one
        return None

    def pop_done(self) -> tuple[Utterance, Request] | None:
        """Remove the first if it has its answer; return it and its pass."""
        request = self._waiting[0].request if self._waiting else None
        if request is None or not request.is_done:
            return None
        return self._waiting.popleft().utterance, request

    def take_all(self) -> list[Waiting]:
        """Remove all, and return them."""
        waiting, self._waiting = self._waiting, deque()
        return list(waiting)
