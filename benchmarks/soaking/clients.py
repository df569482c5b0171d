"""The clients of a soak, in a process of their own: sends calls and writes down how each ended.

    python -m benchmarks.soaking.clients JOB.json OUTCOMES.jsonl

One process on one core: it must not slow the server more than it must. Outcomes are lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.soaking.doors import Answer, GrpcDoor, HttpDoor
from benchmarks.soaking.ledger import Outcome
from benchmarks.soaking.messages import make_message
from benchmarks.soaking.plan import OVER_GRPC, Call, Kind, Plan

_CANCELS = (Kind.CANCELLED,)
_STALLS = ("stalled", "half a header")


@dataclass(frozen=True)
class Job:
    """What the clients are to do.

    Attributes:
        address: HOST:PORT of the server's gRPC port.
        http_address: HOST:PORT of its HTTP port.
        token: A token that the server knows.
        files: The clips; their numbers are their places.
        silence: A file without sound.
        plan: The calls.
        num_clients: Calls at once, each sent when another has ended, for the plan's duration; 0:
            each is sent when it is due.
        patience_s: After so long without an answer a call counts as one that hangs.
    """

    address: str
    http_address: str
    token: str
    files: list[str]
    silence: str
    plan: Plan
    num_clients: int = 0
    patience_s: float = 120.0


class Clients:
    """Sends calls; see `Job`."""

    def __init__(self, job: Job, write: Callable[[Outcome], None]) -> None:
        """Take the job, and what gets each outcome."""
        self._job = job
        self._write = write
        self._audio = [Path(path).read_bytes() for path in job.files]
        self._silence = Path(job.silence).read_bytes()
        host, _, port = job.http_address.rpartition(":")
        self._http = HttpDoor(host, int(port))
        self._grpc = GrpcDoor(job.address)
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()

    async def run(self) -> None:
        """Send every call, and wait until each has ended."""
        self._start_s = self._loop.time()
        if self._job.num_clients:
            calls = self._job.plan.calls()
            await asyncio.gather(*(self._client(calls) for _ in range(self._job.num_clients)))
        else:
            await self._open_loop(self._job.plan.calls())
        await self._grpc.close()

    async def _client(self, calls: Iterator[Call]) -> None:
        for call in calls:
            now_s = self._loop.time()
            if now_s - self._start_s >= self._job.plan.duration_s:
                return
            await self._one(call, now_s)

    async def _open_loop(self, calls: Iterable[Call]) -> None:
        tasks: set[asyncio.Task[None]] = set()
        for call in calls:
            due_s = self._start_s + call.due_s
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            tasks.add(task := asyncio.create_task(self._one(call, due_s)))
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _one(self, call: Call, due_s: float) -> None:
        """Send one call and write how it ended, whatever happens."""
        audio = self._audio[call.clip]
        message = make_message(call, audio, self._silence, self._job.token)
        answer = Answer()
        door = self._grpc if call.door in OVER_GRPC else self._http
        asking = asyncio.create_task(door.ask(call, message, answer))
        leaves = call.kind in _CANCELS or call.case in _STALLS
        await asyncio.wait({asking}, timeout=call.wait_s if leaves else self._job.patience_s)
        ended_s = self._loop.time()
        if not asking.done():
            asking.cancel()
            await asyncio.wait({asking})
            answer = Answer("CUT" if leaves else "HUNG")
        elif (error := asking.exception()) is not None:
            answer = Answer(f"{type(error).__name__}: {error}")
        from_s = max(due_s, answer.uploaded_s) if call.kind is Kind.SLOW else due_s
        times_s = (round(ended_s - from_s, 4), round(ended_s - self._start_s, 2))
        self._write(Outcome(call.number, answer.status, answer.text, *times_s))


def read_job(path: Path) -> Job:
    """Return the job in a file of JSON."""
    content = json.loads(path.read_text(encoding="utf-8"))
    shares = {Kind(name): share for name, share in content["plan"].pop("shares").items()}
    return Job(**{**content, "plan": Plan(**content["plan"], shares=shares)})


def main() -> None:
    """Read the job, run it, and write the outcomes."""
    job_path, outcomes_path = map(Path, sys.argv[1:])
    job = read_job(job_path)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    with outcomes_path.open("w", encoding="utf-8") as file:

        def write(outcome: Outcome) -> None:
            file.write(json.dumps(asdict(outcome)) + "\n")

        async def run() -> None:
            await Clients(job, write).run()

        asyncio.run(run())


if __name__ == "__main__":
    main()
