"""What does a file of hours cost those who send short commands at the same time?

    python -m benchmarks.long_file [--model FOLDER] [--file-s 10800] [--seconds 25] [--record]

Theory. Requests take turns, and one may fill only a share of a batch while others wait. So a
command should wait for one batch of the file, whatever the file's length: p95 at most twice that
of commands alone.

Commands of 1 to 6 s come at a constant rate, `--share` of what a closed loop of 32 clients gets,
alone and beside the file in turns; latency counts from when each was due (see `load`). The file is
streamed over gRPC; measuring begins with its first segment, and at the end it is cancelled. A run
in which it ends earlier shows nothing, and fails. The ratio is the median over the rounds of the
p95 beside the file over that alone in the same round.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import grpc

from benchmarks import workloads
from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.baselines.protocol import Options
from benchmarks.comparison import DEMO, Machine, get_model
from benchmarks.corpus import SPEECH, Samples, find_manifest, speech
from benchmarks.load import Load
from benchmarks.memory import PART_S, write_long_file
from benchmarks.metrics import Figures
from benchmarks.report import finish, print_table, stamp
from benchmarks.serving import Bench, open_loop, run, serving
from benchmarks.versus import make_clips, plain
from talkmill.engine import Segment, TranscribeOptions
from talkmill.server import Client

BAR = 2.0
_FIRST_SEGMENT_S = 120.0


@contextmanager
def transcribing(address: str, path: Path) -> Iterator[None]:
    """Send a file, and run the block from its first segment on; then cancel it.

    Raises:
        click.ClickException: It has no segment in time, or ended before the block did.
    """
    begun, ended = threading.Event(), threading.Event()

    def on_segment(segment: Segment) -> None:
        begun.set()

    def send(client: Client) -> None:
        try:
            with path.open("rb") as audio:
                client.transcribe(audio, TranscribeOptions(language="en"), on_segment=on_segment)
        except (grpc.RpcError, ValueError):  # cancelled; or closed before it was
            pass
        finally:
            ended.set()

    thread: threading.Thread | None = None
    try:
        with Client(address) as client:
            thread = threading.Thread(target=send, args=(client,))
            thread.start()
            if not begun.wait(_FIRST_SEGMENT_S):
                raise click.ClickException(f"the file has no segment in {_FIRST_SEGMENT_S:g} s")
            yield
            if ended.is_set():
                raise click.ClickException("the file ended too early: give a longer --file-s")
    finally:
        if thread is not None:
            thread.join()


def measure(
    bench: Bench, address: str, file: Path, given: dict[str, Any]
) -> tuple[float, dict[str, list[Figures]]]:
    """Return the commands' rate, and their figures in each round, alone and beside the file."""
    run(bench, Load("closed", 4, 2.0))
    closed = run(bench, Load("closed", workloads.NUM_CLIENTS, given["warm_up_s"]))
    rate_per_s = given["share"] * closed.figures.requests_per_s
    load = open_loop(rate_per_s, given["seconds"])
    rows: dict[str, list[Figures]] = {"alone": [], "beside the file": []}
    for _ in range(given["rounds"]):
        rows["alone"].append(run(bench, load).figures)
        with transcribing(address, file):
            rows["beside the file"].append(run(bench, load).figures)
    return rate_per_s, rows


def ratios(rows: dict[str, list[Figures]]) -> list[float]:
    """Return the p95 beside the file over that alone, for each round."""
    alone, beside = rows.values()
    return [two.p95_s / one.p95_s for one, two in zip(alone, beside, strict=True)]


def _some_speech(corpus: Path | None) -> list[Samples]:
    recordings: list[Samples] = []
    for samples in speech(find_manifest(corpus, SPEECH)):
        recordings.append(samples)
        if sum(map(len, recordings)) >= PART_S * SAMPLE_RATE:
            break
    return recordings


@click.command()
@click.option("--model", default=DEMO, show_default=True, help="demo, or a CTranslate2 folder.")
@click.option("--file-s", default=10_800.0, show_default=True, help="Length of the file.")
@click.option("--seconds", default=25.0, show_default=True, help="Duration of each load.")
@click.option("--rounds", default=2, show_default=True)
@click.option("--share", default=0.3, show_default=True, help="Rate over that of a closed loop.")
@click.option("--warm-up-s", default=6.0, show_default=True, help="Duration of the closed loop.")
@click.option("--processes", default=2, show_default=True, help="Client processes.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--serve-arguments", default="", help="Arguments of talkmill serve.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print the latency of commands alone and beside a file of hours."""
    started = stamp(**given)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = get_model(DEMO, root, 0) if given["model"] == DEMO else Path(given["model"])
        clips = make_clips("commands", given["model"], root, corpus, 0)
        manifest = workloads.write_manifest(root / "clips.json", clips)
        file = root / "long.mp3"
        write_long_file(file, _some_speech(corpus), given["file_s"] / 3600)
        parts = serving(Machine(), model, given["serve_arguments"], given["processes"])
        with parts as (clients, pid, http_address):
            bench = Bench(clients, pid, http_address, manifest, clips, Options())
            address = clients[0].setup.options["address"]
            rate_per_s, rows = measure(bench, address, file, given)
    ratio = statistics.median(ratios(rows))
    name = Path(given["model"]).name
    print_table(
        f"{name}: commands at {rate_per_s:.1f}/s, a file of {given['file_s']:g} s",
        ("round", "p50 s", "p95 s", "requests/s", "errors"),
        [
            (name, f"{r.p50_s:.3f}", f"{r.p95_s:.3f}", f"{r.requests_per_s:.1f}", str(r.num_errors))
            for name, results in rows.items()
            for r in results
        ],
    )
    print(f"p95 beside the file over alone: {ratio:.2f} (bar {BAR:g})")
    recorded = {name: [plain({name: one})[name] for one in own] for name, own in rows.items()}
    result = {"stamp": started, "rate_per_s": rate_per_s, "loads": recorded, "bar": BAR}
    finish("long_file", {**result, "p95_ratio": round(ratio, 3)}, record)


if __name__ == "__main__":
    main()
