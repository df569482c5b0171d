"""How a test waits for what another thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fakes import PATIENCE_S


def wait_until(is_met: Callable[[], bool]) -> None:
    """Wait until the condition is met.

    Raises:
        AssertionError: It is not met within `PATIENCE_S`.
    """
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < give_up_s, f"the condition was not met in {PATIENCE_S:g} s"
        threading.Event().wait(0.001)
