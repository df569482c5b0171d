"""What an engine has in flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLoad:
    """What is in flight, and what was refused.

    Attributes:
        num_requests: Requests that hold a permit.
        num_bytes: Memory that they hold, in bytes: uploads and the features of chunks.
        audio_s: Audio that is to be decoded for them, in seconds.
        wait_s: How long a short request that comes now would wait, in seconds, as predicted.
        num_refused: Requests refused so far, by reason: requests, bytes, queue, client, deadline or
            drain.
    """

    num_requests: int
    num_bytes: int
    audio_s: float
    wait_s: float
    num_refused: Mapping[str, int]
