"""Real weights on real speech: does talkmill say the same words as its peers, for less?

    python -m benchmarks.real --models FOLDER --speech FOLDER [--quick] [--record]
    python -m benchmarks.real ... --model tiny.en --workload joined --talkmill "--encoder openvino"

Theory. Random weights say how fast an engine is and a model of ten digits says little about errors.
What users lose shows on trained weights and on more than one clip at a time: sentences that are
missing after a pause, segments that start at the wrong time, and a short window that makes the
model go on after the last word. So every row has its errors beside its speed.

Workloads, all English: `short` (clips of 1 to 15 s), `pauses` (files of 20 to 30 s with pauses of 2
to 6 s), `joined` (files of 6 min with pauses of 0.1 to 3 s), `lj5` (5 min of one reader who hardly
pauses) and `mixed` (the latency of clips alone, and while a long file is transcribed). See
`real_speech`.

Engines: talkmill behind gRPC with speech detection and without a cache, and faster-whisper as a
library: greedy, with its defaults (5 beams, temperature fallback, previous text), and batched
greedy. talkmill runs with its defaults (3 beams, temperature fallback), and greedily beside the
greedy one. All get the same files at the same time, have the same cores (this process pins itself
and thereby them) and compute in int8. Rounds are interleaved. In the JSON line every round has its
own figures; the table has their medians.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks import real_speech, workloads
from benchmarks.baselines.protocol import Options
from benchmarks.comparison import PEERS, Entry, Machine, run_rounds, talkmill, without_results
from benchmarks.load import Load
from benchmarks.peers import Peer, running
from benchmarks.real_figures import describe, describe_mixed, show, show_mixed
from benchmarks.real_speech import QUICK, Clip, Sizes, SpokenFile
from benchmarks.report import finish, stamp

WORKLOADS = ("short", "pauses", "joined", "lj5", "mixed")
ENGINES = ("greedy", "default", "batched")  # faster-whisper's
_USES = ("files", "file")  # of faster-whisper: a worker for each core, or one with all of them
_BATCH_SIZE = 8
_NUM_CEILING_CLIPS = 8


def make_files(
    workload: str, folder: Path, clips: Sequence[Clip], sizes: Sizes
) -> list[SpokenFile]:
    """Return the files of a workload, those that are not clips written into `folder`.

    The last file of `mixed` is the long one.
    """
    if workload == "pauses":
        return real_speech.pauses(folder, clips, sizes.num_pauses)
    if workload == "joined":
        return real_speech.joined(folder, clips, sizes.joined_s)
    if workload == "lj5":
        return real_speech.lj5(folder, clips, sizes.num_reader_clips)
    files = real_speech.short(clips, sizes.num_clips)
    if workload == "mixed":
        files += real_speech.joined(folder, clips, (sizes.mixed_s,))
    return files


def make_peers(machine: Machine, model: Path, given: dict[str, Any]) -> dict[str, Peer]:
    """Return the processes: faster-whisper's by use, talkmill's by the names of their rows."""
    peers: dict[str, Peer] = {}
    if {"greedy", "default"} & set(given["engines"]):
        peers |= {use: PEERS["faster-whisper"](machine, model, use == "file") for use in _USES}
    if "batched" in given["engines"]:
        peers["batched"] = PEERS["faster-whisper-batched"](machine, model, False)
    for flags in given["talkmill"]:
        name = f"talkmill {flags}".strip()
        peers[name] = replace(talkmill(machine, model, arguments=flags), name=name)
    return peers


def make_entries(
    peers: Mapping[str, Peer], workload: str, is_one_file: bool, given: dict[str, Any]
) -> dict[str, Entry]:
    """Return the rows of a workload by name: faster-whisper's engines, then talkmill's."""
    is_long = workload in ("pauses", "joined", "lj5")
    vad = True if is_long or workload == "mixed" else None
    is_timed = is_long and given["timestamps"]
    greedy = Options(vad=vad, search="greedy", timestamps=is_timed, segments=is_timed)
    single = "file" if is_one_file else "files"
    engines = {
        "greedy": (single, greedy),
        "default": (single, replace(greedy, search="default")),
        "batched": ("batched", replace(greedy, batch_size=_BATCH_SIZE)),
    }
    chosen = {f"faster-whisper {name}": engines[name] for name in given["engines"]}
    entries = {name: Entry(peers[use], options) for name, (use, options) in chosen.items()}
    for name, peer in peers.items():
        if name.startswith("talkmill"):
            options = replace(greedy, vad=True)
            entries[name] = Entry(peer, replace(options, search="default"))
            if "greedy" in given["engines"] and workload != "mixed":
                entries[f"{name}, greedy"] = Entry(peer, options)
    return entries


def write_manifest(path: Path, files: Sequence[SpokenFile]) -> Path:
    """Write the files as the JSON file that the peers read; return the path."""
    clips = [workloads.Clip(str(one.path), one.duration_s, one.text) for one in files]
    return workloads.write_manifest(path, clips)


def measure(
    entries: dict[str, Entry],
    files: Sequence[SpokenFile],
    manifest: Path,
    rounds: int,
    title: str,
) -> dict[str, Any]:
    """Send all files at once to each engine in each round; print the table and return it."""
    load = Load("once", num_clients=workloads.NUM_CLIENTS)
    run_rounds(list(entries.values()), manifest, load, rounds, title)
    rows = {
        name: one.reason or describe(one.results, files, one.options.segments)
        for name, one in entries.items()
    }
    show(title, rows)
    return rows


def measure_mixed(
    entries: dict[str, Entry],
    files: Sequence[SpokenFile],
    folder: Path,
    sizes: Sizes,
    title: str,
) -> dict[str, Any]:
    """Send clips alone, then beside a long file; print the table and return it.

    The rate is constant and the same for all engines: a share of the first engine's speed. The long
    file, the last of `files`, is sent repeatedly.
    """
    *clips, _ = files
    alone = write_manifest(folder / "alone.json", clips)
    both = write_manifest(folder / "both.json", files)
    first = write_manifest(folder / "first.json", clips[:_NUM_CEILING_CLIPS])
    name, entry = next(iter(entries.items()))
    reference = without_results(entry)
    run_rounds([reference], first, Load("once", num_clients=2), 1, title)
    if reference.reason:
        raise click.ClickException(f"{name}: {reference.reason}")
    ceiling = reference.results[0]
    rate = sizes.mixed_share * len(ceiling.latencies_s) / ceiling.wall_s
    for manifest, num_background in ((alone, 0), (both, 1)):
        load = Load("open", 0, sizes.num_requests / rate, rate, num_background=num_background)
        run_rounds(list(entries.values()), manifest, load, 1, title)
    rows = {name: one.reason or describe_mixed(rate, *one.results) for name, one in entries.items()}
    show_mixed(f"{title}, {rate:.2f} clips/s", rows)
    return rows


def compare(
    workload: str,
    clips: Sequence[Clip],
    peers: Mapping[str, Peer],
    failed: Mapping[str, str],
    given: dict[str, Any],
) -> dict[str, Any]:
    """Run all engines on one workload; print its table and return its part of the result.

    Args:
        workload: One of `WORKLOADS`.
        clips: All recordings.
        peers: The processes; those in `failed` do not run.
        failed: Why they do not run, by the names of the processes.
        given: The options.
    """
    sizes: Sizes = given["sizes"]
    title = f"{given['model']}: {workload}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = make_files(workload, folder, clips, sizes)
        entries = make_entries(peers, workload, len(files) == 1, given)
        for one in entries.values():
            one.reason = failed.get(one.peer.name, "")
        if workload == "mixed":
            rows = measure_mixed(entries, files, folder, sizes, title)
        else:
            manifest = write_manifest(folder / "files.json", files)
            rows = measure(entries, files, manifest, given["rounds"], title)
    audio_s = round(sum(one.duration_s for one in files), 1)
    return {"files": len(files), "audio_s": audio_s, "engines": rows}


def compare_all(
    machine: Machine, model: Path, clips: Sequence[Clip], given: dict[str, Any]
) -> dict[str, Any]:
    """Run all engines with one model; print its tables and return its part of the result."""
    weights = hashlib.sha256((model / "model.bin").read_bytes()).hexdigest()
    peers = make_peers(machine, model, given)
    with running(list(peers.values())) as (started, failed):
        with tempfile.TemporaryDirectory() as folder:
            warm = write_manifest(Path(folder) / "warm.json", real_speech.short(clips, 2))
            entries = [Entry(peer, Options(vad=True)) for peer in started]
            run_rounds(entries, warm, Load("once", num_clients=2), 1, "warm-up")
        given = {**given, "model": model.name}
        parts = {name: compare(name, clips, peers, failed, given) for name in given["workloads"]}
    versions = {peer.name: peer.versions for peer in started}
    return {"weights_sha256": weights, "versions": versions, "workloads": parts}


def split_engines(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the names in the value of --engines, in order.

    Raises:
        click.BadParameter: A name is not in `ENGINES`.
    """
    names = tuple(name for name in value.split(",") if name)
    for name in names:
        if name not in ENGINES:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(ENGINES)}")
    return names


@click.command()
@click.option(
    "--models",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with a CTranslate2 folder for each model.",
)
@click.option(
    "--speech",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with transcripts.tsv and the audio files that it lists.",
)
@click.option(
    "--model",
    "names",
    multiple=True,
    default=("base",),
    show_default=True,
    help="Folder in --models. Can be repeated.",
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    type=click.Choice(WORKLOADS),
    default=WORKLOADS,
    help="Default: all. Can be repeated.",
)
@click.option(
    "--engines",
    default=",".join(ENGINES),
    show_default=True,
    callback=split_engines,
    help="How faster-whisper is run; the rate of mixed is a share of the first one's speed.",
)
@click.option(
    "--talkmill",
    multiple=True,
    default=("",),
    help="Flags of talkmill serve. Can be repeated; each gives a row.",
)
@click.option(
    "--timestamps/--no-timestamps",
    default=True,
    show_default=True,
    help="Whether long files are decoded with timestamps; clips are decoded without.",
)
@click.option("--rounds", default=2, show_default=True, help="Rounds; mixed has one.")
@click.option("--cores", default=2, show_default=True, help="Cores, and threads of each engine.")
@click.option("--quick", is_flag=True, help="Less audio and one round.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(models: Path, speech: Path, names: Sequence[str], record: bool, **given: Any) -> None:
    """Print word errors, lost sentences, times and speed on real weights."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given["cores"]])
    given["rounds"] = 1 if given["quick"] else given["rounds"]
    started = stamp(**{**given, "models": names})
    given["sizes"] = QUICK if given["quick"] else Sizes()
    clips = real_speech.read_clips(speech)
    machine = Machine(given["cores"])
    results = {name: compare_all(machine, models / name, clips, given) for name in names}
    finish("real", {"stamp": started, "models": results}, record)


if __name__ == "__main__":
    main()
