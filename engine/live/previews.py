"""When an utterance that goes on is looked at, and what it seems to say."""

from __future__ import annotations

from ..audio.decode import SAMPLE_RATE
from ..scheduling.request import Request
from .agreement import Agreement
from .events import Interim
from .options import LiveOptions


class Previews:
    """The previews of one session, at most one at a time. Not thread-safe: the session locks."""

    def __init__(self, options: LiveOptions) -> None:
        """Start without one."""
        self._is_on = options.interim
        self._least_samples = options.interim_ms * SAMPLE_RATE // 1000  # between two
        self._agreement = Agreement()
        self._running: Request | None = None
        self._num_samples = 0  # of the session at the last one

    @property
    def is_running(self) -> bool:
        """Whether one is on its way."""
        return self._running is not None

    def is_due(self, num_samples: int) -> bool:
        """Return whether it is time for one, once so many samples of the session have come."""
        is_time = num_samples - self._num_samples >= self._least_samples
        return self._is_on and is_time and self._running is None

    def started(self, request: Request, num_samples: int) -> None:
        """Take note of one that is on its way, over audio up to there."""
        self._running, self._num_samples = request, num_samples

    def seen(self, request_id: int, utterance: int) -> Interim | None:
        """Take note that one is done; return what there is to tell."""
        request = self._running
        if request is None or request.id != request_id:  # its utterance is over
            return None
        self._running = None
        if request.future.exception() is not None:
            return None
        stable, text = self._agreement.hear(request.future.result().text)
        return Interim(utterance, stable, text) if text else None

    def stop(self) -> None:
        """Give up the one that is on its way, and what was seen: the utterance is over."""
        request, self._running = self._running, None
        self._agreement = Agreement()
        if request is not None:
            request.cancel()
