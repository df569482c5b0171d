"""Plots the last recorded run of `serving`, or of `soak`.

    python -m benchmarks.plot TARGET.svg [--benchmark soak]

`serving`: speed and p95 latency over the number of clients. `soak`: what was answered and refused,
the latency, and what the server held, over time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.report import RESULTS

_CLOSED = re.compile(r"closed, (\d+) clients$")


def plot_serving(rows: Mapping[str, Mapping[str, Any]], title: str, target: Path) -> None:
    """Plot the closed loops of `serving` into a PNG or SVG file.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    pyplot = _pyplot()
    points = [(int(m[1]), row) for name, row in rows.items() if (m := _CLOSED.match(name))]
    clients = [number for number, _ in points]
    figure, speed = pyplot.subplots(figsize=(7, 4))
    speed.plot(clients, [row["rtfx"] for _, row in points], "o-", color="tab:blue")
    speed.set_xscale("log", base=2)
    speed.set_xticks(clients, [str(number) for number in clients])
    speed.set(xlabel="clients, closed loop", title=title)
    speed.set_ylabel("seconds of audio per second (RTFx)", color="tab:blue")
    speed.set_ylim(bottom=0)
    latency = speed.twinx()
    latency.plot(clients, [row["p95_s"] for _, row in points], "s--", color="tab:red")
    latency.set_ylabel("p95 latency, s", color="tab:red")
    latency.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(target)
    pyplot.close(figure)


def plot_soak(run: Mapping[str, Any], title: str, target: Path) -> None:
    """Plot the series of a `soak` into a PNG or SVG file.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    pyplot = _pyplot()
    points = run["series"]
    minutes = [point["time_s"] / 60 for point in points]
    figure, (rates, latency, levels) = pyplot.subplots(3, sharex=True, figsize=(7, 7))

    def draw(axes: Any, name: str, label: str, style: str) -> None:
        axes.plot(minutes, [point[name] for point in points], style, label=label, linewidth=1)

    draw(rates, "answers_per_s", "right words", "tab:blue")
    draw(rates, "refusals_per_s", "refused as overload", "tab:red")
    rates.set(title=title, ylabel="calls per second")
    draw(latency, "p99_s", "p99", "tab:red")
    draw(latency, "p50_s", "p50", "tab:blue")
    latency.set_ylabel("latency of accepted calls, s")
    draw(levels, "rss_mb", "resident memory, MB", "tab:blue")
    levels.set(xlabel="minutes")
    levels.set_ylabel("MB", color="tab:blue")
    counts = levels.twinx()
    draw(counts, "fds", "open files, without connections", "tab:green")
    draw(counts, "connections", "connections", "tab:gray")
    draw(counts, "threads", "threads", "tab:orange")
    for axes, place in ((rates, "best"), (latency, "best"), (levels, "lower left")):
        axes.set_ylim(bottom=0)
        axes.legend(loc=place)
    counts.set_ylim(bottom=0)
    counts.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(target)
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise click.ClickException("plots need matplotlib: pip install -e '.[bench]'") from error
    return pyplot


@click.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--benchmark", type=click.Choice(["serving", "soak"]), default="serving", show_default=True
)
def main(target: Path, benchmark: str) -> None:
    """Plot the last recorded run; of `serving`, that with the workload `commands`."""
    lines = (RESULTS / f"{benchmark}.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    runs = [one for one in runs if one["stamp"]["options"].get("workload") in ("commands", None)]
    stamp = runs[-1]["stamp"]
    title = f"talkmill, {Path(stamp['options']['model']).name} model, {stamp['cpu']}"
    if benchmark == "soak":
        plot_soak(runs[-1], title, target)
    else:
        plot_serving(runs[-1]["loads"], title, target)


if __name__ == "__main__":
    main()
