"""Does speed cost accuracy? Word errors beside speed, and how far engines agree.

    python -m benchmarks.accuracy [--record]
    python -m benchmarks.accuracy --talkmill "--compute-type int8" --talkmill "..."

The demo model transcribes strings of digits that it was not trained on, and the bundled sample:
word errors of each engine, without and with timestamps. Models with random weights have no correct
answer, but the same weights should give the same answer: "agrees" is the share of words that an
engine has in common, in order, with the first engine. With random weights many tokens are almost
equally likely, and one different token changes all that follow. Engines in int8 whose kernels or
padding differ therefore agree far less than on trained models: compare rows with each other, or use
`--compute-type float32`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from benchmarks import workloads
from benchmarks.baselines.protocol import Options
from benchmarks.comparison import (
    DEMO,
    PEERS,
    Entry,
    Machine,
    get_model,
    print_reasons,
    run_rounds,
    talkmill,
)
from benchmarks.corpus import DEMO_FOLDER, DIGITS, SPEECH, find_manifest, read
from benchmarks.load import Load
from benchmarks.metrics import figures
from benchmarks.peers import Result, running
from benchmarks.report import finish, print_table, stamp
from benchmarks.workloads import Clip
from training.scoring import edit_distance

_HEAD = ("engine", "timestamps", "WER %", "sample's WER %", "agrees %", "RTFx", "tokens")


def make_clips(name: str, root: Path, corpus: Path | None, num_clips: int) -> list[Clip]:
    """Return the clips for a model; for the demo model the last one is the bundled sample."""
    if name != DEMO:
        return workloads.commands(root, find_manifest(corpus, SPEECH), num_clips)
    sample = DEMO_FOLDER / "sample.flac"
    duration_s = len(read(sample)) / 16_000
    text = " ".join((DEMO_FOLDER / "sample.txt").read_text("utf-8").split())
    clips = workloads.digits(root, find_manifest(corpus, DIGITS), num_clips)
    return [*clips, Clip(str(sample), duration_s, text)]


def agreement(result: Result, reference: Result) -> float:
    """Return the share of the reference's words that the result has too, in the same order."""
    texts = {answer.clip: answer.text.split() for answer in result.answers}
    num_errors = num_words = 0
    for answer in reference.answers:
        words = answer.text.split()
        num_errors += min(len(words), edit_distance(words, texts[answer.clip]))
        num_words += len(words)
    return 1 - num_errors / max(1, num_words)


def make_entries(
    name: str, machine: Machine, model: Path, variants: Sequence[str], peers: Sequence[str]
) -> list[Entry]:
    """Return the peers and talkmill's variants; for the demo model also with timestamps."""
    everyone = [PEERS[peer](machine, model, False) for peer in peers]
    for arguments in variants:
        peer = talkmill(machine, model, arguments=arguments)
        peer.name = f"talkmill {arguments}".strip()
        everyone.append(peer)
    kinds = (False, True) if name == DEMO else (False,)
    return [
        Entry(peer, Options(timestamps=timestamps, batch_size=8 * ("batched" in peer.name)))
        for timestamps in kinds
        for peer in everyone
    ]


def describe(entries: Sequence[Entry], clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Return a row for each entry."""
    rows = []
    for entry in entries:
        row: dict[str, Any] = {"engine": entry.name, "timestamps": entry.options.timestamps}
        if entry.reason:
            rows.append(row | {"reason": entry.reason})
            continue
        result = entry.results[0]
        row |= asdict(figures([result], clips))
        if clips[-1].text:
            last = len(clips) - 1
            parts = {"sample_wer": {last}, "wer": set(range(last))}
            for figure, numbers in parts.items():
                answers = [answer for answer in result.answers if answer.clip in numbers]
                row[figure] = figures([replace(result, answers=answers)], clips).wer
        first = next(
            one
            for one in entries
            if one.results and one.options.timestamps == entry.options.timestamps
        )
        row["agreement"] = agreement(result, first.results[0])
        rows.append(row)
    return rows


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}"

    lines = []
    reasons = {}
    for row in rows:
        if reason := row.get("reason"):
            lines.append((row["engine"], "not run", *[""] * (len(_HEAD) - 2)))
            reasons[row["engine"]] = reason
            continue
        lines.append(
            (
                row["engine"],
                "on" if row["timestamps"] else "off",
                percent(row["wer"]),
                percent(row.get("sample_wer")),
                percent(row["agreement"]),
                f"{row['rtfx']:.1f}",
                "" if row["tokens_per_clip"] is None else f"{row['tokens_per_clip']:.1f}",
            )
        )
    print_table(title, _HEAD, lines)
    print_reasons(reasons)


@click.command()
@click.option("--models", default="demo,tiny", show_default=True)
@click.option("--peers", default="faster-whisper,whisper.cpp", show_default=True)
@click.option(
    "--talkmill",
    "variants",
    multiple=True,
    default=("", "--encoder-windows 30"),
    show_default=True,
    help="Arguments of talkmill serve. Can be repeated; each gives a row.",
)
@click.option(
    "--clips", "num_clips", default=120, show_default=True, help="Clips for the demo model."
)
@click.option("--random-clips", default=24, show_default=True, help="Clips for the other models.")
@click.option("--threads", default=2, show_default=True)
@click.option("--compute-type", default="int8", show_default=True)
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print word errors and speed of each engine."""
    machine = Machine(given["threads"], given["compute_type"])
    started = stamp(**given)
    results: dict[str, Any] = {}
    peers = [peer for peer in given["peers"].split(",") if peer]
    for name in given["models"].split(","):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            num_clips = given["num_clips"] if name == DEMO else given["random_clips"]
            clips = make_clips(name, root, corpus, num_clips)
            manifest = workloads.write_manifest(root / "clips.json", clips)
            model = get_model(name, root, workloads.COMMAND_TOKENS)
            entries = make_entries(name, machine, model, given["variants"], peers)
            unique = {id(entry.peer): entry.peer for entry in entries}
            with running(list(unique.values())) as (_, failed):
                for entry in entries:
                    entry.reason = failed.get(entry.peer.name, "")
                load = Load("once", num_clients=workloads.NUM_CLIENTS)
                run_rounds(entries, manifest, load, 1, name)
            results[name] = describe(entries, clips)
        show(f"{name}: {len(clips)} clips", results[name])
    finish("accuracy", {"stamp": started, "models": results}, record)


if __name__ == "__main__":
    main()
