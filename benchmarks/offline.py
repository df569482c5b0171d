"""How fast is the engine alone, and how much of that is left through gRPC?

    python -m benchmarks.offline [--models demo,tiny] [--record]

Theory. gRPC costs a copy of the compressed audio and an event in the server's loop, both small
against a model that runs for tens of milliseconds. A higher cost can be the loop's wait for the
interpreter's lock. The bar is 95 % of the engine's speed through gRPC, clients included.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks import workloads
from benchmarks.baselines.protocol import Options
from benchmarks.comparison import Entry, Machine, get_model, talkmill, warm_up
from benchmarks.load import Load
from benchmarks.peers import Peer, running
from benchmarks.report import finish, stamp
from benchmarks.versus import make_clips, measure, plain, show


@click.command()
@click.option("--models", default="demo,tiny", show_default=True)
@click.option("--workloads", "names", default="commands,meeting", show_default=True)
@click.option(
    "--window-s", default="", help="Encoder windows. Default: those that the model declares."
)
@click.option("--clients", default=workloads.NUM_CLIENTS, show_default=True)
@click.option("--seconds", default=8.0, show_default=True, help="Duration of each closed loop.")
@click.option("--meeting-s", default=300.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--timestamps", is_flag=True, help="Ask for timestamps; for the demo model only.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print the speed of the engine alone and through gRPC."""
    machine = Machine()
    started = stamp(**given)
    results: dict[str, Any] = {}
    for name in given["models"].split(","):
        for workload in given["names"].split(","):
            is_meeting = workload == "meeting"
            num_tokens = workloads.MEETING_TOKENS if is_meeting else workloads.COMMAND_TOKENS
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                clips = make_clips(workload, name, root, corpus, given["meeting_s"])
                manifest = workloads.write_manifest(root / "clips.json", clips)
                model = get_model(name, root, num_tokens)
                options = Options(timestamps=given["timestamps"])
                entries = [
                    Entry(_engine(machine, model, given["window_s"]), options),
                    Entry(talkmill(machine, model, given["window_s"]), options),
                ]
                load = Load("closed", given["clients"], given["seconds"])
                with running([entry.peer for entry in entries]):
                    if not is_meeting:
                        warm_up(entries, manifest)
                    load = Load("once") if is_meeting else load
                    rows = measure(entries, clips, load, given["rounds"], name)
            show(f"{name}: {workload}", rows, entries[0].name)
            results[f"{name}, {workload}"] = plain(rows)
    finish("offline", {"stamp": started, "models": results}, record)


def _engine(machine: Machine, model: Path, window_s: str) -> Peer:
    config = {"encoder_windows": window_s} if window_s else {}
    return Peer("engine", "engine", machine.setup(model, config=config))


if __name__ == "__main__":
    main()
