"""How long a new request would wait for its first turn. A plain object: no thread, no clock.

The model of the batcher behind it (see `batcher`, rules 3 and 4): requests take turns of `turn_s`
seconds of audio. So a new request waits for what is left of the *first* turn of each request before
it: all of a short one, and nothing of a file that has had its first turn. Files take turns in
between: with K of them and S others waiting, the others get S / (K + S) of the machine, S counted
up to `MAX_SHARING`. Before that, one of W workers has to end its batch: on average, 1 / (W + 1) of
what runs.

That, over the rate: audio seconds decoded per second while enough requests wait to keep every
worker busy. The rate starts from the warm-up and follows the last `_MEMORY_S` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_SHARING = 8  # waiting requests that a long file shares the machine with at most
_MEMORY_S = 5.0  # time after which a measurement counts a third
_PRIOR_S = 1.0  # busy seconds for which the starting value stands
_NOTHING_S = 1e-6  # less is an error of rounding


@dataclass(eq=False)
class Load:
    """What one request has the model do, in seconds of audio of plain decoding.

    Attributes:
        client: Who asked.
        unread_s: Audio that is not prepared yet, as far as it is known.
        queued_s: Chunks that wait for the model.
        running_s: Chunks that a worker has taken.
        done_s: Chunks that are done.
    """

    client: str = ""
    unread_s: float = 0.0
    queued_s: float = 0.0
    running_s: float = 0.0
    done_s: float = 0.0

    @property
    def waiting_s(self) -> float:
        """What no worker has taken."""
        waiting_s = self.unread_s + self.queued_s
        return waiting_s if waiting_s > _NOTHING_S else 0.0

    def first_turn_s(self, turn_s: float) -> float:
        """Return what waits of its first turn."""
        first_s = min(self.waiting_s, turn_s - self.running_s - self.done_s)
        return first_s if first_s > _NOTHING_S else 0.0


@dataclass
class _Rate:
    """Audio seconds per second, of which older ones count less."""

    audio_s: float = 0.0
    busy_s: float = 0.0

    def add(self, audio_s: float, busy_s: float) -> None:
        fading = max(0.0, 1 - busy_s / _MEMORY_S)
        self.audio_s = fading * self.audio_s + audio_s
        self.busy_s = fading * self.busy_s + busy_s


@dataclass
class WaitEstimate:
    """The loads of all requests, and the rate. Not thread-safe: its owner holds the lock.

    Attributes:
        turn_s: Seconds of audio in a turn.
        num_workers: Batches that run at once.
    """

    turn_s: float = 60.0
    num_workers: int = 1
    _rate: _Rate = field(default_factory=_Rate)
    _first_s: float = 0.0  # first turns of all, and of each client
    _first_of: dict[str, float] = field(default_factory=dict)
    _waiting_s: float = 0.0
    _running_s: float = 0.0
    _num_first: int = 0  # requests with chunks that wait, of their first turn or of later ones
    _num_later: int = 0
    _busy_since_s: float | None = None  # instant from which the work done is counted

    def start(self, audio_s_per_s: float, turn_s: float, num_workers: int) -> None:
        """Take what is known once the model is loaded; see the attributes.

        Args:
            audio_s_per_s: A first guess of the rate.
            turn_s: See the attribute.
            num_workers: See the attribute.
        """
        self.turn_s, self.num_workers = turn_s, num_workers
        self._rate = _Rate(audio_s_per_s * _PRIOR_S, _PRIOR_S)

    @property
    def rate(self) -> float:
        """Audio seconds decoded per second while busy; 0 before `start`."""
        return self._rate.audio_s / self._rate.busy_s if self._rate.busy_s else 0.0

    @property
    def left_s(self) -> float:
        """Audio of all requests that is not done, in seconds."""
        return max(0.0, self._waiting_s + self._running_s)

    @property
    def clients(self) -> set[str]:
        """Who has requests that wait for their first turn."""
        return set(self._first_of)

    def wait_s(self, audio_s: float = 0.0) -> float:
        """Return the seconds until the first turn of a request that comes now.

        Args:
            audio_s: Its length, if it is known. More than a turn, and it comes back behind the
                turns of the other long ones: the seconds between two of its turns are added.
        """
        if not self.rate:
            return 0.0
        num_others = max(1, min(self._num_first, MAX_SHARING))
        first_s = max(0.0, self._first_s) * (self._num_later + num_others) / num_others
        running_s = max(0.0, self._running_s) / (self.num_workers + 1)
        between_s = self._num_later * self.turn_s if audio_s > self.turn_s else 0.0
        return (first_s + running_s + between_s) / self.rate

    def wait_of(self, client: str) -> float:
        """Return the seconds that the waiting requests of one client take of the machine."""
        return self._first_of.get(client, 0.0) / self.rate if self.rate else 0.0

    def add(self, load: Load, now_s: float) -> None:
        """Count a request."""
        self._count(load, 1)
        self._mark(now_s)

    def remove(self, load: Load, now_s: float) -> None:
        """Count a request no more: it has ended."""
        self._count(load, -1)
        load.unread_s = load.queued_s = load.running_s = 0.0
        self._mark(now_s)

    def read(self, load: Load, unread_s: float, queued_s: float = 0.0) -> None:
        """Take what is known now of the audio to come, and what was sent to the model."""
        self._count(load, -1)
        load.unread_s = unread_s
        load.queued_s += queued_s
        self._count(load, 1)

    def taken(self, load: Load, audio_s: float) -> None:
        """Count a chunk that a worker has taken."""
        self._count(load, -1)
        load.queued_s = max(0.0, load.queued_s - audio_s)
        load.running_s += audio_s
        self._count(load, 1)

    def done(self, load: Load, audio_s: float, now_s: float) -> None:
        """Count what the model has done of a request."""
        if self._busy_since_s is not None:
            self._rate.add(audio_s, max(0.0, now_s - self._busy_since_s))
            self._busy_since_s = now_s
        self._count(load, -1)
        load.running_s = max(0.0, load.running_s - audio_s)
        load.done_s += audio_s
        self._count(load, 1)
        self._mark(now_s)

    def _mark(self, now_s: float) -> None:
        """Begin or end the time in which the work done tells the rate."""
        if self._num_first + self._num_later < self.num_workers:
            self._busy_since_s = None
        elif self._busy_since_s is None:
            self._busy_since_s = now_s

    def _count(self, load: Load, sign: int) -> None:
        first_s = load.first_turn_s(self.turn_s)
        self._first_s += sign * first_s
        of_client = self._first_of.pop(load.client, 0.0) + sign * first_s
        if of_client > _NOTHING_S:
            self._first_of[load.client] = of_client
        self._waiting_s += sign * load.waiting_s
        self._running_s += sign * load.running_s
        if first_s:
            self._num_first += sign
        elif load.waiting_s:
            self._num_later += sign
