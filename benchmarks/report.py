"""Shared by all benchmarks: interleaved timing, the stamp, the table, the JSON line."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("talkmill", "ctranslate2", "numpy", "faster-whisper")
_ERRORS = Console(stderr=True)


@dataclass(frozen=True)
class Timing:
    """The time of one call.

    Attributes:
        wall_s: Wall seconds.
        cpu_s: CPU seconds of all threads of the process. Other processes hardly change it: with
            one thread it is about the wall time on an idle machine.
    """

    wall_s: float
    cpu_s: float


def stamp(**options: object) -> dict[str, object]:
    """Return the conditions of a result: commit, machine and its load, versions, options."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "is_dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "num_cores": len(os.sched_getaffinity(0)),
        "load_1_min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "options": options,
    }


def time_interleaved(
    cases: Mapping[str, Callable[[], object]], repeats: int, title: str
) -> dict[str, list[Timing]]:
    """Return the time of each case in each round.

    Every round runs every case, so that noise affects all alike; every second round runs in reverse
    order.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in cases}
    with Progress(console=_ERRORS, transient=True) as progress:
        bar = progress.add_task(title, total=repeats * len(cases))
        for round_ in range(repeats):
            for name in sorted(cases, key=list(cases).index, reverse=bool(round_ % 2)):
                progress.update(bar, description=f"{title}: {name}")
                start_s, start_cpu_s = time.perf_counter(), time.process_time()
                cases[name]()
                cpu_s = time.process_time() - start_cpu_s
                timings[name].append(Timing(time.perf_counter() - start_s, cpu_s))
                progress.advance(bar)
    return timings


def median_ratio(numerator: Sequence[Timing], denominator: Sequence[Timing]) -> float:
    """Return the median over the rounds of the ratio of two CPU times of the same round."""
    pairs = zip(numerator, denominator, strict=True)
    return statistics.median(above.cpu_s / below.cpu_s for above, below in pairs)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is aligned left, the others right."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def finish(benchmark: str, result: Mapping[str, Any], is_recorded: bool) -> None:
    """Print the result as one JSON line; append it to `RESULTS` if `is_recorded`."""
    line = json.dumps({"benchmark": benchmark, **result}, separators=(",", ":"))
    if is_recorded:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{benchmark}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
