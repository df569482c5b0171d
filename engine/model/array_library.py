"""Which array library computes on a device: NumPy on a CPU, CuPy on a GPU."""

from __future__ import annotations

import functools
import importlib
import logging
from typing import Any

import numpy as np

_log = logging.getLogger(__name__)


@functools.cache  # each replica asks, and the warning comes once
def array_library(device: str) -> Any | None:
    """Return the array library of a device: NumPy on a CPU, CuPy on a GPU, None without CuPy."""
    if device == "cpu":
        return np
    try:
        return importlib.import_module("cupy")
    except ImportError:
        _log.warning(
            "CuPy is not installed: the exact lane decodes on the CPU, and there are no fitted "
            "windows; install talkmill[cuda]"
        )
        return None
