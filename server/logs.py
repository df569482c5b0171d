"""The log: its format, and what keeps a fault that repeats from filling it."""

from __future__ import annotations

import logging
import threading
import time

_PER_S = 60.0
_MAX_KINDS = 1_000  # of lines that are counted at the same time
_Kind = tuple[str, str, int, str]


def configure(level: str) -> None:
    """Log to standard error what is at least as severe as `level`."""
    handler = logging.StreamHandler()
    handler.addFilter(LogLimit())
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
    )


class LogLimit(logging.Filter):
    """Passes the first few warnings and errors of a kind in each minute, and counts the others.

    Of one kind are lines from the same place in the code with the same beginning. The first line of
    the next minute says how many there were. A filter of a handler; thread-safe.
    """

    def __init__(self, most: int = 10) -> None:
        """Pass `most` lines of a kind in a minute."""
        super().__init__()
        self._most = most
        self._lock = threading.Lock()
        self._counts: dict[_Kind, int] = {}
        self._dropped: dict[_Kind, int] = {}
        self._start_s = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line passes; it may get a count of lines that did not."""
        if record.levelno < logging.WARNING:
            return True
        head = str(record.msg).partition("\n")[0][:100]
        kind = (record.name, record.pathname, record.lineno, head)
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._start_s >= _PER_S or len(self._counts) >= _MAX_KINDS:
                self._start_s = now_s
                self._dropped = {
                    each: count - self._most
                    for each, count in self._counts.items()
                    if count > self._most
                }
                self._counts = {}
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            num_dropped = self._dropped.pop(kind, 0)
        if num_dropped:
            record.msg = f"{record.getMessage()} (and {num_dropped} more like it before)"
            record.args = ()
        return count <= self._most
