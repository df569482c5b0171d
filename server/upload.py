"""How long an upload may take: the same for gRPC and HTTP."""

from __future__ import annotations

import time
from typing import NoReturn

from .status import SlowUpload


class UploadPace:
    """The time that one upload has: for each pause, and for all that has arrived so far."""

    def __init__(self, pause_s: float, min_bytes_per_s: float) -> None:
        """Start the clock.

        Args:
            pause_s: Longest wait for the next bytes, and what the whole upload may lag behind
                `min_bytes_per_s`.
            min_bytes_per_s: Slowest rate from the start.
        """
        self._pause_s = pause_s
        self._min_bytes_per_s = min_bytes_per_s
        self._start_s = time.monotonic()
        self._num_bytes = 0

    def count(self, num_bytes: int) -> None:
        """Count bytes that have arrived."""
        self._num_bytes += num_bytes

    @property
    def wait_s(self) -> float:
        """How long to wait for the next bytes; 0 if the upload is too slow already."""
        lag_s = time.monotonic() - self._start_s - self._num_bytes / self._min_bytes_per_s
        return max(0.0, min(self._pause_s, self._pause_s - lag_s))

    def fail(self) -> NoReturn:
        """Say that `wait_s` has passed.

        Raises:
            SlowUpload: Always.
        """
        elapsed_s = time.monotonic() - self._start_s
        raise SlowUpload(
            f"{self._num_bytes} bytes of audio arrived in {elapsed_s:.1f} s and no more came: a "
            f"pause may last {self._pause_s:g} s, and the rate must be "
            f"{self._min_bytes_per_s:g} bytes/s",
            "audio",
        )
