"""The rows of `real`: figures of each round, their medians, and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.baselines.protocol import decode_segments
from benchmarks.comparison import print_reasons
from benchmarks.metrics import percentile
from benchmarks.peers import Result
from benchmarks.real_scores import WordCounts, count_errors, start_errors_s
from benchmarks.real_speech import SpokenFile
from benchmarks.report import print_table

_LATE_S = 1.0  # off by more than this, a subtitle is at the wrong sentence
_HEAD = ("engine", "WER %", "S", "D", "I", "lost", "CPU s", "wall s", "RTFx")
_STARTS_HEAD = ("starts", "p50 s", "p95 s", f">{_LATE_S:g} s")
_MIXED_HEAD = ("engine", "alone: p50 s", "p95 s", "with a file: p50 s", "p95 s", "p95 ratio")

Round = dict[str, float]


def describe(
    results: Sequence[Result], files: Sequence[SpokenFile], are_segments: bool
) -> list[Round]:
    """Return the figures of each round.

    Args:
        results: One of each round.
        files: The files that were sent.
        are_segments: Whether the answers are those of `encode_segments`.
    """
    return [_round(result, files, are_segments) for result in results]


def _round(result: Result, files: Sequence[SpokenFile], are_segments: bool) -> Round:
    counts = WordCounts()
    errors_s: list[float] = []
    for answer in result.answers:
        file = files[answer.clip]
        text = answer.text  # empty if the request failed: then all words are missing
        if are_segments and text:
            segments = decode_segments(text)
            text = " ".join(part.strip() for _, part in segments)
            errors_s += start_errors_s(file.utterances, segments)
        counts += count_errors(file.text, text)
    figures: Round = {
        "words": counts.words,
        "wer": counts.wer,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "lost": counts.lost,
        "cpu_s": result.cpu_s,
        "wall_s": result.wall_s,
        "rtfx": sum(file.duration_s for file in files) / result.wall_s,
        "failed": sum(result.errors.values()),
    }
    times = [one for file in files for one in file.utterances if one.start_s is not None]
    if times and are_segments:
        off_s = [abs(error_s) for error_s in errors_s]
        figures |= {
            "utterances": len(times),
            "starts": len(off_s),
            "start_p50_s": percentile(off_s, 50),
            "start_p95_s": percentile(off_s, 95),
            "starts_off": sum(error_s > _LATE_S for error_s in off_s),
        }
    return {name: round(value, 4) for name, value in figures.items()}


def describe_mixed(rate_per_s: float, alone: Result, beside: Result) -> dict[str, float]:
    """Return the latencies of clips that were sent at a rate alone and beside a long file."""
    figures = {
        "rate_per_s": rate_per_s,
        "requests": len(beside.latencies_s),
        "failed": sum(alone.errors.values()) + sum(beside.errors.values()),
        "p50_s": percentile(alone.latencies_s, 50),
        "p95_s": percentile(alone.latencies_s, 95),
        "beside_p50_s": percentile(beside.latencies_s, 50),
        "beside_p95_s": percentile(beside.latencies_s, 95),
    }
    figures["p95_ratio"] = figures["beside_p95_s"] / figures["p95_s"]
    return {name: round(value, 4) for name, value in figures.items()}


def medians(rounds: Sequence[Round]) -> Round:
    """Return the median of each figure over the rounds."""
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def show(title: str, rows: Mapping[str, list[Round] | str]) -> None:
    """Print the table of a workload; a row that is a text is the reason why it did not run."""
    described = {name: medians(row) for name, row in rows.items() if not isinstance(row, str)}
    has_starts = any("starts" in figures for figures in described.values())
    head = _HEAD + (_STARTS_HEAD if has_starts else ())
    lines = [
        _line(name, described[name]) if name in described else _not_run(name, head) for name in rows
    ]
    print_table(title, head, lines)
    _print_notes(rows, described)


def show_mixed(title: str, rows: Mapping[str, dict[str, float] | str]) -> None:
    """Print the table of `mixed`; a row that is a text is the reason why it did not run."""
    described = {name: row for name, row in rows.items() if not isinstance(row, str)}
    lines: list[Sequence[str]] = []
    for name in rows:
        if name not in described:
            lines.append(_not_run(name, _MIXED_HEAD))
            continue
        own = described[name]
        latencies = [own["p50_s"], own["p95_s"], own["beside_p50_s"], own["beside_p95_s"]]
        lines.append([name, *(f"{value:.2f}" for value in latencies), f"{own['p95_ratio']:.2f}"])
    print_table(title, _MIXED_HEAD, lines)
    _print_notes(rows, described)


def _line(name: str, own: Round) -> Sequence[str]:
    errors = [own[key] for key in ("substitutions", "deletions", "insertions", "lost")]
    line = [name, f"{100 * own['wer']:.2f}", *(f"{count:g}" for count in errors)]
    line += [f"{own['cpu_s']:.1f}", f"{own['wall_s']:.1f}", f"{own['rtfx']:.1f}"]
    if "starts" in own:
        line += [f"{own['starts']:g}/{own['utterances']:g}"]
        line += [f"{own['start_p50_s']:.2f}", f"{own['start_p95_s']:.2f}", f"{own['starts_off']:g}"]
    return line


def _not_run(name: str, head: Sequence[str]) -> Sequence[str]:
    return (name, "not run", *[""] * (len(head) - 2))


def _print_notes(rows: Mapping[str, Any], described: Mapping[str, Round]) -> None:
    reasons = {name: row for name, row in rows.items() if isinstance(row, str)}
    failed = {name: figures["failed"] for name, figures in described.items() if figures["failed"]}
    print_reasons(reasons | {name: f"{count:g} requests failed" for name, count in failed.items()})
