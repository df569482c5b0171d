"""How does talkmill compare with its peers, with the same weights, options and machine?

    python -m benchmarks.versus --workload commands --models tiny,base,demo [--record]
    python -m benchmarks.versus --workload meeting --models base [--record]

Theory. On short clips an engine with a fixed window encodes 30 s for each, whatever its length. The
rest is generation, which batches well: a step reads every weight once for all rows. faster-whisper
never batches across files, so it pays both for every clip. A model that declares a shorter window
saves most of the encoder's time. On one long file the peers' batched modes do the same as talkmill;
what remains is the overlap of the CPU stage with the model, and less padding.

Every engine runs in its own process, talkmill as `talkmill serve` with clients over gRPC, the
others as libraries, which is in their favour. Rounds are interleaved. All decode greedily, in
English, without timestamps, fallback and previous text. The number of tokens of an answer is built
into the weights (see `shapes`). The demo model's clips have transcripts, so its table has word
errors. "RTFx CPU" divides by CPU seconds, which other work on the machine disturbs less. In the
open loop, requests are sent at a constant rate: a share of the speed of the first peer ("ceiling").
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
    warm_up,
    without_results,
)
from benchmarks.corpus import DIGITS, SPEECH, find_manifest
from benchmarks.load import Load
from benchmarks.metrics import Figures, figures
from benchmarks.peers import running
from benchmarks.report import finish, print_table, stamp
from benchmarks.workloads import Clip

_HEAD = ("engine", "RTFx", "x", "RTFx CPU", "x", "p50 s", "p95 s", "requests/s", "tokens", "WER %")


def make_clips(
    workload: str, model: str, folder: Path, corpus: Path | None, meeting_s: float
) -> list[Clip]:
    """Write the workload's clips into `folder` and return them; digits for the demo model."""
    if workload == "meeting":
        return workloads.meeting(folder, find_manifest(corpus, SPEECH), meeting_s)
    if model == DEMO:
        return workloads.digits(folder, find_manifest(corpus, DIGITS))
    return workloads.commands(folder, find_manifest(corpus, SPEECH))


def best_batch_size(entry: Entry, clips: Path, load: Load, sizes: Sequence[int]) -> Options:
    """Return options with the fastest batch size of `sizes`; the entry's own if none runs."""
    tries = [replace(without_results(entry), options=Options(batch_size=n)) for n in sizes]
    run_rounds(tries, clips, load, 1, "batch size")
    ran = [one for one in tries if one.results]
    return min(ran, key=lambda one: one.results[0].wall_s).options if ran else entry.options


def measure(
    entries: Sequence[Entry], clips: Sequence[Clip], load: Load, rounds: int, title: str
) -> dict[str, Figures | str]:
    """Run all rounds; return each engine's figures, or the reason why it did not run."""
    manifest = Path(clips[0].path).parent / "clips.json"
    run_rounds(entries, manifest, load, rounds, title)
    return {one.name: one.reason or figures(one.results, clips) for one in entries}


def show(title: str, rows: dict[str, Figures | str], reference: str) -> None:
    """Print a table; the columns "x" are ratios to the row `reference`."""
    base = rows.get(reference)
    base = base if isinstance(base, Figures) else None
    lines = []
    for name, row in rows.items():
        if isinstance(row, str):
            lines.append((name, "not run", *[""] * (len(_HEAD) - 2)))
            continue
        lines.append(
            (
                name,
                f"{row.rtfx:.2f}",
                f"{row.rtfx / base.rtfx:.2f}" if base else "",
                f"{row.rtfx_cpu:.2f}",
                f"{row.rtfx_cpu / base.rtfx_cpu:.2f}" if base else "",
                f"{row.p50_s:.2f}",
                f"{row.p95_s:.2f}",
                f"{row.requests_per_s:.2f}" + (f" -{row.num_errors}" if row.num_errors else ""),
                "" if row.tokens_per_clip is None else f"{row.tokens_per_clip:.1f}",
                "" if row.wer is None else f"{100 * row.wer:.1f}",
            )
        )
    print_table(title, _HEAD, lines)
    print_reasons({name: row for name, row in rows.items() if isinstance(row, str)})


def make_entries(machine: Machine, model: Path, given: dict[str, Any]) -> list[Entry]:
    """Return the peers, the reference first, then talkmill for each window.

    Raises:
        click.BadParameter: A name in --peers is not in `PEERS`.
    """
    is_one_file = given["workload"] == "meeting"
    names = [name for name in given["peers"].split(",") if name]
    if unknown := [name for name in names if name not in PEERS]:
        raise click.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(PEERS)}", param_hint="--peers"
        )
    entries = [Entry(PEERS[name](machine, model, is_one_file), Options()) for name in names]
    for entry in entries:
        if "batched" in entry.peer.name or "transformers" in entry.peer.name:
            entry.options = Options(batch_size=8)
    # talkmill detects speech in clips by default, faster-whisper does not: run talkmill both ways.
    modes = [Options()] if is_one_file else [Options(), Options(vad=False)]
    return entries + [
        Entry(talkmill(machine, model, window_s, given["serve_arguments"]), options)
        for window_s in given["windows_s"]
        for options in modes
    ]


def compare(
    name: str, entries: list[Entry], clips: list[Clip], given: dict[str, Any]
) -> dict[str, Any]:
    """Run all engines with one model; print its tables and return its part of the result."""
    manifest = workloads.write_manifest(Path(clips[0].path).parent / "clips.json", clips)
    is_meeting = given["workload"] == "meeting"
    closed = Load("closed", given["clients"], given["seconds"])
    load = Load("once") if is_meeting else closed
    with running([entry.peer for entry in entries]) as (_, failed):
        for entry in entries:
            entry.reason = failed.get(entry.peer.name, "")
        if not is_meeting:
            warm_up(entries, manifest)
        sizes = [int(size) for size in given["batch_sizes"].split(",")]
        for entry in entries if is_meeting else ():
            if entry.options.batch_size and not entry.reason:
                entry.options = best_batch_size(entry, manifest, load, sizes)
        rows = measure(entries, clips, load, given["rounds"], name)
        reference = entries[0].name
        show(f"{name}: {given['workload']}", rows, reference)
        result: dict[str, Any] = {"ceiling": plain(rows)}
        base = rows[reference]
        if given["shares"] and not is_meeting and isinstance(base, Figures):
            for share in map(float, given["shares"].split(",")):
                load = Load("open", 0, given["seconds"], share * base.requests_per_s)
                again = [without_results(entry) for entry in entries]
                rows = measure(again, clips, load, given["rounds"], f"{name}, open loop")
                show(f"{name}: open loop at {share:g} of {reference}'s ceiling", rows, reference)
                result[f"open_{share:g}"] = plain(rows)
    result["versions"] = {entry.name: entry.peer.versions for entry in entries}
    return result


def plain(rows: dict[str, Figures | str]) -> dict[str, Any]:
    """Return the rows as the JSON that is recorded."""
    return {
        name: {"reason": row}
        if isinstance(row, str)
        else {key: value and round(value, 4) for key, value in asdict(row).items()}
        for name, row in rows.items()
    }


@click.command()
@click.option(
    "--workload", type=click.Choice(["commands", "meeting"]), default="commands", show_default=True
)
@click.option("--models", default="tiny,base,demo", show_default=True)
@click.option(
    "--peers",
    default="faster-whisper,faster-whisper-batched,whisper.cpp",
    show_default=True,
    help=f"Peers, the reference first: {', '.join(PEERS)}.",
)
@click.option(
    "--windows-s",
    multiple=True,
    default=("30", "5"),
    show_default=True,
    help="talkmill's encoder windows. Can be repeated; each gives a row. Empty: those that the "
    "model declares.",
)
@click.option("--clients", default=workloads.NUM_CLIENTS, show_default=True)
@click.option("--seconds", default=15.0, show_default=True, help="Duration of each loop.")
@click.option(
    "--shares",
    default="0.9",
    show_default=True,
    help="Rates of the open loops, as shares of the reference's speed.",
)
@click.option("--meeting-s", default=600.0, show_default=True)
@click.option(
    "--batch-sizes",
    default="1,2,4,8,16",
    show_default=True,
    help="Batch sizes of batched peers that are tried on the meeting.",
)
@click.option("--rounds", default=2, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--compute-type", default="int8", show_default=True)
@click.option("--serve-arguments", default="", help="More arguments of talkmill serve.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print the speed and latency of talkmill and its peers."""
    machine = Machine(given["threads"], given["compute_type"])
    is_meeting = given["workload"] == "meeting"
    num_tokens = workloads.MEETING_TOKENS if is_meeting else workloads.COMMAND_TOKENS
    started = stamp(**given, corpus=str(corpus or "default"))
    results = {}
    for name in given["models"].split(","):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            clips = make_clips(given["workload"], name, root, corpus, given["meeting_s"])
            model = get_model(name, root, num_tokens)
            results[name] = compare(name, make_entries(machine, model, given), clips, given)
    finish("versus", {"stamp": started, "models": results}, record)


if __name__ == "__main__":
    main()
