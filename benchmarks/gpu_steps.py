"""The measurements of `gpu`: topology sweep, comparison with faster-whisper, out of memory."""

from __future__ import annotations

import functools
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
from benchmarks.comparison import Machine
from benchmarks.load import Load, run_load
from benchmarks.metrics import Figures, figures
from benchmarks.peers import Peer, PeerFailed, Result
from benchmarks.workloads import Clip
from talkmill.engine import Timings
from talkmill.server import Client

# Default speech detection: talkmill then takes a short file with speech as a whole. With detection
# on, faster-whisper would cut short files and drop some with their tokens: a different load.
_SHORT = Options(max_new_tokens=workloads.COMMAND_TOKENS)
_LONG = Options(vad=True)


@dataclass(frozen=True)
class Row:
    """The result of one load on one engine.

    Attributes:
        figures: Speed, latency and counts.
        model_share: Share of the workers' time spent in the model; None for peers.
        error: The most frequent error; empty without errors.
    """

    figures: Figures
    model_share: float | None = None
    error: str = ""


@dataclass
class Bench:
    """The state that all steps share.

    Attributes:
        given: The command's options.
        root: Folder with the models and audio.
        long: Clips of the workload `meeting`.
        short: Clips of the workload `commands`.
        started_s: Instant of `time.monotonic` at which the budget began.
        rows: By name, the result of each step, or why there is none.
        best: Workers and batch size that are fastest for talkmill.
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
        """Seconds left of the budget."""
        return float(self.given["budget_s"]) - (time.monotonic() - self.started_s)

    def step(self, name: str, job: Callable[[], Row], *, is_last: bool = False) -> None:
        """Run one step; if it fails or the budget is spent, its row is the reason."""
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
    """Yield the address of a server with `topology`: workers and batch size."""
    workers, batch_size = topology
    arguments = ["--workers-per-device", str(workers), "--max-batch-size", str(batch_size)]
    with running_server(machine.setup(model, arguments=arguments)) as (_, address, _):
        yield address


def run_talkmill(
    address: str, clips: Sequence[Clip], load: Load, options: Options, workers: int
) -> Row:
    """Return the figures of a load on a server, and the share of time that its model was busy."""
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
    return Row(figures([result], clips), model_s / wall_s / workers, _most_frequent_error(result))


def _most_frequent_error(result: Result) -> str:
    return next((error for error, _ in result.errors.most_common(1)), "")


def sweep(bench: Bench, machine: Machine, model: Path, name: str) -> None:
    """Set `bench.best` to the topology with which talkmill is fastest on long files."""
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
    """Run talkmill, then faster-whisper, on both loads."""
    workers = bench.best[0]
    try:
        with talkmill_server(machine, model, bench.best) as address:
            for load_name, clips, load, options in (
                ("meeting", bench.long, _long_load(bench), _LONG),
                ("commands", bench.short, _short_load(bench), _SHORT),
            ):
                job = functools.partial(run_talkmill, address, clips, load, options, workers)
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
        return Row(figures([result], clips), error=_most_frequent_error(result))

    bench.step(name + ", faster-whisper", job)


def out_of_memory(bench: Bench, machine: Machine, model: Path, name: str) -> None:
    """Count the requests that fail when a batch is too large for the memory."""
    row_name = f"{name}, out of memory, batch 512"
    if machine.device == "cpu":
        bench.rows[row_name] = "needs a GPU"
        return

    def job() -> Row:
        with talkmill_server(machine, model, (1, 512)) as address:
            # Enough chunks at once to fill a batch; each file is sent once.
            load = Load("closed", num_clients=24, duration_s=0.05)
            return run_talkmill(address, bench.long, load, _LONG, 1)

    bench.step(row_name, job, is_last=True)
