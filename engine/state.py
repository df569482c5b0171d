"""The states of an engine, from its start to its end."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where an engine is in its life."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
