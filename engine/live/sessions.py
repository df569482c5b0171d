"""The sessions of an engine that have not ended, so that a drain can close them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..audio.decode import SAMPLE_RATE
from .options import CheckedLive
from .passes import Passes
from .session import OnEvent, Session
from .utterances import Utterances


class Sessions:
    """Keeps each session until it ends. Thread-safe."""

    def __init__(self, max_audio_s: float) -> None:
        """Start without sessions; each takes at most `max_audio_s` seconds of audio."""
        self._max_audio_s = max_audio_s
        self._lock = threading.Lock()
        self._open: set[Session] = set()
        self._reason = ""  # why none may stay open

    def __len__(self) -> int:
        """Return the number of sessions that have not ended."""
        with self._lock:
            return len(self._open)

    def open(
        self,
        checked: CheckedLive,
        passes: Passes,
        max_samples: int,
        on_event: OnEvent,
        on_end: Callable[[], None],
    ) -> Session:
        """Return a new session, which ends at once if all were closed.

        Args:
            checked: Its options.
            passes: The way to the model.
            max_samples: Longest audio that the model takes at once, in samples.
            on_event: Takes its events.
            on_end: Called once, after the last of them.
        """

        def end() -> None:
            with self._lock:
                self._open.discard(session)
            on_end()

        longest = min(max_samples, round(checked.given.max_utterance_s * SAMPLE_RATE))
        utterances = Utterances(longest, checked.given.transcribe.vad_options)
        session = Session(checked, passes, utterances, self._max_audio_s, on_event, end)
        with self._lock:
            self._open.add(session)
            reason = self._reason
        if reason:
            session.close(reason)
        return session

    def close_all(self, reason: str) -> None:
        """Have every session answer what it has heard, and end; also those that are still added."""
        with self._lock:
            self._reason = reason
            sessions = list(self._open)
        for session in sessions:
            session.close(reason)
