"""Does a server keep its promises to everyone while it is overloaded and abused?

    python -m benchmarks.soak [--quick] [--minutes 30] [--model FOLDER] [--plot FILE.svg] [--record]

Theory. At 120 % of what the server can do, the excess has to be refused, and everything else must
be as on a quiet day: each call ends with its own words, with the refusal that it earned, or cut by
its client. So each call has a number and an outcome. Words are compared with those that the same
server gave when it was quiet; no two clips have the same, so another's words are seen. Slow and
broken clients, calls that cannot be answered and attacks go on all the time (`soaking.plan`), over
all doors. What is left behind would accumulate: memory, open files and threads must not grow.

Capacity is measured first, in a closed loop of valid calls. Then calls with a file and an answer
come at `--load` times that rate, all others on top of it. Growth is the slope of the lowest sample
of each minute after warm-up. Latency counts from when a call was
due, that of a slow one from the end of its upload; its p99 may be `--max-queue-s` of the server and
the p99 of the closed loop, which is what calls take themselves while the machine is full. The first
third is no part of the growth: some connections that clients have broken stay until the server ends
them, ten minutes later. The server's metrics must agree with what the clients saw. The run depends
on `--seed`. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.comparison import DEMO, get_model
from benchmarks.metrics import percentile
from benchmarks.plot import plot_soak
from benchmarks.report import finish, print_table, stamp
from benchmarks.soaking.clips import Clips, ask_quietly, write_files
from benchmarks.soaking.ledger import Counts, Ledger, compare_counts
from benchmarks.soaking.plan import ANSWERABLE, SHARES, Kind, Plan
from benchmarks.soaking.processes import MAX_QUEUE_S, Running, running, send
from benchmarks.soaking.verdict import MAX_STOP_S, Verdict, series
from benchmarks.soaking.watch import Counters, wait_until_idle, watching

_NUM_CLIPS = 32
_NUM_CLIENTS = 32  # of the closed loop, in which capacity is measured
_FAULTS_SHOWN = 20
_QUICK = {"minutes": 3.0, "max_growth": 0.1, "warm_up": 0.4}


def measure_capacity(
    server: Running, clips: Clips, plan: Plan, folder: Path
) -> tuple[float, float]:
    """Return what the server does in a closed loop of valid calls: calls per second, and their p99.

    Raises:
        click.ClickException: A call did not get its words.
    """
    sent = send(server, clips, plan, folder, _NUM_CLIENTS)
    calls = {call.number: call for call in plan.calls()}
    ledger = Ledger(clips.texts, calls)
    ledger.enter(sent.outcomes)
    if ledger.faults:
        raise click.ClickException(f"without overload: {ledger.faults[0]}")
    answered = ledger.accepted()  # others may have been refused as overload
    own_s = percentile([outcome.latency_s for outcome in answered], 99)
    return len(answered) / max(outcome.ended_s for outcome in answered), own_s


def soak(server: Running, clips: Clips, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the soak and return its record; its faults are under "faults"."""
    sizes = (len(clips.short), len(clips.long))
    valid = Plan(given["seed"] + 1, 1_000.0, given["capacity_s"], *sizes, {Kind.VALID: 1.0})
    capacity, own_s = measure_capacity(server, clips, valid, folder)
    rate_per_s = given["load"] * capacity / sum(SHARES[kind] for kind in ANSWERABLE)
    duration_s = 60 * given["minutes"]
    plan = Plan(given["seed"], rate_per_s, duration_s, *sizes, SHARES)
    before = wait_until_idle(server.http_address, server.token)
    with watching(server.process.pid, server.address, server.http_address) as watch:
        sent = send(server, clips, plan, folder)

    ledger = Ledger(clips.texts, {call.number: call for call in plan.calls()})
    ledger.enter(sent.outcomes)
    ledger.close()
    verdict = Verdict(faults=ledger.faults)
    counts = check_counters(server, before, ledger, verdict)
    under_load = [sample for sample in watch.samples if sample.time_s <= duration_s]
    verdict.check("exit code of the clients", abs(sent.code), 0)
    verdict.figures["refused as overload"] = ledger.num_overloaded
    verdict.check_latency(ledger.accepted(), given["max_p99_s"] or MAX_QUEUE_S + own_s)
    verdict.check_growth(under_load, given["warm_up"], given["max_growth"])
    verdict.check_health(watch.samples)
    return {
        "capacity_per_s": round(capacity, 2),
        "own_p99_s": round(own_s, 3),
        "rate_per_s": round(rate_per_s, 2),
        "num_calls": len(ledger.calls),
        "ends": ledger.count(),
        "figures": verdict.figures,
        "clients_cores": round(sent.clients_cores, 3),
        "server_cores": round(sent.server_cores, 3),
        "counts": {" ".join(key): number for key, number in counts.items()},
        "series": series(ledger, watch.samples),
        "faults": verdict.faults,
    }


def check_counters(server: Running, before: Counters, ledger: Ledger, verdict: Verdict) -> Counts:
    """Compare the server's counts with the clients', once nothing is in progress; return them."""
    try:
        after = wait_until_idle(server.http_address, server.token)
    except OSError as error:
        verdict.faults.append(f"the server's metrics cannot be read: {error}")
        return {}
    counts = after.since(before)
    verdict.faults += compare_counts(ledger, counts)
    verdict.check("requests left in progress", after.in_progress, 0)
    verdict.check("chunks left waiting", after.waiting, 0)
    return counts


def check_end(server: Running, record: dict[str, Any]) -> None:
    """Add to the record how the server stopped, and what its log says that it should not."""
    verdict = Verdict(record["figures"], record["faults"])
    verdict.check("seconds to stop", server.stop_s, MAX_STOP_S)
    verdict.check("exit code", abs(server.process.returncode), 0)
    log = server.log.read_text(encoding="utf-8", errors="replace")
    verdict.check("tracebacks in the log", log.count("Traceback"), 0)
    if (place := log.find("Traceback")) >= 0:  # the log itself is kept with --keep only
        record["faults"].append(log[max(0, place - 500) : place + 3000])
    record["log_bytes"] = len(log)


def show(record: dict[str, Any]) -> None:
    """Print what the calls came to, the figures, and the first faults."""
    ends = sorted({end for counts in record["ends"].values() for end in counts})
    rows = [
        (kind, *(str(counts.get(end, "")) for end in ends))
        for kind, counts in record["ends"].items()
    ]
    title = f"{record['num_calls']} calls, {record['rate_per_s']}/s"
    print_table(title, ("kind", *ends), rows)
    figures = [
        (name, *(str(value.get(part, "")) for part in ("first", "last", "share", "value", "most")))
        if isinstance(value, dict)
        else (name, "", "", "", str(value), "")
        for name, value in record["figures"].items()
    ]
    print_table("Figures", ("figure", "first", "last", "share", "value", "at most"), figures)
    for fault in record["faults"][:_FAULTS_SHOWN]:
        click.echo(f"WRONG: {fault}", err=True)


def write_evidence(folder: Path, root: Path) -> None:
    """Copy what the clients saw and what the server wrote into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("job.json", "outcomes.jsonl", "server.log"):
        shutil.copy(root / name, folder / name)


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long calls are sent.")
@click.option("--quick", is_flag=True, help="3 minutes; growth may be 10 %, as memory settles.")
@click.option("--load", default=1.2, show_default=True, help="Rate over the measured capacity.")
@click.option("--model", default=DEMO, show_default=True, help="demo, or a CTranslate2 folder.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--seed", default=1, show_default=True, help="Makes the calls others.")
@click.option(
    "--capacity-s", default=10.0, show_default=True, help="How long capacity is measured."
)
@click.option(
    "--max-p99-s",
    type=float,
    help="Bar of the latency of accepted calls. Default: --max-queue-s of the server and the p99 "
    "of the closed loop.",
)
@click.option("--max-growth", default=0.01, show_default=True, help="Bar of the growth.")
@click.option("--warm-up", default=0.35, show_default=True, help="Share of the run before growth.")
@click.option("--serve-arguments", default="", help="Arguments of talkmill serve.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for every outcome."
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG or SVG file.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(
    quick: bool,
    corpus: Path | None,
    keep: Path | None,
    plot: Path | None,
    record: bool,
    **given: Any,
) -> None:
    """Soak a server and say what is wrong with it."""
    if quick:
        given |= _QUICK
    started = stamp(**given)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = write_files(root, given["model"], corpus, _NUM_CLIPS)
        model = get_model(DEMO, root, 0) if given["model"] == DEMO else Path(given["model"])
        with running(model, root, given["serve_arguments"].split()) as server:
            clips = ask_quietly(server.address, server.token, *files)
            result = soak(server, clips, given, root)
        check_end(server, result)
        if keep:
            write_evidence(keep, root)
    show(result)
    if plot:
        plot_soak(result, f"talkmill, {Path(given['model']).name} model, {started['cpu']}", plot)
    num_faults = len(result["faults"])
    result["faults"] = result["faults"][:_FAULTS_SHOWN]
    finish("soak", {"stamp": started, "num_faults": num_faults, **result}, record)
    if num_faults:
        raise click.ClickException(f"{num_faults} faults")


if __name__ == "__main__":
    main()
