"""How fast is talkmill on a GPU? Everything in one command, under 8 minutes on one H100.

    python -m benchmarks.gpu [--record]
    python -m benchmarks.gpu --shapes tiny --device cpu --compute-types int8 --sweep 2x4 \
        --clients 2 --meeting-s 45 --seconds 4          # tries the script where no GPU is

Theory. A GPU wants large batches and never to wait. talkmill takes chunks of many files at once,
while its CPU stage decodes, detects speech and computes features; faster-whisper's batched pipeline
does so for one file, and the GPU waits while the CPU works. The aim for large-v3-turbo on one H100
is 1,000 times real time with speech detection on, 3 times faster-whisper's batched pipeline, and
the model at work for 90 % of the time.

For each shape and compute type: long files (`meeting`, 100 tokens a chunk, speech detection on) and
short ones (`commands`, 12 tokens), talkmill through gRPC from FLAC, faster-whisper as a library.
First a sweep over workers and batch size chooses talkmill's topology; last a batch that is too
large for the memory shows what becomes of the requests. "model" is the time that the model takes of
the workers' time. What does not fit into the budget becomes a row that says so.

CTranslate2 wants CUDA 12's cuBLAS and cuDNN 9. Where nothing can be downloaded, set
BENCHMARKS_SAME_ENVIRONMENT=1: faster-whisper then runs in talkmill's own environment.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks import workloads
from benchmarks.baselines.protocol import Options
from benchmarks.baselines.talkmill.run import running_server, to_talkmill
from benchmarks.comparison import Machine, get_model, print_reasons
from benchmarks.corpus import SPEECH, find_manifest
from benchmarks.load import Load, run_load
from benchmarks.metrics import Figures, figures
from benchmarks.peers import Peer, PeerFailed, Result
from benchmarks.report import finish, print_table, stamp
from benchmarks.workloads import Clip
from talkmill.engine import Timings
from talkmill.server import Client

_HEAD = ("shape, type, load, engine", "RTFx", "p50 s", "p95 s", "tokens", "model %", "not answered")
# By default talkmill looks for speech in short files too, and takes them whole if there is any;
# faster-whisper would cut them, and lose some with their tokens: not the same load.
_SHORT = Options(max_new_tokens=workloads.COMMAND_TOKENS)
_LONG = Options(vad=True)


@dataclass(frozen=True)
class Row:
    """One load on one engine.

    Attributes:
        figures: Of the answers.
        model_share: Of the workers' time, spent in the model; None for peers.
        error: The commonest, if any.
    """

    figures: Figures
    model_share: float | None = None
    error: str = ""


@dataclass
class Bench:
    """What all steps share.

    Attributes:
        given: The command's options.
        root: Holds models and audio.
        long: Clips of the meeting.
        short: Clips of the commands.
        started_s: Instant.
        rows: Results, or why there is none, by name.
        best: Workers and batch size of talkmill.
    """

    given: dict[str, Any]
    root: Path
    long: list[Clip]
    short: list[Clip]
    started_s: float = field(default_factory=time.monotonic)
    rows: dict[str, Row | str] = field(default_factory=dict)
    best: tuple[int, int] = (2, 16)

    @property
    def left_s(self) -> float:
        """Seconds of the budget."""
        return float(self.given["budget_s"]) - (time.monotonic() - self.started_s)

    def step(self, name: str, job: Callable[[], Row], *, is_last: bool = False) -> None:
        """Run one step, unless the time is up; what fails becomes a row with the reason."""
        if self.left_s <= 0 and not is_last:
            self.rows[name] = f"the budget of {self.given['budget_s']:g} s was spent"
            return
        click.echo(f"{self.left_s:5.0f} s left: {name}", err=True)
        try:
            self.rows[name] = job()
        except (PeerFailed, RuntimeError) as error:
            self.rows[name] = str(error)


@contextmanager
def talkmill_server(machine: Machine, model: Path, topology: tuple[int, int]) -> Iterator[str]:
    """Give the address of a server with so many workers and chunks in a batch."""
    workers, batch_size = topology
    arguments = ["--workers-per-device", str(workers), "--max-batch-size", str(batch_size)]
    with running_server(machine.setup(model, arguments=arguments)) as (_, address, _):
        yield address


def run_talkmill(
    address: str, clips: Sequence[Clip], load: Load, options: Options, workers: int
) -> Row:
    """Put a load on a server; see how much of the time its model was at work."""
    asked = to_talkmill(options)
    timings: list[Timings] = []
    with Client(address) as client:

        def ask(number: int) -> str:
            with Path(clips[number].path).open("rb") as audio:
                transcript = client.transcribe(audio, asked)
            timings.append(transcript.timings)
            return transcript.text

        wall_s, answers = run_load(load, ask, len(clips))
    result = Result(wall_s, 0.0, answers)
    model_s = sum(one.encode_s + one.generate_s for one in timings)
    return Row(figures([result], clips), model_s / wall_s / workers, _commonest(result))


def _commonest(result: Result) -> str:
    return next((error for error, _ in result.errors.most_common(1)), "")


def sweep(bench: Bench, machine: Machine, model: Path, name: str) -> None:
    """Find the topology with which talkmill is fastest on long files."""
    speeds: dict[tuple[int, int], float] = {}
    for text in bench.given["sweep"].split(","):
        workers, batch_size = map(int, text.split("x"))
        row_name = f"{name}, sweep, {workers} workers, batch {batch_size}"

        def job(workers: int = workers, batch_size: int = batch_size) -> Row:
            with talkmill_server(machine, model, (workers, batch_size)) as address:
                return run_talkmill(address, bench.long, _long_load(bench), _LONG, workers)

        bench.step(row_name, job)
        if isinstance(row := bench.rows[row_name], Row):
            speeds[workers, batch_size] = row.figures.rtfx
    if speeds:
        bench.best = max(speeds, key=lambda topology: speeds[topology])


def _long_load(bench: Bench) -> Load:
    return Load("closed", bench.given["clients"], bench.given["seconds"])


def _short_load(bench: Bench) -> Load:
    return Load("closed", workloads.NUM_CLIENTS, bench.given["seconds"] / 2)


def compare(bench: Bench, machine: Machine, model: Path, name: str) -> None:
    """Run talkmill, and then faster-whisper, on both loads."""
    workers = bench.best[0]
    try:
        with talkmill_server(machine, model, bench.best) as address:
            for load_name, clips, load, options in (
                ("meeting", bench.long, _long_load(bench), _LONG),
                ("commands", bench.short, _short_load(bench), _SHORT),
            ):
                job = lambda c=clips, l=load, o=options: run_talkmill(address, c, l, o, workers)  # noqa: E731, E741
                bench.step(f"{name}, {load_name}, talkmill", job)
    except RuntimeError as error:
        bench.rows[f"{name}, talkmill"] = str(error)
    setup = machine.setup(model, num_workers=2)
    peer = Peer("faster-whisper", "faster_whisper", setup)
    try:
        peer.start()
        for size in bench.given["batch_sizes"].split(","):
            options = Options(vad=True, batch_size=int(size))
            _peer_step(bench, peer, f"{name}, meeting, batched, batch {size}", options, "long")
        _peer_step(bench, peer, f"{name}, meeting, sequential", _LONG, "long")
        _peer_step(bench, peer, f"{name}, commands, 2 workers", _SHORT, "short")
    except PeerFailed as error:
        bench.rows[f"{name}, faster-whisper"] = str(error)
    finally:
        peer.close()


def _peer_step(bench: Bench, peer: Peer, name: str, options: Options, kind: str) -> None:
    clips = bench.short if kind == "short" else bench.long[:1]
    load = _short_load(bench) if kind == "short" else Load("once")

    def job() -> Row:
        manifest = workloads.write_manifest(bench.root / "clips.json", clips)
        result = peer.run(manifest, load, options)
        return Row(figures([result], clips), error=_commonest(result))

    bench.step(name + ", faster-whisper", job)


def out_of_memory(bench: Bench, machine: Machine, model: Path, name: str) -> None:
    """See what becomes of requests when a batch is too large for the memory."""
    row_name = f"{name}, out of memory, batch 512"
    if machine.device == "cpu":
        bench.rows[row_name] = "needs a GPU"
        return

    def job() -> Row:
        with talkmill_server(machine, model, (1, 512)) as address:
            # As many chunks at once as a batch holds; no file is sent again.
            load = Load("closed", num_clients=24, duration_s=0.05)
            return run_talkmill(address, bench.long, load, _LONG, 1)

    bench.step(row_name, job, is_last=True)


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
    """Return the GPUs with their memory and driver; empty without any."""
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
    "--sweep", default="1x32,2x16,2x32,3x32,2x64", show_default=True, help="WORKERSxBATCH."
)
@click.option("--batch-sizes", default="16,32", show_default=True, help="Of faster-whisper.")
@click.option("--clients", default=16, show_default=True, help="Long files at once.")
@click.option("--files", default=8, show_default=True, help="Long files there are.")
@click.option("--meeting-s", default=600.0, show_default=True, help="Of each.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each closed loop.")
@click.option("--threads", default=16, show_default=True, help="Of faster-whisper on the CPU.")
@click.option(
    "--budget-s", default=420.0, show_default=True, help="Only the last step starts later."
)
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print talkmill beside faster-whisper on a GPU."""
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
