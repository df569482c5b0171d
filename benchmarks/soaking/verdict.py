"""The verdict of a soak: what was measured, what it should have been, and the lines of a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.metrics import percentile
from benchmarks.soaking.ledger import Growth, Ledger, Outcome, growth
from benchmarks.soaking.plan import OVERLOADED
from benchmarks.soaking.watch import INTERVAL_S, Sample

MAX_HEALTH_S = 1.0
MAX_STOP_S = 30.0
_NUM_POINTS = 90
_LEVELS = ("rss_mb", "fds", "threads")
# One per cent of a few dozen is no whole file. What leaks in one call of a thousand is a hundred
# files after half an hour.
_SLACK = {"fds": 4.0, "threads": 4.0}


@dataclass
class Verdict:
    """What was measured; `faults` has a sentence for each thing that is wrong."""

    figures: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def check(self, name: str, value: float, most: float) -> None:
        """Keep a figure; it is a fault if it is over its bar."""
        self.figures[name] = {"value": round(value, 4), "most": most}
        if value > most:
            self.faults.append(f"{name} is {value:.4g}, over the bar of {most:g}")

    def check_growth(self, samples: Sequence[Sample], warm_up: float, most: float) -> None:
        """Keep the growth of each level after warm-up, a share of the samples."""
        for level in _LEVELS:
            grown = growth([getattr(sample, level) for sample in samples], warm_up)
            self.figures[f"growth of {level}"] = {
                "first": grown.first,
                "last": grown.last,
                "share": round(grown.share, 4),
                "most": most,
            }
            if grown.is_over(most, _SLACK.get(level, 0.0)):
                self.faults.append(_describe(level, grown, most))

    def check_latency(self, accepted: Sequence[Outcome], max_p99_s: float) -> None:
        """Keep the latencies of accepted work."""
        latencies_s = [outcome.latency_s for outcome in accepted]
        for percent in (50, 95):
            self.figures[f"p{percent} s"] = round(percentile(latencies_s, percent), 3)
        self.check("p99 s", percentile(latencies_s, 99), max_p99_s)

    def check_health(self, samples: Sequence[Sample]) -> None:
        """Keep how fast health was answered; any other answer than 200 is a fault."""
        times_s = [sample.health_s for sample in samples]
        self.check("health p99 s", percentile(times_s, 99), MAX_HEALTH_S)
        for sample in samples:
            if sample.health != 200:
                self.faults.append(f"health was {sample.health} at {sample.time_s:.0f} s")


def _describe(level: str, grown: Growth, most: float) -> str:
    return (
        f"{level} grew from {grown.first:.0f} to {grown.last:.0f}, by {100 * grown.share:.1f} %, "
        f"over the bar of {100 * most:g} %"
    )


def series(ledger: Ledger, samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Return a run as points at equal intervals: levels, answers and refusals, p50 and p99."""
    end_s = samples[-1].time_s + INTERVAL_S
    num_points = min(_NUM_POINTS, max(1, len(samples) // 2))
    width_s = end_s / num_points
    bins = [_Bin() for _ in range(num_points)]
    for one in samples:
        bins[int(one.time_s / width_s)].samples.append(one)
    for outcome in ledger.accepted():
        if outcome.ended_s < end_s:
            bins[int(outcome.ended_s / width_s)].latencies_s.append(outcome.latency_s)
    for outcome in ledger.outcomes.values():
        if outcome.status in OVERLOADED and outcome.ended_s < end_s:
            bins[int(outcome.ended_s / width_s)].num_refused += 1
    return [
        {
            "time_s": round((number + 1) * width_s, 1),
            **{
                level: round(max((getattr(x, level) for x in one.samples), default=0), 1)
                for level in (*_LEVELS, "connections")
            },
            "answers_per_s": round(len(one.latencies_s) / width_s, 2),
            "refusals_per_s": round(one.num_refused / width_s, 2),
            "p50_s": round(percentile(one.latencies_s, 50), 3),
            "p99_s": round(percentile(one.latencies_s, 99), 3),
        }
        for number, one in enumerate(bins)
    ]


@dataclass
class _Bin:
    samples: list[Sample] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    num_refused: int = 0
