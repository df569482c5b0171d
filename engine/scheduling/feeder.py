"""The threads that prepare audio. Requests take turns of some steps: no request waits for a file.

Short requests are served in their order. After its first turn a file stands in a line of its own,
which gets every ninth turn at least: short ones without end do not starve it.

A request with enough chunks in the queue is parked until one of them is done: memory stays
bounded, however long the audio.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass

from ..audio.decode import SAMPLE_RATE
from ..audio.preparation import Preparation, Prepared
from ..errors import ModelError, TalkmillError
from .cache import AnswerCache, is_cacheable
from .memory import give_back
from .pending_chunk import PendingChunk
from .queue import ChunkQueue
from .request import Request
from .supervision import Crew, Hand, OnFailure
from .wait_estimate import MAX_SHARING

_STEPS_PER_TURN = 8  # of about 4 s of audio each: until its first chunk, whatever its length
_LONGEST_CHUNK_S = 30.0
_IDLE_S = 2.0  # without work, freed memory is given back after it

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Entry:
    """A request in preparation; one thread at a time works on it.

    Attributes:
        request: The request.
        preparation: Its audio.
        expected_s: About how long it is, in seconds.
        num_steps: Steps taken.
        sent_s: End of the last chunk that it gave.
        digest: Digest of its audio; empty until it is needed.
        claimed_by: The request that computes the answer; None until that is known.
    """

    request: Request
    preparation: Preparation
    expected_s: float = 0.0
    num_steps: int = 0
    sent_s: float = 0.0
    digest: str = ""
    claimed_by: Request | None = None

    @property
    def unread_s(self) -> float:
        """About how much audio is still to be sent; silence is known as such after a chunk."""
        silent_s = self.preparation.report.duration_s - _LONGEST_CHUNK_S
        expected_s = max(self.expected_s, self.preparation.coming_s)
        return max(0.0, expected_s - max(self.sent_s, silent_s))

    def is_due(self, max_ahead: int) -> bool:
        """Return whether there is a step to take now."""
        if self.request.is_done:
            return True
        if self.claimed_by is not None and self.claimed_by is not self.request:
            return self.claimed_by.is_done
        return self.preparation.is_ready and self.request.wants_chunks(max_ahead)


class Feeder:
    """Prepares the audio of many requests on a few threads, and puts the chunks in the queue."""

    def __init__(
        self,
        queue: ChunkQueue,
        *,
        num_threads: int,
        max_ahead: int,
        cache: AnswerCache | None = None,
        on_failure: OnFailure = lambda error: None,
        stuck_after_s: float = math.inf,
    ) -> None:
        """Take the parts; `start` starts the threads.

        Args:
            queue: Where the chunks go.
            num_threads: Threads that prepare.
            max_ahead: Most chunks of one request that wait for the model.
            cache: Asked first, for each request that may be answered from it.
            on_failure: Called when a thread dies twice or is stuck.
            stuck_after_s: Longest honest time of one step, in seconds.
        """
        self._queue = queue
        self._max_ahead = max_ahead
        self._cache = cache
        self._changed = threading.Condition()
        self._ready: deque[_Entry] = deque()  # in their first turn
        self._later: deque[_Entry] = deque()
        # Of `1 + MAX_SHARING` turns, of which the first is that of `_later`; that is over.
        self._step = _STEPS_PER_TURN - 1
        self._parked: dict[int, _Entry] = {}
        self._closed = False
        self._has_worked = False  # since freed memory was given back
        self._last_s = 0.0  # instant of the last progress of any request
        self._crew = Crew(on_failure, stuck_after_s)
        for i in range(num_threads):
            self._crew.hire(f"talkmill-prepare-{i}", self._run)

    @property
    def num_restarts(self) -> int:
        """Threads that were started again after an error of ours."""
        return self._crew.num_restarts

    def start(self) -> None:
        """Start the threads."""
        self._crew.start()

    def add(self, request: Request, preparation: Preparation, expected_s: float = 0.0) -> None:
        """Take a request. However it ends, its source is closed.

        Args:
            request: The request.
            preparation: Its audio.
            expected_s: About how long that is, in seconds.
        """
        resume = functools.partial(self._resume, request.id)
        request.listen(resume)
        preparation.listen(resume)
        entry = _Entry(request, preparation, expected_s)
        with self._changed:
            if not self._closed:
                if entry.is_due(self._max_ahead):
                    self._ready.append(entry)
                    self._changed.notify()
                else:
                    self._parked[request.id] = entry
                return
        preparation.close()  # the owner of the feeder has failed the request

    def close(self, timeout_s: float | None = None) -> bool:
        """Stop the threads; the queue must be closed. Requests that are not done stay so.

        Args:
            timeout_s: Longest wait for the steps that run, in seconds.

        Returns:
            Whether every thread has ended.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        has_ended = self._crew.join(timeout_s)
        with self._changed:
            left = [*self._ready, *self._later, *self._parked.values()]
        for entry in left:
            entry.preparation.close()
        return has_ended

    def _resume(self, request_id: int) -> None:
        """Continue with a request, if it was parked and has a step to take now."""
        with self._changed:
            self._has_worked, self._last_s = True, time.monotonic()
            entry = self._parked.get(request_id)
            if entry is not None and entry.is_due(self._max_ahead):
                del self._parked[request_id]
                self._line_of(entry).append(entry)
                self._changed.notify()

    def _run(self, hand: Hand) -> None:
        while (entry := self._take()) is not None:
            hand.hold(entry.request)
            try:
                if self._advance(entry):
                    self._put_back(entry)
                else:
                    entry.preparation.close()
            except BaseException:  # the crew fails the request
                with contextlib.suppress(Exception):
                    entry.preparation.close()
                raise
            hand.let_go(entry.request)
            del entry  # it would live until the next one is taken

    def _take(self) -> _Entry | None:
        """Return the next entry once the queue has room for a chunk; None once closed."""
        entry = self._wait_for_entry()
        if entry is None or self._queue.wait_for_room():
            return entry
        entry.preparation.close()
        return None

    def _wait_for_entry(self) -> _Entry | None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._ready or self._later, _IDLE_S)
                if self._closed:
                    return None
                if self._ready or self._later:
                    return self._next_line().popleft()
                is_idle = self._has_worked and self._last_s + _IDLE_S <= time.monotonic()
                self._has_worked = self._has_worked and not is_idle
            if is_idle:
                give_back()

    def _next_line(self) -> deque[_Entry]:
        """Return the line whose turn it is, of those that are not empty."""
        if self._ready and self._later:
            self._step = (self._step + 1) % ((1 + MAX_SHARING) * _STEPS_PER_TURN)
            return self._later if self._step < _STEPS_PER_TURN else self._ready
        return self._ready or self._later

    def _line_of(self, entry: _Entry) -> deque[_Entry]:
        return self._ready if entry.num_steps < _STEPS_PER_TURN else self._later

    def _put_back(self, entry: _Entry) -> None:
        with self._changed:
            if entry.is_due(self._max_ahead):
                # The cache may have been asked before the first step.
                has_ended = entry.num_steps > 0 and entry.num_steps % _STEPS_PER_TURN == 0
                line = self._line_of(entry)
                (line.append if has_ended else line.appendleft)(entry)
                self._changed.notify()
            else:
                self._parked[entry.request.id] = entry

    def _advance(self, entry: _Entry) -> bool:
        """Take one step and queue the chunk that it gives; return whether there may be more."""
        request = entry.request
        if request.expire(time.monotonic()):
            return False
        try:
            if self._cache is not None and self._must_claim(entry):
                self._claim(self._cache, entry)
                return True
            entry.num_steps += 1
            if (prepared := next(entry.preparation)) is not None:
                self._send(entry, prepared)
            request.permit.read(entry.unread_s)
        except StopIteration:
            request.audio_done(entry.preparation.report)
            return False
        except TalkmillError as error:
            request.fail(error.with_traceback(None))  # its frames refer to the request
            return False
        except Exception as error:  # a fault of ours in one file must not end the thread
            _log.exception("preparing request %d failed", request.id)
            failure = ModelError("the audio could not be prepared")
            failure.__cause__ = error.with_traceback(None)
            request.fail(failure)
            return False
        return True

    def _send(self, entry: _Entry, prepared: Prepared) -> None:
        item = PendingChunk.of(entry.request, prepared, time.monotonic())
        end_s = item.spans[-1].end / SAMPLE_RATE
        entry.request.chunk_sent(
            item.window.kind,
            item.spans[0].start / SAMPLE_RATE,
            prepared.chunk.channel,
            audio_s=max(0.0, end_s - entry.sent_s),
            num_bytes=item.features.nbytes,
        )
        entry.sent_s = max(entry.sent_s, end_s)
        self._queue.put(item)

    @staticmethod
    def _must_claim(entry: _Entry) -> bool:
        return entry.claimed_by is not entry.request and is_cacheable(entry.request)

    def _claim(self, cache: AnswerCache, entry: _Entry) -> None:
        """Ask the cache. While another request computes the answer, wait for it and ask again."""
        has_waited = entry.claimed_by is not None
        entry.digest = entry.digest or entry.preparation.identify()
        entry.claimed_by = cache.claim(entry.request, entry.digest, has_waited=has_waited)
        if entry.claimed_by is not entry.request:
            resume = functools.partial(self._resume, entry.request.id)
            entry.claimed_by.future.add_done_callback(lambda _: resume())
