"""Plots a recorded `serving` run: speed and p95 latency over the number of clients.

python -m benchmarks.plot TARGET.svg
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
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise click.ClickException("plots need matplotlib: pip install -e '.[bench]'") from error
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


@click.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def main(target: Path) -> None:
    """Plot the last recorded `serving` run with the workload `commands`."""
    lines = (RESULTS / "serving.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    runs = [one for one in runs if one["stamp"]["options"]["workload"] == "commands"]
    stamp = runs[-1]["stamp"]
    title = f"talkmill, {stamp['options']['model']} model, {stamp['cpu']}"
    plot_serving(runs[-1]["loads"], title, target)


if __name__ == "__main__":
    main()
