"""Watches a server while it works: its memory, files and threads, its health, its metrics."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.peers import descendants

INTERVAL_S = 1.0
_HEALTH_TIMEOUT_S = 10.0
_ESTABLISHED = "01"  # of the states in /proc/net/tcp


@dataclass(frozen=True)
class Sample:
    """The state of a server at one instant, of all its processes together.

    Attributes:
        time_s: Seconds from the start.
        rss_mb: Resident memory, in 10^6 bytes.
        fds: Open file descriptors, without those of live connections: what is left of connections
            that their clients ended is among them.
        connections: Live connections.
        threads: Threads.
        health: HTTP status of its health; 0 without an answer.
        health_s: How long that answer took.
    """

    time_s: float
    rss_mb: float
    fds: int
    connections: int
    threads: int
    health: int
    health_s: float


@dataclass
class Watch:
    """Samples of a server, taken every `INTERVAL_S`."""

    samples: list[Sample] = field(default_factory=list)


@contextmanager
def watching(pid: int, address: str, http_address: str) -> Iterator[Watch]:
    """Take samples of a server until the block ends.

    Args:
        pid: Its process.
        address: HOST:PORT of its gRPC port.
        http_address: The base of its HTTP addresses.
    """
    watch = Watch()
    ended = threading.Event()
    start_s = time.monotonic()

    def run() -> None:
        for number in range(2**31):
            if ended.wait(max(0.0, start_s + number * INTERVAL_S - time.monotonic())):
                return
            watch.samples.append(take_sample(pid, address, http_address, start_s))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def take_sample(pid: int, address: str, http_address: str, start_s: float) -> Sample:
    """Return the state of a server now; `start_s` is an instant of `time.monotonic`."""
    rss_mb, fds, threads = 0.0, 0, 0
    for one in (pid, *descendants(pid)):
        folder = Path(f"/proc/{one}")
        try:
            fields = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
            rss_mb += int(fields["VmRSS"].split()[0]) * 1024 / 1e6
            threads += int(fields["Threads"])
            fds += sum(1 for _ in (folder / "fd").iterdir())
        except (OSError, KeyError):  # it has just ended
            continue
    connections = _num_connections({_port(address), _port(http_address)})
    asked_s = time.monotonic()
    health = _health(http_address)
    now_s = time.monotonic()
    time_s, health_s = asked_s - start_s, now_s - asked_s
    return Sample(time_s, rss_mb, fds - connections, connections, threads, health, health_s)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _num_connections(ports: set[int]) -> int:
    """Return the number of connections to these ports of this machine that both ends keep open."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        if (path := Path("/proc/net") / name).exists()
        for line in path.read_text().splitlines()[1:]
    ]
    return sum(
        int(local.rpartition(":")[2], 16) in ports and state == _ESTABLISHED
        for _, local, _, state, *_ in lines
    )


def _health(http_address: str) -> int:
    try:
        url = f"{http_address}/health"
        with urllib.request.urlopen(url, timeout=_HEALTH_TIMEOUT_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@dataclass(frozen=True)
class Counters:
    """A server's own counts.

    Attributes:
        calls: Calls that have ended, by protocol and gRPC status.
        in_progress: Requests accepted and not yet answered.
        waiting: Chunks waiting for the model.
    """

    calls: dict[tuple[str, str], float]
    in_progress: float
    waiting: float

    def since(self, earlier: Counters) -> dict[tuple[str, str], float]:
        """Return the calls that have ended since `earlier`, without those that are none."""
        calls = {key: number - earlier.calls.get(key, 0) for key, number in self.calls.items()}
        return {key: number for key, number in calls.items() if number}


def read_counters(http_address: str, token: str) -> Counters:
    """Return the counts in a server's metrics."""
    headers = {"authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{http_address}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    values = {
        (sample.name, sample.labels.get("door", ""), sample.labels.get("status", "")): sample.value
        for family in families
        for sample in family.samples
    }
    return Counters(
        {key[1:]: value for key, value in values.items() if key[0] == "talkmill_requests_total"},
        values["talkmill_requests_in_progress", "", ""],
        values["talkmill_chunks_waiting", "", ""],
    )


def wait_until_idle(http_address: str, token: str, timeout_s: float = 30.0) -> Counters:
    """Return a server's counts once nothing is in progress, or after `timeout_s`."""
    give_up_s = time.monotonic() + timeout_s
    while True:
        counters = read_counters(http_address, token)
        is_idle = not counters.in_progress and not counters.waiting
        if is_idle or time.monotonic() > give_up_s:
            return counters
        time.sleep(0.2)
