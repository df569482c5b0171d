"""The books of a soak: each call ends in exactly one way, and only some ways are right.

Knows neither sockets nor clocks.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.soaking.plan import CASES, OVER_GRPC, OVERLOADED, Answers, Call, Kind

Texts = Mapping[tuple[int, str], str]
"""The words of a clip and a variant, as a quiet server answered them."""

OK = frozenset({"OK", "200"})
_MINUTE, _MIN_POINTS = 60, 5
_FAILURES = ("INTERNAL", "UNKNOWN", "DATA_LOSS")
_GRPC_NAMES = {
    "200": "OK",
    "400": "INVALID_ARGUMENT",
    "401": "UNAUTHENTICATED",
    "404": "NOT_FOUND",
    "408": "ABORTED",
    "413": "INVALID_ARGUMENT",
    "415": "INVALID_ARGUMENT",
    "422": "INVALID_ARGUMENT",
    "429": "RESOURCE_EXHAUSTED",
    "503": "UNAVAILABLE",
    "504": "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True)
class Outcome:
    """What a client saw of one call.

    Attributes:
        number: The call's number.
        status: gRPC's name, or HTTP's number; "CUT": the client ended the call; "CLOSED": the
            server ended the connection without an answer; "HUNG": no answer in the time that the
            client waits; "UNSEEN": the server ended a stream during the upload, and the client's
            library lost the status; else what went wrong in the client.
        text: The words after OK; else what the server says.
        latency_s: Seconds from when the call was due, or from the end of a slow upload.
        ended_s: When it ended, in seconds from the start of the run.
    """

    number: int
    status: str
    text: str = ""
    latency_s: float = 0.0
    ended_s: float = 0.0


class End(StrEnum):
    """How a call ended. The first three are right."""

    RIGHT_WORDS = "right words"
    REFUSED = "refused"
    CUT = "cut by its client"
    WRONG_WORDS = "wrong words"
    OTHERS_WORDS = "another's words"
    WRONG_STATUS = "wrong status"
    NO_ANSWER = "no answer"


RIGHT_ENDS = (End.RIGHT_WORDS, End.REFUSED, End.CUT)


def judge(call: Call, outcome: Outcome, texts: Texts) -> End:
    """Return how a call ended, given what its client saw and what was to be heard."""
    if outcome.status in ("HUNG", "CLOSED") and outcome.status not in call.statuses:
        return End.NO_ANSWER
    if outcome.status not in OK:
        if outcome.status not in call.statuses:
            return End.WRONG_STATUS
        return End.CUT if outcome.status == "CUT" else End.REFUSED
    answers = CASES[call.kind][call.case].answers if call.case else Answers.WORDS
    if answers is Answers.NONE:
        return End.WRONG_STATUS
    expected = texts[call.clip, call.variant] if answers is Answers.WORDS else ""
    if outcome.text == expected:
        return End.RIGHT_WORDS
    return End.OTHERS_WORDS if outcome.text in texts.values() else End.WRONG_WORDS


@dataclass
class Ledger:
    """Every call of a plan, and how each ended.

    Attributes:
        texts: What is to be heard.
        calls: The calls that were to be sent, by number.
        ends: How each ended; a call without an end has none here.
        outcomes: What the clients saw.
        faults: One sentence for each call that ended wrongly, twice, or was never sent.
    """

    texts: Texts
    calls: dict[int, Call]
    ends: dict[int, End] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def enter(self, outcomes: Iterable[Outcome]) -> None:
        """Enter what clients saw."""
        for outcome in outcomes:
            call = self.calls.get(outcome.number)
            if call is None:
                self.faults.append(f"call {outcome.number} ended, but was never to be sent")
            elif outcome.number in self.ends:
                self.faults.append(f"call {outcome.number} ended twice")
            else:
                end = self.ends[outcome.number] = judge(call, outcome, self.texts)
                self.outcomes[outcome.number] = outcome
                if end not in RIGHT_ENDS:
                    self.faults.append(_describe(call, outcome, end))

    def close(self) -> None:
        """Enter a fault for each call that has no end."""
        for number in self.calls.keys() - self.ends.keys():
            self.faults.append(f"call {number} has no end: its client was lost")

    def count(self) -> dict[str, dict[str, int]]:
        """Return the number of calls by kind and end."""
        counts: dict[str, Counter[str]] = {}
        for number, call in self.calls.items():
            end = self.ends.get(number)
            counts.setdefault(call.kind.value, Counter())[end.value if end else "lost"] += 1
        return {kind: dict(ends) for kind, ends in counts.items()}

    @property
    def num_overloaded(self) -> int:
        """The number of calls that were refused as overload; 0 shows that there was none."""
        return sum(outcome.status in OVERLOADED for outcome in self.outcomes.values())

    def accepted(self) -> list[Outcome]:
        """Return the outcomes of calls with a file and no haste that got their words."""
        return [
            outcome
            for number, outcome in self.outcomes.items()
            if self.ends[number] is End.RIGHT_WORDS
            and self.calls[number].kind in (Kind.VALID, Kind.SLOW)
        ]


def _describe(call: Call, outcome: Outcome, end: End) -> str:
    what = f"{call.kind.value} {call.case}".strip()
    text = f" {outcome.text[:120]!r}" if outcome.text else ""
    return (
        f"call {call.number} ({what}, {call.door}, clip {call.clip}, {call.variant}): "
        f"{end.value}: {outcome.status}{text} after {outcome.latency_s:.2f} s"
    )


Counts = Mapping[tuple[str, str], float]
"""Calls by protocol ("grpc" or "http") and gRPC status, as the server's metrics have them."""


def compare_counts(ledger: Ledger, counts: Counts) -> list[str]:
    """Return one sentence for each count of the server that the clients' own contradict.

    What a client saw must be in the server's counts. A call that its client cut or gave a deadline
    may have ended there in any way, also as OK, or have been over before it was a call; but nothing
    may have failed there, whoever saw it.
    """
    least: Counter[tuple[str, str]] = Counter()
    free: Counter[tuple[str, str]] = Counter()  # calls that may be counted, in what status it says
    open_ended: Counter[str] = Counter()
    for number, outcome in ledger.outcomes.items():
        call = ledger.calls[number]
        protocol = "grpc" if call.door in OVER_GRPC else "http"
        name = _GRPC_NAMES.get(outcome.status, outcome.status)
        if name in ("CUT", "CLOSED", "HUNG", "UNSEEN", "DEADLINE_EXCEEDED") or not name.isupper():
            open_ended[protocol] += 1
        elif call.case and not CASES[call.kind][call.case].is_counted:
            free[protocol, name] += 1
        else:
            least[protocol, name] += 1
    faults = [
        f"the server counts {number:.0f} calls over {protocol} with {status}"
        for (protocol, status), number in sorted(counts.items())
        if status in _FAILURES
    ]
    for key in sorted({*least, *counts}):
        low, high = least[key], least[key] + free[key] + open_ended[key[0]]
        if not low <= counts.get(key, 0) <= high:
            faults.append(
                f"the server counts {counts.get(key, 0):.0f} calls over {key[0]} with {key[1]}, "
                f"the clients {low}" + (f" to {high}" if high > low else "")
            )
    for protocol in ("grpc", "http"):
        known = sum(number for key, number in least.items() if key[0] == protocol)
        more = sum(number for key, number in free.items() if key[0] == protocol)
        total = sum(number for key, number in counts.items() if key[0] == protocol)
        if not known <= total <= known + more + open_ended[protocol]:
            faults.append(
                f"the server counts {total:.0f} calls over {protocol}, sent: {known} "
                f"that it must count, {more + open_ended[protocol]} that it may"
            )
    return faults


@dataclass(frozen=True)
class Growth:
    """How a level changed over a run.

    Attributes:
        first: Start of the line through the lowest sample of each minute after warm-up.
        last: Its end.
    """

    first: float
    last: float

    @property
    def share(self) -> float:
        """The change over the level at first."""
        return self.last / self.first - 1 if self.first else 0.0

    def is_over(self, most: float, slack: float = 0.0) -> bool:
        """Return whether it grew by more than a share of it, and by more than `slack`."""
        return self.share > most and self.last - self.first > slack


def growth(samples: Sequence[float], warm_up: float) -> Growth:
    """Return the growth of a level: the slope of its floor, by least squares.

    What requests hold for a moment is no growth: on a full server it changes by 5 % from one minute
    to the next, five times the bar. What is never given back raises the floor.

    Args:
        samples: The level, one a second.
        warm_up: The share of the samples that is left out at the start.

    Raises:
        ValueError: Fewer than `_MIN_POINTS` samples remain.
    """
    settled = samples[round(len(samples) * warm_up) :]
    if len(settled) < _MIN_POINTS:
        raise ValueError(
            f"{len(settled)} samples after warm-up are too few: {_MIN_POINTS} are needed"
        )
    size = min(_MINUTE, len(settled) // _MIN_POINTS)
    floor = [min(settled[at : at + size]) for at in range(0, len(settled) - size + 1, size)]
    line = statistics.linear_regression(range(len(floor)), floor)
    return Growth(line.intercept, line.intercept + line.slope * (len(floor) - 1))
