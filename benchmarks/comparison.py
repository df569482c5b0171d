"""Shared by the benchmarks with peers: the engines, their models, and interleaved rounds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks import ggml, hf
from benchmarks.baselines.protocol import Options, Setup
from benchmarks.corpus import DEMO_FOLDER
from benchmarks.load import Load
from benchmarks.peers import Peer, PeerFailed, Result
from benchmarks.shapes import SHAPES, build_model

DEMO = "demo"
_errors = Console(stderr=True)


@dataclass(frozen=True)
class Machine:
    """The resources that every engine may use.

    Attributes:
        threads: CPU threads in total.
        compute_type: CTranslate2's name of the number type.
        device: "cpu" or "cuda".
    """

    threads: int = 2
    compute_type: str = "int8"
    device: str = "cpu"

    def setup(self, model: Path, **options: object) -> Setup:
        """Return the setup of an engine: these resources, its model and its own options."""
        return Setup(str(model), self.threads, self.compute_type, self.device, options)


@dataclass
class Entry:
    """An engine with the options of its requests: one row of a table.

    Attributes:
        peer: The engine.
        options: The options of every request.
        results: One for each round that it ran.
        reason: Why it does not run; empty if it does.
    """

    peer: Peer
    options: Options
    results: list[Result] = field(default_factory=list)
    reason: str = ""

    @property
    def name(self) -> str:
        """Its name in the tables."""
        size = self.options.batch_size
        batch = f", batch {size}" if size else ""
        vad = ", no VAD" if self.options.vad is False else ""
        return f"{self.peer.name}{batch}{vad}"


def get_model(name: str, folder: Path, num_tokens: int, quantization: str = "int8") -> Path:
    """Return the folder of a model, made below `folder` if absent: the demo model or a shape."""
    target = folder / f"{name}-{num_tokens}-{quantization}"
    if target.exists():
        return target
    if name == DEMO:
        return Path(shutil.copytree(DEMO_FOLDER, target))
    return build_model(target, SHAPES[name], quantization, num_tokens=num_tokens)


def talkmill(machine: Machine, model: Path, window_s: str = "", arguments: str = "") -> Peer:
    """Return talkmill behind gRPC.

    Args:
        machine: The resources.
        model: A CTranslate2 folder.
        window_s: Encoder windows, separated by commas; empty for those that the model declares.
        arguments: More arguments of `talkmill serve`.
    """
    given = [*(("--encoder-windows", window_s) if window_s else ()), *arguments.split()]
    name = "talkmill" + (f", {window_s} s window" if window_s else "")
    return Peer(name, "talkmill", machine.setup(model, arguments=given))


def faster_whisper(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return faster-whisper as deployed: a replica per thread; for one file only one replica."""
    num_workers = 1 if is_one_file else machine.threads if machine.device == "cpu" else 2
    setup = machine.setup(model, num_workers=num_workers)
    return Peer(f"faster-whisper, {_workers(num_workers)}", "faster_whisper", setup)


def _workers(number: int) -> str:
    return f"{number} worker" + "s" * (number != 1)


def faster_whisper_batched(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return faster-whisper's batched pipeline: one file at a time, with all threads."""
    return Peer("faster-whisper batched", "faster_whisper", machine.setup(model, num_workers=1))


def whisper_cpp(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return whisper.cpp with the same weights: a context per thread; for one file one context."""
    num_workers = 1 if is_one_file else machine.threads
    setup = machine.setup(ggml.convert(model, model / "ggml.bin"), num_workers=num_workers)
    return Peer(f"whisper.cpp, {_workers(num_workers)}", "whisper_cpp", setup)


def transformers(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return transformers' pipeline with the same weights in float32, one file at a time."""
    folder = hf.convert(model, model / "hf")
    return Peer("transformers, float32", "transformers", machine.setup(folder))


PEERS: dict[str, Callable[[Machine, Path, bool], Peer]] = {
    "faster-whisper": faster_whisper,
    "faster-whisper-batched": faster_whisper_batched,
    "whisper.cpp": whisper_cpp,
    "transformers": transformers,
}
"""Each peer by name, as a function of machine, CTranslate2 folder and "is the load one file"."""


def run_rounds(
    entries: Sequence[Entry],
    clips: Path,
    load: Load | Mapping[str, Load],
    rounds: int,
    title: str,
) -> None:
    """Add the result of each round to each entry.

    Every round runs every engine, one at a time, so that noise affects all alike; every second
    round runs in reverse order. An engine that fails gets a `reason` and is skipped from then on.
    """
    with Progress(console=_errors, transient=True) as progress:
        bar = progress.add_task(title, total=rounds * len(entries))
        for round_ in range(rounds):
            for entry in entries if round_ % 2 == 0 else reversed(entries):
                progress.update(bar, description=f"{title}: {entry.name}")
                if not entry.reason:
                    own = load if isinstance(load, Load) else load[entry.name]
                    _run(entry, clips, own)
                progress.advance(bar)


def warm_up(entries: Sequence[Entry], clips: Path) -> None:
    """Run a few clips through each engine and discard the results."""
    load = Load("closed", num_clients=2, duration_s=1.0)
    for entry in entries:
        if not entry.reason:
            _run(entry, clips, load)
            entry.results.clear()


def without_results(entry: Entry) -> Entry:
    """Return a copy of the entry without results."""
    return replace(entry, results=[])


def _run(entry: Entry, clips: Path, load: Load) -> None:
    try:
        result = entry.peer.run(clips, load, entry.options)
    except PeerFailed as error:
        entry.reason = str(error)
        return
    entry.results.append(result)
    if not result.latencies_s:
        entry.reason = next(iter(result.errors), "no answers")


def print_reasons(reasons: Mapping[str, str]) -> None:
    """Print, below a table, why some of its engines did not run."""
    for name, reason in reasons.items():
        print(f"{name}: {reason}")
