"""How do speed and latency of a server depend on the number of clients and the rate of requests?

    python -m benchmarks.serving [--model demo] [--plot FILE.svg] [--record]
    python -m benchmarks.serving --workload mixed --model base [--record]

Theory. In a closed loop the speed rises with the number of clients until the cores are busy; from
then on only the latency rises, as clients over speed (Little's law). In an open loop, with requests
at a constant rate, latency stays near that of one request until the rate is near the highest speed.
`mixed` sends a long file at the same time: requests take turns, so short ones should wait for a
batch or two of the file, not for all of it; their p95 latency may double at most.

The server is a `talkmill serve` process, with several client processes, and real speech if there is
a corpus. The latency of an open loop counts from the instant at which the request was due (see
`load`). Server and clients have a column each for their CPU time. The server measures the lag of
its event loop 20 times a second; "late" is the share over 20 ms. Below 1 %, the lag's p99 is within
20 ms.
"""

from __future__ import annotations

import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import workloads
from benchmarks.baselines.protocol import Options
from benchmarks.baselines.talkmill.run import running_server
from benchmarks.comparison import DEMO, Machine, get_model
from benchmarks.corpus import SPEECH, find_manifest
from benchmarks.load import Load
from benchmarks.metrics import Figures, figures
from benchmarks.peers import Peer, Result, cpu_s, running
from benchmarks.plot import plot_serving
from benchmarks.report import finish, print_table, stamp
from benchmarks.versus import make_clips, plain
from benchmarks.workloads import Clip

_HEAD = (
    "load",
    "RTFx",
    "p50 s",
    "p95 s",
    "requests/s",
    "server CPU",
    "clients' CPU",
    "late %",
    "WER %",
)
_FEWEST_REQUESTS = 40  # of an open loop


@dataclass
class Bench:
    """A server and its clients.

    Attributes:
        clients: The client processes.
        server_pid: Process id of the server.
        http_address: The server's HTTP address, for its metrics.
        manifest: The manifest of the clips.
        clips: The clips that are sent.
        options: The options of every request.
    """

    clients: list[Peer]
    server_pid: int
    http_address: str
    manifest: Path
    clips: Sequence[Clip]
    options: Options


@dataclass(frozen=True)
class Row:
    """The result of one load.

    Attributes:
        figures: Speed, latency and counts.
        server_cores: CPU seconds of the server over wall seconds.
        late: Share of the measurements in which the server's event loop was over 20 ms late.
    """

    figures: Figures
    server_cores: float
    late: float


@contextmanager
def serving(
    machine: Machine, model: Path, arguments: str, num_processes: int
) -> Iterator[tuple[list[Peer], int, str]]:
    """Start a server and its client processes; yield these, its process id and HTTP address."""
    setup = machine.setup(model, arguments=arguments.split())
    with running_server(setup) as (pid, address, http_address):
        setup = machine.setup(model, address=address)
        peers = [Peer(f"clients {number}", "talkmill", setup) for number in range(num_processes)]
        with running(peers) as (started, failed):
            if failed:
                raise click.ClickException("; ".join(failed.values()))
            yield started, pid, http_address


def run(bench: Bench, load: Load) -> Row:
    """Share a load among the client processes and return the result."""
    parts = share(load, len(bench.clients))
    before_s = cpu_s(bench.server_pid)
    before = _loop_lags(bench.http_address)
    with ThreadPoolExecutor(len(parts)) as pool:
        jobs: list[Future[Result]] = [
            pool.submit(client.run, bench.manifest, part, bench.options)
            for client, part in zip(bench.clients, parts, strict=False)
        ]
        results = [job.result() for job in jobs]
    server_s = cpu_s(bench.server_pid) - before_s
    total, in_time = np.subtract(_loop_lags(bench.http_address), before)
    wall_s = max(part.delay_s + one.wall_s for part, one in zip(parts, results, strict=True))
    answers = [answer for result in results for answer in result.answers]
    clients_s = sum(result.cpu_s for result in results)
    own = figures([Result(wall_s, clients_s, answers)], bench.clips)
    return Row(own, server_s / wall_s, float(1 - in_time / total))


def _loop_lags(http_address: str) -> tuple[float, float]:
    """Return how often the server measured its event loop's lag, and how often it was <= 20 ms."""
    with urllib.request.urlopen(f"{http_address}/metrics") as response:
        lines = response.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    lag = "talkmill_event_loop_lag_seconds"
    return float(values[f"{lag}_count"]), float(values[f'{lag}_bucket{{le="0.02"}}'])


def share(load: Load, num_processes: int) -> list[Load]:
    """Return the load of each process; processes without a client are left out."""
    if load.kind == "open":
        rate_per_s = load.rate_per_s / num_processes
        return [
            replace(load, rate_per_s=rate_per_s, first_clip=17 * i, delay_s=i / load.rate_per_s)
            for i in range(num_processes)
        ]
    counts = [len(range(i, load.num_clients, num_processes)) for i in range(num_processes)]
    return [
        replace(load, num_clients=count, first_clip=17 * i)
        for i, count in enumerate(counts)
        if count
    ]


def open_loop(rate_per_s: float, seconds: float) -> Load:
    """Return an open loop of `seconds`, or longer if needed for a 95th percentile."""
    return Load("open", 0, max(seconds, _FEWEST_REQUESTS / rate_per_s), rate_per_s)


def measure_loads(bench: Bench, given: dict[str, Any]) -> dict[str, Row]:
    """Return the rows of the closed loops, then of open loops at shares of their best speed."""
    seconds = given["seconds"]
    run(bench, Load("closed", 4, 1.0))
    rows = {}
    for clients in map(int, given["clients"].split(",")):
        rows[f"closed, {clients} clients"] = run(bench, Load("closed", clients, seconds))
    ceiling = max(row.figures.requests_per_s for row in rows.values())
    for part in map(float, given["shares"].split(",")):
        rate = part * ceiling
        name = f"open, {rate:.1f}/s ({part:g} of the best)"
        rows[name] = run(bench, open_loop(rate, seconds))
    return rows


def measure_mixed(bench: Bench, meeting: Path, given: dict[str, Any]) -> dict[str, Row]:
    """Return the rows of the short requests, without and with long files at the same time."""
    *clients, extra = bench.clients
    bench = replace(bench, clients=clients)
    seconds = given["seconds"]
    run(bench, Load("closed", 4, 1.0))
    closed = Load("closed", workloads.NUM_CLIENTS, seconds)
    rows = {"closed, 32 clients": run(bench, closed)}
    rate = given["mixed_share"] * rows["closed, 32 clients"].figures.requests_per_s
    steady = open_loop(rate, seconds)
    rows[f"open, {rate:.1f}/s"] = run(bench, steady)
    for name, load in zip(list(rows), (closed, steady), strict=True):
        ended = threading.Event()

        def send_long_files(ended: threading.Event = ended) -> None:
            while not ended.is_set():
                extra.run(meeting, Load("once"), Options(timestamps=bench.options.timestamps))

        thread = threading.Thread(target=send_long_files)
        thread.start()
        rows[f"{name}, with a meeting"] = run(bench, load)
        ended.set()
        thread.join()
    return rows


def show(title: str, rows: dict[str, Row]) -> None:
    """Print the table."""
    lines = []
    for name, row in rows.items():
        own = row.figures
        lines.append(
            (
                name,
                f"{own.rtfx:.1f}",
                f"{own.p50_s:.3f}",
                f"{own.p95_s:.3f}",
                f"{own.requests_per_s:.1f}" + (f" -{own.num_errors}" if own.num_errors else ""),
                f"{row.server_cores:.2f}",
                f"{own.cpu_s / own.wall_s:.2f}",
                f"{100 * row.late:.1f}",
                "" if own.wer is None else f"{100 * own.wer:.1f}",
            )
        )
    print_table(title, _HEAD, lines)


@click.command()
@click.option(
    "--workload", type=click.Choice(["commands", "mixed"]), default="commands", show_default=True
)
@click.option("--model", default=DEMO, show_default=True, help="demo, or the name of a shape.")
@click.option("--clients", default="1,2,4,8,16,32,64,128", show_default=True)
@click.option(
    "--shares",
    default="0.5,0.7,0.9",
    show_default=True,
    help="Rates of the open loops, as shares of the best closed loop.",
)
@click.option(
    "--mixed-share",
    default=0.3,
    show_default=True,
    help="Rate of the open loop in mixed, as a share of the closed loop.",
)
@click.option("--seconds", default=6.0, show_default=True, help="Duration of each load.")
@click.option(
    "--meeting-s", default=120.0, show_default=True, help="Length of the long file in mixed."
)
@click.option("--processes", default=3, show_default=True, help="Client processes.")
@click.option("--timestamps", is_flag=True, help="Ask for timestamps; for the demo model only.")
@click.option("--serve-arguments", default="", help="Arguments of talkmill serve.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG or SVG file to write."
)
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, plot: Path | None, **given: Any) -> None:
    """Print speed and latency for each load."""
    started = stamp(**given)
    is_mixed = given["workload"] == "mixed"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # In `mixed` both kinds of request share a model, so short ones limit their own tokens.
        num_tokens = workloads.MEETING_TOKENS if is_mixed else workloads.COMMAND_TOKENS
        limit = workloads.COMMAND_TOKENS if is_mixed and given["model"] != DEMO else None
        model = get_model(given["model"], root, num_tokens)
        clips = make_clips("commands", given["model"], root, corpus, 0)
        manifest = workloads.write_manifest(root / "clips.json", clips)
        options = Options(timestamps=given["timestamps"], max_new_tokens=limit)
        parts = serving(Machine(), model, given["serve_arguments"], given["processes"])
        with parts as (own, pid, http_address):
            bench = Bench(own, pid, http_address, manifest, clips, options)
            if is_mixed:
                source = find_manifest(corpus, SPEECH)
                long = workloads.meeting(root, source, given["meeting_s"])
                meeting = workloads.write_manifest(root / "meeting.json", long)
                rows = measure_mixed(bench, meeting, given)
            else:
                rows = measure_loads(bench, given)
    show(f"{given['model']}: {given['workload']}", rows)
    recorded = plain({name: row.figures for name, row in rows.items()})
    for name, row in rows.items():
        recorded[name] |= {"server_cores": round(row.server_cores, 3), "late": round(row.late, 4)}
    if plot:
        plot_serving(recorded, f"talkmill, {given['model']} model, {started['cpu']}", plot)
    finish("serving", {"stamp": started, "loads": recorded}, record)


if __name__ == "__main__":
    main()
