r"""How fast is talkmill on a GPU? Everything in one command, under 8 minutes on one H100.

    python -m benchmarks.gpu [--record]
    # A trial run without a GPU:
    python -m benchmarks.gpu --shapes tiny --device cpu --compute-types int8 --sweep 2x4 \
        --clients 2 --meeting-s 45 --seconds 4

Theory. A GPU is fast with large batches and without idle time. talkmill batches chunks of many
files while its CPU stage decodes, detects speech and computes features of others; faster-whisper's
batched pipeline takes one file at a time, and the GPU is idle while the CPU works. The aim for
large-v3-turbo on one H100 with speech detection is 1,000 times real time, 3 times faster-whisper's
batched pipeline, and a model that is busy for 90 % of the time.

For each shape and compute type: long files (`meeting`, 100 tokens a chunk, with speech detection)
and short ones (`commands`, 12 tokens), in FLAC, to talkmill through gRPC and to faster-whisper as a
library. The first step is a sweep over workers and batch size, which chooses talkmill's topology.
The last step is a batch that is too large for the memory: how many requests fail, and how. "model"
is the share of the workers' time that the model takes. Steps for which the budget does not suffice
are rows that say so.

CTranslate2 needs CUDA 12's cuBLAS and cuDNN 9. If nothing can be downloaded, set
BENCHMARKS_SAME_ENVIRONMENT=1: faster-whisper then runs in talkmill's own environment.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks import workloads
from benchmarks.comparison import Machine, get_model, print_reasons
from benchmarks.corpus import SPEECH, find_manifest
from benchmarks.gpu_steps import Bench, Row, compare, out_of_memory, sweep
from benchmarks.report import finish, print_table, stamp
from benchmarks.workloads import Clip

_HEAD = ("shape, type, load, engine", "RTFx", "p50 s", "p95 s", "tokens", "model %", "not answered")


def show(rows: dict[str, Row | str]) -> None:
    """Print the table."""
    lines = []
    for name, row in rows.items():
        if isinstance(row, str):
            lines.append((name, "not run", *[""] * (len(_HEAD) - 2)))
            continue
        own = row.figures
        lines.append(
            (
                name,
                f"{own.rtfx:.1f}",
                f"{own.p50_s:.2f}",
                f"{own.p95_s:.2f}",
                "" if own.tokens_per_clip is None else f"{own.tokens_per_clip:.0f}",
                "" if row.model_share is None else f"{100 * row.model_share:.0f}",
                f"{own.num_errors} {row.error}" if own.num_errors else "",
            )
        )
    print_table("GPU", _HEAD, lines)
    print_reasons({name: row for name, row in rows.items() if isinstance(row, str)})


def gpus() -> list[str]:
    """Return the name, memory and driver of each GPU; empty if there is none."""
    if not shutil.which("nvidia-smi"):
        return []
    fields = "--query-gpu=name,memory.total,driver_version"
    done = subprocess.run(
        ["nvidia-smi", fields, "--format=csv,noheader"], capture_output=True, text=True
    )
    return done.stdout.strip().splitlines()


@click.command()
@click.option("--shapes", default="large-v3-turbo,large-v3", show_default=True)
@click.option("--compute-types", default="float16,int8_float16", show_default=True)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option(
    "--sweep", default="1x32,2x16,2x32,3x32,2x64", show_default=True, help="WORKERSxBATCH_SIZE."
)
@click.option(
    "--batch-sizes", default="16,32", show_default=True, help="Batch sizes of faster-whisper."
)
@click.option("--clients", default=16, show_default=True, help="Long files in progress at once.")
@click.option("--files", default=8, show_default=True, help="Distinct long files.")
@click.option("--meeting-s", default=600.0, show_default=True, help="Length of each long file.")
@click.option("--seconds", default=10.0, show_default=True, help="Duration of each closed loop.")
@click.option("--threads", default=16, show_default=True, help="CPU threads of faster-whisper.")
@click.option(
    "--budget-s",
    default=420.0,
    show_default=True,
    help="Only the last step starts after this time.",
)
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print the speed of talkmill and faster-whisper on a GPU."""
    started = stamp(**given, gpus=gpus())
    source = find_manifest(corpus, SPEECH)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        long = [
            clip
            for number in range(min(given["files"], given["clients"]))
            for clip in _numbered(root, source, given["meeting_s"], number)
        ]
        bench = Bench(given, root, long, workloads.commands(root, source))
        storage = "float16" if given["device"] == "cuda" else "int8"
        types = given["compute_types"].split(",")
        for shape, compute_type in itertools.product(given["shapes"].split(","), types):
            machine = Machine(given["threads"], compute_type, given["device"])
            name = f"{shape}, {compute_type}"
            if bench.left_s <= 0:
                bench.rows[name] = f"the budget of {given['budget_s']:g} s was spent"
                continue
            click.echo(f"{bench.left_s:5.0f} s left: building {shape}", err=True)
            model, built = get_model(shape, root, workloads.MEETING_TOKENS, storage), shape
            if not bench.rows:
                sweep(bench, machine, model, name)
            compare(bench, machine, model, name)
        out_of_memory(bench, machine, model, built)
    show(bench.rows)
    rows = {name: _plain(row) for name, row in bench.rows.items()}
    seconds = round(time.monotonic() - bench.started_s, 1)
    result = {"seconds": seconds, "workers_and_batch": bench.best, "rows": rows}
    finish("gpu", {"stamp": started, **result}, record)


def _numbered(root: Path, source: Path | None, seconds: float, number: int) -> list[Clip]:
    folder = root / f"long-{number}"
    folder.mkdir()
    return workloads.meeting(folder, source, seconds, seed=number)


def _plain(row: Row | str) -> dict[str, Any]:
    if isinstance(row, str):
        return {"reason": row}
    kept = ("rtfx", "p50_s", "p95_s", "tokens_per_clip", "num_requests", "num_errors", "wall_s")
    plain: dict[str, Any] = {name: getattr(row.figures, name) for name in kept}
    plain["model_share"] = row.model_share
    return {name: value and round(value, 4) for name, value in plain.items()} | {"error": row.error}


if __name__ == "__main__":
    main()
