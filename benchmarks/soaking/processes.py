"""The server of a soak and the process with its clients."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.baselines.talkmill.run import start_server
from benchmarks.comparison import Machine
from benchmarks.peers import ROOT, cpu_s
from benchmarks.soaking.clients import Job
from benchmarks.soaking.clips import Clips
from benchmarks.soaking.ledger import Outcome
from benchmarks.soaking.plan import Plan
from benchmarks.soaking.verdict import MAX_STOP_S
from talkmill.server.auth import new_token

_CACHE_BYTES = 64 * 2**20  # the default; one call in ten may be answered from it
MAX_QUEUE_S = 10.0  # the default of `talkmill serve`
_UPLOAD_TIMEOUT_S = 8.0  # some stalled uploads last longer, and no slow one pauses as long


@dataclass
class Running:
    """A server under test.

    Attributes:
        process: Its process.
        address: HOST:PORT of its gRPC port.
        http_address: The base of its HTTP addresses.
        token: A token that it knows.
        log: Its log.
        stop_s: How long it took to stop, once it has.
    """

    process: subprocess.Popen[str]
    address: str
    http_address: str
    token: str
    log: Path
    stop_s: float = 0.0


@contextmanager
def running(model: Path, folder: Path, arguments: Sequence[str]) -> Iterator[Running]:
    """Start a server that wants a token, and stop it after the block."""
    token, entry = new_token("soak")
    log = folder / "server.log"
    given = ["--auth-tokens", entry, "--cache-bytes", str(_CACHE_BYTES)]
    given += ["--upload-timeout-s", str(_UPLOAD_TIMEOUT_S)]
    given += ["--max-queue-s", f"{MAX_QUEUE_S:g}", *arguments]  # other benchmarks have none
    with log.open("w", encoding="utf-8") as file:
        setup = Machine().setup(model, arguments=given)
        process, address, http_address = start_server(setup, log=file)
        server = Running(process, address, http_address, token, log)
        try:
            yield server
        finally:
            start_s = time.monotonic()
            process.terminate()
            try:
                process.wait(2 * MAX_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            server.stop_s = time.monotonic() - start_s


@dataclass(frozen=True)
class Sent:
    """What came of the calls of a plan.

    Attributes:
        outcomes: How each ended.
        wall_s: How long it took.
        clients_cores: CPU seconds of the clients over that.
        server_cores: CPU seconds of the server over that.
        code: The clients' exit code.
    """

    outcomes: list[Outcome]
    wall_s: float
    clients_cores: float
    server_cores: float
    code: int


def send(server: Running, clips: Clips, plan: Plan, folder: Path, num_clients: int = 0) -> Sent:
    """Send the calls of a plan from a process of their own, and return how they ended."""
    job = Job(
        server.address,
        server.http_address.removeprefix("http://"),
        server.token,
        clips.files,
        str(clips.silence),
        plan,
        num_clients,
    )
    job_path, outcomes_path = folder / "job.json", folder / "outcomes.jsonl"
    job_path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.soaking.clients"]
    command += [str(job_path), str(outcomes_path)]
    before_s, start_s = cpu_s(server.process.pid), time.monotonic()
    clients = subprocess.Popen(command, cwd=ROOT)
    clients_s = 0.0
    while clients.poll() is None:
        clients_s = cpu_s(clients.pid) or clients_s
        time.sleep(0.2)
    wall_s = time.monotonic() - start_s
    with outcomes_path.open(encoding="utf-8") as file:
        # A last line without its end is of clients that were killed.
        outcomes = [Outcome(**json.loads(line)) for line in file if line.endswith("\n")]
    server_s = cpu_s(server.process.pid) - before_s
    code = clients.returncode
    return Sent(outcomes, wall_s, clients_s / wall_s, server_s / wall_s, code)
