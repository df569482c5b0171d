"""Peers as processes: their environments, how they are asked, and what they used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.baselines.protocol import Options, Setup
from benchmarks.load import Answer, Load

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = Path(__file__).parent / "environments"  # not kept by git
_BASELINES = Path(__file__).parent / "baselines"
_OWN = ("talkmill", "engine")  # run in the environment of the benchmark
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_errors = Console(stderr=True)


class PeerFailed(Exception):
    """A peer could not be built, started or asked; the message says why."""


@dataclass(frozen=True)
class Result:
    """What one job gave.

    Attributes:
        wall_s: Until the last answer.
        cpu_s: Processor time of the peer's processes, its clients included where they are apart.
        answers: Of each request.
    """

    wall_s: float
    cpu_s: float
    answers: Sequence[Answer]

    @property
    def latencies_s(self) -> list[float]:
        """Of the requests that were answered."""
        return [answer.latency_s for answer in self.answers if not answer.error]

    @property
    def errors(self) -> Counter[str]:
        """How often each error came."""
        return Counter(answer.error for answer in self.answers if answer.error)


@dataclass
class Peer:
    """One engine, set up in one way.

    Attributes:
        name: In the tables.
        folder: Among the baselines.
        setup: What it is opened with.
        versions: Of its packages, once it runs.
    """

    name: str
    folder: str
    setup: Setup
    versions: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Build the environment if it is not there, and load the model.

        Raises:
            PeerFailed: That did not work.
        """
        command = [str(environment(self.folder)), "-m", f"benchmarks.baselines.{self.folder}.run"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCHMARKS_VERBOSE") else subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        try:
            self.versions = self._ask(asdict(self.setup))["versions"]
        except PeerFailed:
            self.close()
            raise

    def run(self, clips: Path, load: Load, options: Options) -> Result:
        """Return what the peer makes of a load.

        Raises:
            PeerFailed: It ended.
        """
        assert self._process is not None
        before_s = cpu_s(self._process.pid)
        job = {"clips": str(clips), "load": asdict(load), "options": asdict(options)}
        answer = self._ask(job)
        used_s = cpu_s(self._process.pid) - before_s
        return Result(answer["wall_s"], used_s, [Answer(**one) for one in answer["answers"]])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()  # closes its input, which ends it
            self._process = None

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; the next line says so
        if not (line := process.stdout.readline()):
            code = process.wait()
            raise PeerFailed(f"ended with code {code}; BENCHMARKS_VERBOSE=1 shows what it said")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running(peers: Sequence[Peer]) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """Give the peers that could be started, and why the others could not, by name."""
    with ExitStack() as stack:
        started: list[Peer] = []
        failed: dict[str, str] = {}
        for peer in peers:
            stack.callback(peer.close)
            try:
                peer.start()
                started.append(peer)
            except PeerFailed as error:
                failed[peer.name] = str(error)
                _errors.print(f"{peer.name}: {error}", highlight=False)
        yield started, failed


def environment(folder: str) -> Path:
    """Return the Python of a peer's environment, built first if it is not there.

    Raises:
        PeerFailed: Its packages could not be installed.
    """
    if folder in _OWN or os.environ.get("BENCHMARKS_SAME_ENVIRONMENT"):
        return Path(sys.executable)
    requirements = _BASELINES / folder / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    target = ENVIRONMENTS / f"{folder}-{digest}"
    python = target / "bin" / "python"
    if not (target / "complete").exists():
        _errors.print(f"building {target.name}", highlight=False)
        venv.create(target, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise PeerFailed(f"its packages cannot be installed: {lines[-1] if lines else ''}")
        (target / "complete").touch()
    return python


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and of everything below it that still runs."""
    total = 0.0
    for one in (pid, *_descendants(pid)):
        try:
            text = Path(f"/proc/{one}/stat").read_text()
        except OSError:  # it has just ended
            continue
        fields = text.rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return total


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)
