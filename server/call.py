"""What one call asks for outside its message, the same for gRPC and HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..engine import InvalidOption, NotReady, Permit

_SWITCH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class CallOptions:
    """What a call's headers or metadata ask for.

    Attributes:
        permit: Held until the call has ended.
        client: Name of the caller's token; empty where no token is needed.
        use_cache: Whether an earlier answer to the same question will do.
        loading_wait_s: How long to wait while the model loads; None for as long as it takes.
        deadline_s: Instant of `time.monotonic` after which the answer is of no use.
    """

    permit: Permit
    client: str = ""
    use_cache: bool = True
    loading_wait_s: float | None = 0.0
    deadline_s: float | None = None

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.deadline_s is None else self.deadline_s - time.monotonic()

    def is_over(self, timeout_s: float | None) -> bool:
        """Return whether the deadline has passed for the client, which may be before it has here.

        It is sent as a timeout of three digits, rounded up, and counts here from its arrival.
        """
        if timeout_s is None or self.remaining_s is None:
            return False
        return self.remaining_s <= 0.01 * timeout_s + 0.05


class Loading(NotReady):
    """The model is being loaded; `retry_after_s` estimates how long that takes."""

    def __init__(self, model: str, estimated_s: float) -> None:
        """Make the error with HF's message."""
        super().__init__(f"Model {model} is currently loading", estimated_s)


def read_switch(name: str, headers: Mapping[str, str], default: bool) -> bool:
    """Return a header that is true or false; `default` where it is absent.

    Raises:
        InvalidOption: It is neither.
    """
    value = headers.get(name)
    if value is None:
        return default
    if value.strip().lower() not in _SWITCH:
        raise InvalidOption(f"{name} {value!r} is neither true nor false", name)
    return _SWITCH[value.strip().lower()]
