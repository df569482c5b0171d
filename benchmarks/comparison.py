"""What the benchmarks with peers share: which engines there are, models, and fair rounds."""

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
    """What every engine may use.

    Attributes:
        threads: Of the CPU, in all.
        compute_type: As CTranslate2 calls it.
        device: "cpu" or "cuda".
    """

    threads: int = 2
    compute_type: str = "int8"
    device: str = "cpu"

    def setup(self, model: Path, **options: object) -> Setup:
        """Return what an engine is opened with."""
        return Setup(str(model), self.threads, self.compute_type, self.device, options)


@dataclass
class Entry:
    """An engine with what it is asked.

    Attributes:
        peer: The engine.
        options: Of its requests.
        results: Of each round.
        reason: Why there are none.
    """

    peer: Peer
    options: Options
    results: list[Result] = field(default_factory=list)
    reason: str = ""

    @property
    def name(self) -> str:
        """In the tables."""
        size = self.options.batch_size
        batch = f", batch {size}" if size else ""
        vad = ", no VAD" if self.options.vad is False else ""
        return f"{self.peer.name}{batch}{vad}"


def get_model(name: str, folder: Path, num_tokens: int, quantization: str = "int8") -> Path:
    """Return the folder of a model below `folder`: the demo's, or one of true shape."""
    target = folder / f"{name}-{num_tokens}-{quantization}"
    if target.exists():
        return target
    if name == DEMO:
        return Path(shutil.copytree(DEMO_FOLDER, target))
    return build_model(target, SHAPES[name], quantization, num_tokens=num_tokens)


def talkmill(machine: Machine, model: Path, window_s: str = "", arguments: str = "") -> Peer:
    """Return talkmill behind gRPC.

    Args:
        machine: What it may use.
        model: A folder.
        window_s: Lengths of the encoder's window, with commas; empty for what the model declares.
        arguments: More, for `talkmill serve`.
    """
    given = [*(("--encoder-windows-s", window_s) if window_s else ()), *arguments.split()]
    name = "talkmill" + (f", {window_s} s window" if window_s else "")
    return Peer(name, "talkmill", machine.setup(model, arguments=given))


def faster_whisper(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return what people deploy: a pool of threads and a replica each; for one file all threads."""
    num_workers = 1 if is_one_file else machine.threads if machine.device == "cpu" else 2
    setup = machine.setup(model, num_workers=num_workers)
    return Peer(f"faster-whisper, {_workers(num_workers)}", "faster_whisper", setup)


def _workers(number: int) -> str:
    return f"{number} worker" + "s" * (number != 1)


def faster_whisper_batched(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return its batched pipeline: one file at a time, with all threads."""
    return Peer("faster-whisper batched", "faster_whisper", machine.setup(model, num_workers=1))


def whisper_cpp(machine: Machine, model: Path, is_one_file: bool) -> Peer:
    """Return whisper.cpp with the same weights: a context for each thread, or one for one file."""
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
"""By name: made from the machine, a folder of CTranslate2, and whether the load is one file."""


def run_rounds(
    entries: Sequence[Entry],
    clips: Path,
    load: Load | Mapping[str, Load],
    rounds: int,
    title: str,
) -> None:
    """Add the result of each round to each entry.

    Every round runs every engine, one at a time, so that noise meets all alike; every second round
    runs backwards. An engine that ends gets the reason, and is left out from then on.
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
    """Run a few clips through each engine, for nothing."""
    load = Load("closed", num_clients=2, duration_s=1.0)
    for entry in entries:
        if not entry.reason:
            _run(entry, clips, load)
            entry.results.clear()


def replace_results(entry: Entry) -> Entry:
    """Return the same engine without results, to run it for another purpose."""
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
    """Say below a table why some of its rows are empty."""
    for name, reason in reasons.items():
        print(f"{name}: {reason}")
