"""What each caller may use a minute: requests, and seconds of audio. Plain objects: no clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine import Overloaded

_MINUTE_S = 60.0
_LEAST_AUDIO_S = 1.0  # that must be left for a request


class Bucket:
    """A token bucket: a balance that grows at a steady rate up to a limit, and may be overdrawn.

    Knows no clock: every instant is given, in seconds, and none is before an earlier one.
    """

    def __init__(self, capacity: float, per_s: float, now_s: float) -> None:
        """Start full.

        Args:
            capacity: The largest balance.
            per_s: What it grows by in a second.
            now_s: The present.
        """
        self._capacity = capacity
        self._per_s = per_s
        self._balance = capacity
        self._at_s = now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """Return the seconds until the balance is `amount`; 0 if it is."""
        self._grow(now_s)
        return max(0.0, (amount - self._balance) / self._per_s)

    def spend(self, amount: float, now_s: float) -> None:
        """Take `amount`, whatever the balance is."""
        self._grow(now_s)
        self._balance -= amount

    def _grow(self, now_s: float) -> None:
        grown = self._balance + (now_s - self._at_s) * self._per_s
        self._balance = min(self._capacity, grown)
        self._at_s = now_s


@dataclass(frozen=True)
class Limits:
    """What one token may use a minute; None for no limit.

    Attributes:
        requests: Requests that this limit lets pass, also if they are refused later.
        audio_s: Seconds of audio that were transcribed for it.
    """

    requests: float | None = None
    audio_s: float | None = None


class Quota:
    """What one caller has left. A minute's worth may be used at once."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        """Start with a minute's worth."""
        self.limits = limits
        self._requests = _minute(limits.requests, now_s)
        self._audio_s = _minute(limits.audio_s, now_s)

    def take_request(self, now_s: float) -> None:
        """Count a request.

        Raises:
            Overloaded: A limit is used up. The request is not counted.
        """
        if self._audio_s is not None:
            # How long the audio is shows later, so it is paid for later: what is overdrawn by one
            # request delays the next.
            _check(
                self._audio_s, _LEAST_AUDIO_S, now_s, f"{self.limits.audio_s:g} s of audio a minute"
            )
        if self._requests is not None:
            _check(self._requests, 1.0, now_s, f"{self.limits.requests:g} requests a minute")
            self._requests.spend(1.0, now_s)

    def take_audio(self, audio_s: float, now_s: float) -> None:
        """Count seconds of audio that were transcribed."""
        if self._audio_s is not None:
            self._audio_s.spend(audio_s, now_s)


class Quotas:
    """The quotas of all callers, by the names of their tokens."""

    def __init__(self) -> None:
        """Start without any; each begins with its caller's first request."""
        self._quotas: dict[str, Quota] = {}

    def of(self, name: str, limits: Limits, now_s: float) -> Quota:
        """Return a caller's quota; a new one if its limits have changed."""
        quota = self._quotas.get(name)
        if quota is None or quota.limits != limits:
            quota = self._quotas[name] = Quota(limits, now_s)
        return quota


def _minute(limit: float | None, now_s: float) -> Bucket | None:
    return None if limit is None else Bucket(limit, limit / _MINUTE_S, now_s)


def _check(bucket: Bucket, amount: float, now_s: float, limit: str) -> None:
    if (wait_s := bucket.wait_s(amount, now_s)) > 0:
        raise Overloaded(
            f"the token's limit of {limit} is used up; try again in {wait_s:.1f} s", wait_s
        )
