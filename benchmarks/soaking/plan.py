"""What a soak sends: every call with its number, its kind and the ends that it may have.

The plan depends on its seed and its sizes only. The clients and the judge both make it, so that a
call is known by its number, and a run that failed can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

GRPC = ("grpc", "grpc stream")
LIVE = ("live", "realtime")  # of gRPC and of HTTP; they may hear other words than files
OVER_GRPC = (*GRPC, LIVE[0])
HUGGINGFACE = ("http raw", "http json")
OPENAI = ("openai", "openai events")
HTTP = (*HUGGINGFACE, *OPENAI)
DOORS = (*GRPC, *HTTP)

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "timestamps": {"return_timestamps": True},
    "beams": {"num_beams": 3},
    "sampled": {"do_sample": True, "temperature": 0.7, "seed": 7},
}
"""Options of calls, by the names of the HTTP API; the words of each depend on nothing else."""

OVERLOADED = frozenset({"RESOURCE_EXHAUSTED", "429"})
_INVALID = frozenset({"INVALID_ARGUMENT", "400", "413", "422"})
_LATE = frozenset({"DEADLINE_EXCEEDED", "504"})
_STALLED = frozenset({"ABORTED", "INVALID_ARGUMENT", "400", "408", "CUT"})
_LONG_SHARE = 0.01


class Kind(StrEnum):
    """How a client behaves."""

    VALID = "valid"
    SLOW = "slow"  # sends its file over seconds
    DEADLINE = "deadline"  # gives a deadline, mostly too short
    CANCELLED = "cancelled"  # goes while it waits for the answer
    DROPPED = "dropped"  # its connection breaks in the middle of the upload
    INVALID = "invalid"  # asks for what cannot be
    HOSTILE = "hostile"  # wants the server to suffer


SHARES = {
    Kind.VALID: 0.68,
    Kind.SLOW: 0.06,
    Kind.DEADLINE: 0.04,
    Kind.CANCELLED: 0.06,
    Kind.DROPPED: 0.04,
    Kind.INVALID: 0.08,
    Kind.HOSTILE: 0.04,
}
ANSWERABLE = (Kind.VALID, Kind.SLOW, Kind.DEADLINE)
"""The kinds whose rate is given in shares of the capacity; the others come on top."""


class Answers(StrEnum):
    """With what a call may be answered, beside being refused."""

    WORDS = "words"
    SILENCE = "silence"
    NONE = "none"


@dataclass(frozen=True)
class Case:
    """A request that is to be refused, or can be.

    Attributes:
        doors: Where it is sent.
        statuses: How it may end, beside being refused as overload.
        answers: How it may be answered.
        is_counted: Whether the server's metrics must count it; it may end before it is a call.
    """

    doors: Sequence[str]
    statuses: frozenset[str]
    answers: Answers = Answers.NONE
    is_counted: bool = True


def _only(*statuses: str) -> frozenset[str]:
    return frozenset(statuses)


CASES: dict[Kind, dict[str, Case]] = {
    Kind.INVALID: {
        "noise": Case(DOORS, _only("INVALID_ARGUMENT", "400")),
        "empty": Case(DOORS, _only("INVALID_ARGUMENT", "400")),
        "header only": Case(DOORS, _only("INVALID_ARGUMENT", "400")),
        "language": Case(DOORS, _only("INVALID_ARGUMENT", "422")),
        "beams": Case(DOORS, _only("INVALID_ARGUMENT", "422")),
        "field": Case(HTTP, _only("422")),
        "model": Case(("grpc", "grpc stream", "openai"), _only("NOT_FOUND", "404")),
        "base64": Case(("http json",), _only("400")),
        "json": Case(("http json",), _only("400")),
        "form": Case(OPENAI, _only("400")),
        "media type": Case(("http raw",), _only("415")),
        "token": Case(DOORS, _only("UNAUTHENTICATED", "401"), is_counted=False),
    },
    Kind.HOSTILE: {
        "prompt": Case((*GRPC, "http json", "openai"), _INVALID),
        "suppress": Case((*GRPC, "http json"), _INVALID),
        "undecodable": Case(GRPC, _only("INVALID_ARGUMENT"), is_counted=False),
        "compressed": Case(GRPC, _only("INVALID_ARGUMENT", "UNIMPLEMENTED"), is_counted=False),
        "nested": Case(("http json",), _only("400", "413", "422")),
        "stalled": Case((*HTTP, "grpc stream"), _STALLED, is_counted=False),
        "half a header": Case(
            ("http raw",), _only("400", "408", "CUT", "CLOSED"), is_counted=False
        ),
        "long header": Case(("http raw",), _only("400", "431"), is_counted=False),
        "no http": Case(("http raw",), _only("400", "CLOSED"), is_counted=False),
        # RFC 9112, 6.3: to be refused, or read as chunked with the connection closed afterwards.
        "two lengths": Case(("http raw",), _only("400"), Answers.WORDS, is_counted=False),
        "playlist": Case(DOORS, _only("INVALID_ARGUMENT", "400")),
        "endless header": Case(DOORS, _INVALID, answers=Answers.SILENCE),
        "silence": Case(DOORS, _only("413"), answers=Answers.SILENCE),
    },
}


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        number: Its place in the plan, which is its name in every report.
        due_s: When it is sent, in seconds from the start.
        kind: How its client behaves.
        door: One of `DOORS` or `LIVE`.
        clip: The number of its audio.
        variant: One of `VARIANTS`.
        case: One of the `CASES` of its kind; empty for other kinds.
        wait_s: Until it is cancelled or cut; its deadline; or how long its upload takes.
        use_cache: Whether an earlier answer will do.
    """

    number: int
    due_s: float = 0.0
    kind: Kind = Kind.VALID
    door: str = "grpc"
    clip: int = 0
    variant: str = "plain"
    case: str = ""
    wait_s: float = 0.0
    use_cache: bool = False

    @property
    def statuses(self) -> frozenset[str]:
        """The statuses with which it may end, beside OK with the right words."""
        refused = OVERLOADED | {"UNSEEN"} if self.door in OVER_GRPC[1:] else OVERLOADED
        if self.case:
            return CASES[self.kind][self.case].statuses | refused
        own = {Kind.DEADLINE: _LATE, Kind.CANCELLED: _only("CUT"), Kind.DROPPED: _only("CUT")}
        return own.get(self.kind, frozenset()) | refused


@dataclass(frozen=True)
class Plan:
    """The calls of a run.

    Attributes:
        seed: Makes the plan another one.
        rate_per_s: Calls per second, of all kinds.
        duration_s: How long calls are sent.
        num_short: Clips of a few seconds; they come first.
        num_long: Clips of a minute or so.
        shares: The share of each kind.
    """

    seed: int
    rate_per_s: float
    duration_s: float
    num_short: int
    num_long: int
    shares: dict[Kind, float]

    def calls(self) -> Iterator[Call]:
        """Yield the calls in the order in which they are due."""
        rng = random.Random(self.seed)
        kinds, weights = list(self.shares), list(self.shares.values())
        for number in range(round(self.rate_per_s * self.duration_s)):
            yield self._call(rng, number, rng.choices(kinds, weights)[0])

    def _call(self, rng: random.Random, number: int, kind: Kind) -> Call:
        case, doors = "", _DOORS_OF.get(kind, DOORS)
        if kind in CASES:
            case = rng.choice(list(CASES[kind]))
            doors = tuple(CASES[kind][case].doors)
        is_long = rng.random() < _LONG_SHARE and self.num_long > 0
        clip = rng.randrange(self.num_short)
        return Call(
            number=number,
            due_s=number / self.rate_per_s,
            kind=kind,
            door=rng.choice(doors),
            clip=self.num_short + rng.randrange(self.num_long) if is_long else clip,
            variant="plain" if is_long or kind in CASES else rng.choice(list(VARIANTS)),
            case=case,
            wait_s=_wait_s(rng, kind),
            use_cache=rng.random() < 0.1,
        )


_DOORS_OF: dict[Kind, tuple[str, ...]] = {
    Kind.DROPPED: (*DOORS, *LIVE),
    Kind.SLOW: ("grpc stream", *HTTP),
    Kind.DEADLINE: GRPC,  # HTTP has none
}


def _wait_s(rng: random.Random, kind: Kind) -> float:
    if kind in (Kind.CANCELLED, Kind.DEADLINE):
        return 10 ** rng.uniform(-2, 1)
    return rng.uniform(1.0, 4.0) if kind is Kind.SLOW else rng.uniform(5.0, 15.0)
