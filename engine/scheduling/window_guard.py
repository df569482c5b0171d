"""Watches how often fitted windows fail, and gives them up for a model with which they often do."""

from __future__ import annotations

import logging
import threading

from ..audio.windows import Window, Windows
from ..types import EncoderWindow

MIN_CHUNKS = 100  # before that, the share says little
# A chunk that is decoded twice costs about 1.2 full windows, another 0.2: far less in all, up to
# here. Commands that begin or end inside a word are suspect in 5 % with tiny.en.
MAX_FALLBACK_SHARE = 0.15

_log = logging.getLogger(__name__)


class WindowGuard:
    """Chooses the encoder's window of each chunk of one model. Thread-safe."""

    def __init__(self, windows: Windows) -> None:
        """Take the windows of the model."""
        self._windows = windows
        self._lock = threading.Lock()
        self._num_fitted = 0
        self._num_failed = 0  # of these
        self._num_fallbacks = 0  # of all answers
        self._is_given_up = False

    @property
    def num_fallbacks(self) -> int:
        """Chunks that were decoded again in the full window."""
        return self._num_fallbacks

    def choose(self, kind: EncoderWindow, num_samples: int) -> Window:
        """Return the window of a chunk; see `Windows.of`."""
        if kind is EncoderWindow.FITTED and self._is_given_up:
            kind = EncoderWindow.FULL
        return self._windows.of(kind, num_samples)

    def count_fallback(self) -> None:
        """Count a suspect answer whose audio is decoded again in the full window."""
        with self._lock:
            self._num_fallbacks += 1

    def count(self, *, has_failed: bool) -> None:
        """Count audio that was decoded in a fitted window.

        Args:
            has_failed: Whether its answer was suspect and that of the full window was not. If both
                are, the audio is hard, and the window not at fault.
        """
        with self._lock:
            self._num_fitted += 1
            self._num_failed += has_failed
            share = self._num_failed / self._num_fitted
            gives_up = self._num_fitted >= MIN_CHUNKS and share > MAX_FALLBACK_SHARE
            is_first = gives_up and not self._is_given_up
            self._is_given_up = self._is_given_up or gives_up
        if is_first:
            _log.warning(
                "%.0f %% of %d chunks have suspect answers in fitted windows, and none in the full "
                "one: full windows from now on",
                100 * share,
                self._num_fitted,
            )
