"""Memory that was freed, given back to the system: glibc keeps it for itself.

Each thread that allocates has an arena of its own, and an arena gives back only what is free at its
end. After a burst a server held several times what it used.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Give freed memory back; may take some 100 ms for gigabytes. Nothing without glibc."""
    _malloc_trim()(0)


@functools.cache
def _malloc_trim() -> Callable[[int], object]:
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return lambda _: None
    return found
