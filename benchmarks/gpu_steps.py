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
