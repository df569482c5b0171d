"""The threads of the CPU stage. Requests take turns, a step each, so that none waits for a file.

A request that has enough chunks waiting for the model is set aside until one of them is done:
memory stays bounded, however long the audio.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..audio.preparation import Preparation
from ..errors import ModelError, TalkmillError
from ..types import Chunk, Features
from .cache import AnswerCache
from .request import Request

Deliver = Callable[[Request, Chunk, Features], None]

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Entry:
    """One request's place here; one thread at a time has it in hands.

    Attributes:
        request: Whose it is.
        preparation: Its audio.
        digest: What its audio is known by; empty until it is needed.
        claimed_by: Who computes its answer; None until that is known.
    """

    request: Request
    preparation: Preparation
    digest: str = ""
    claimed_by: Request | None = None

    def is_due(self, max_ahead: int) -> bool:
        """Return whether there is a step to take now."""
        if self.request.is_done:
            return True
        if self.claimed_by is not None and self.claimed_by is not self.request:
            return self.claimed_by.is_done
        return self.request.wants_chunks(max_ahead)


class Feeder:
    """Prepares the audio of many requests on a few threads."""

    def __init__(
        self,
        num_threads: int,
        *,
        max_ahead: int,
        has_room: Callable[[], bool],
        deliver: Deliver,
        cache: AnswerCache | None = None,
    ) -> None:
        """Take the parts; `start` starts the threads.

        Args:
            num_threads: How many.
            max_ahead: Prepared chunks of one request that may wait for the model.
            has_room: Whether the model's queue takes more; `wake` tells that it may again.
            deliver: Takes each chunk; must not block.
            cache: Is asked first, for each request that has a question.
        """
        self._max_ahead = max_ahead
        self._has_room = has_room
        self._deliver = deliver
        self._cache = cache
        self._changed = threading.Condition()
        self._ready: deque[_Entry] = deque()
        self._parked: dict[int, _Entry] = {}
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"talkmill-prepare-{i}", daemon=True)
            for i in range(num_threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def add(self, request: Request, preparation: Preparation) -> None:
        """Take a request."""
        # However it ends, the entry comes off the shelf and its source is closed.
        request.future.add_done_callback(lambda _: self.resume(request))
        with self._changed:
            if self._closed:  # its owner has failed it
                preparation.close()
                return
            self._ready.append(_Entry(request, preparation))
            self._changed.notify()

    def resume(self, request: Request) -> None:
        """Go on with a request whose chunk is done, if it was set aside."""
        with self._changed:
            entry = self._parked.get(request.id)
            if entry is not None and entry.is_due(self._max_ahead):
                del self._parked[request.id]
                self._ready.append(entry)
                self._changed.notify()

    def wake(self) -> None:
        """Look again whether there is room."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the threads. Requests that are not done stay so: their owner fails them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for entry in [*self._ready, *self._parked.values()]:
            entry.preparation.close()

    def _run(self) -> None:
        while (entry := self._take()) is not None:
            if self._advance(entry):
                self._put_back(entry)
            else:
                entry.preparation.close()

    def _take(self) -> _Entry | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._ready and self._has_room()))
            return None if self._closed else self._ready.popleft()

    def _put_back(self, entry: _Entry) -> None:
        with self._changed:
            if entry.is_due(self._max_ahead):
                self._ready.append(entry)
                self._changed.notify()
            else:
                self._parked[entry.request.id] = entry

    def _advance(self, entry: _Entry) -> bool:
        """Take one step, and deliver what it gives; return whether there may be more."""
        request = entry.request
        if request.expire(time.monotonic()):
            return False
        try:
            if self._cache is not None and entry.claimed_by is not request and request.question:
                self._claim(self._cache, entry)
                return True
            prepared = next(entry.preparation)
        except StopIteration:
            request.audio_done(entry.preparation.report)
            return False
        except TalkmillError as error:
            request.fail(error)
            return False
        except Exception as error:  # a fault of ours in one file must not end the thread
            _log.exception("preparing request %d failed", request.id)
            failure = ModelError("the audio could not be prepared")
            failure.__cause__ = error
            request.fail(failure)
            return False
        if prepared is not None:
            request.chunk_sent()
            self._deliver(request, *prepared)
        return True

    def _claim(self, cache: AnswerCache, entry: _Entry) -> None:
        """Ask the cache. Where another request computes the same, wait for it, and ask again."""
        has_waited = entry.claimed_by is not None
        entry.digest = entry.digest or entry.preparation.identify()
        entry.claimed_by = cache.claim(entry.request, entry.digest, has_waited=has_waited)
        if entry.claimed_by is not entry.request:
            entry.claimed_by.future.add_done_callback(lambda _: self.resume(entry.request))
