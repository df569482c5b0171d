"""How much memory does a file of many hours take, beyond the model?

    python -m benchmarks.memory [--hours 10] [--record]

Theory. The file stays on disk, and decoded audio is freed once it is cut into chunks. Only the
answer grows with the length, by some hundred bytes a chunk. The chunks that wait for the model are
limited in number, so the memory should be the same for one hour and for ten.

The engine runs with its default settings, with the demo model and real speech from a compressed
file, in a process of its own. Memory is the kernel's VmRSS, the peak its VmHWM.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.corpus import Samples
from benchmarks.report import finish, print_table, stamp
from benchmarks.stages import Format, encode, read_recordings
from talkmill.engine import Engine, EngineConfig, TranscribeOptions

BAR_MB = 1000
_FORM = Format("MP3, 16 kHz mono", "mp3", "libmp3lame", 16_000, "mono", 0.0)
PART_S = 600.0
_MB = 1000**2


def write_long_file(path: Path, recordings: Sequence[Samples], hours: float) -> None:
    """Write hours of speech as MP3: `PART_S` of it, repeated. Repeated MP3 frames are a valid MP3.

    Args:
        path: The file.
        recordings: At least `PART_S` of speech.
        hours: How long the file lasts.
    """
    part = encode(np.concatenate(recordings)[: int(PART_S) * 16_000], _FORM)
    with path.open("wb") as file:
        for _ in range(round(hours * 3600 / PART_S)):
            file.write(part)


def transcribe(path: Path) -> dict[str, float]:
    """Transcribe a file in this process; return its figures, time and memory."""
    console = Console(stderr=True)
    columns = (TextColumn("transcribing"), BarColumn(), TextColumn("{task.completed:.2f} h"))
    with (
        Engine(EngineConfig()) as engine,
        Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress,
    ):
        ready_mb = _memory_mb("VmRSS")
        bar = progress.add_task("", total=None)
        start_s = time.perf_counter()
        with path.open("rb") as source:
            request = engine.submit(
                source,
                TranscribeOptions(language="en"),
                on_segment=lambda segment: progress.update(
                    bar, completed=(segment.end_s or 0.0) / 3600
                ),
            )
            transcript = request.future.result()
        wall_s = time.perf_counter() - start_s
    return {
        "audio_s": round(transcript.duration_s, 1),
        "num_segments": len(transcript.segments),
        "wall_s": round(wall_s, 1),
        "rtfx": round(transcript.duration_s / wall_s, 1),
        "ready_mb": round(ready_mb),
        "peak_mb": round(_memory_mb("VmHWM")),
    }


def _memory_mb(counter: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{counter}:"):
            return int(line.split()[1]) * 1024 / _MB
    raise RuntimeError(f"/proc/self/status has no line {counter}")


@click.command()
@click.option("--hours", default="1,10", show_default=True, help="Lengths, separated by commas.")
@click.option(
    "--corpus",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TSV manifest with a column `file`. Default: the bundled sample, repeated.",
)
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
@click.option(
    "--file", type=click.Path(path_type=Path), hidden=True, help="File for the child process."
)
def main(hours: str, corpus: Path | None, record: bool, file: Path | None) -> None:
    """Print the memory that long files take beyond the model."""
    if file is not None:
        print(json.dumps(transcribe(file)))
        return
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp3"
        for length in hours.split(","):
            write_long_file(path, read_recordings(corpus, PART_S), float(length))
            command = [sys.executable, "-m", "benchmarks.memory", "--file", str(path)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(done.stdout)
            rows[f"{length} h"] = row | {"beyond_model_mb": row["peak_mb"] - row["ready_mb"]}
    columns = ("ready_mb", "peak_mb", "beyond_model_mb", "rtfx")
    print_table(
        "Memory, MB",
        ("file", "model ready", "peak", "beyond the model", "bar", "RTFx"),
        [
            (name, *(str(row[c]) for c in columns[:3]), str(BAR_MB), str(row["rtfx"]))
            for name, row in rows.items()
        ],
    )
    stamped = stamp(hours=hours, corpus=corpus.name if corpus else "sample", model="demo")
    finish("memory", {"stamp": stamped, "files": rows, "bar_mb": BAR_MB}, record)


if __name__ == "__main__":
    main()
