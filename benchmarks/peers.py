"""Peers as processes: their environments, requests to them, and their CPU time."""

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
ENVIRONMENTS = Path(__file__).parent / "environments"  # ignored by git
_BASELINES = Path(__file__).parent / "baselines"
_OWN = ("talkmill", "engine")  # run in the environment of the benchmark
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_errors = Console(stderr=True)


class PeerFailed(Exception):
    """A peer could not be installed or started, or ended; the message says why."""


@dataclass(frozen=True)
class Result:
    """The result of one job.

    Attributes:
        wall_s: Wall seconds until the last answer.
        cpu_s: CPU seconds of the peer's processes, including those of its clients.
        answers: One for each request.
    """

    wall_s: float
    cpu_s: float
    answers: Sequence[Answer]

    @property
    def latencies_s(self) -> list[float]:
        """Latencies of the requests that were answered."""
        return [answer.latency_s for answer in self.answers if not answer.error]

    @property
    def errors(self) -> Counter[str]:
        """The number of times that each error occurred."""
        return Counter(answer.error for answer in self.answers if answer.error)


@dataclass
class Peer:
    """One engine with one setup, in a process of its own.

    Attributes:
        name: Its name in the tables.
        folder: Its folder in `baselines`.
        setup: Model, resources and options.
        versions: Versions of its packages, after `start`.
    """

    name: str
    folder: str
    setup: Setup
    versions: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Create the environment if it is absent, start the process and load the model.

        Raises:
            PeerFailed: The packages cannot be installed, or the process ends.
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
        """Run a load on the peer and return the result.

        Args:
            clips: The manifest of the clips.
            load: The requests to send.
            options: The options of every request.

        Raises:
            PeerFailed: The process ends before it answers.
        """
        assert self._process is not None
        before_s = cpu_s(self._process.pid)
        job = {"clips": str(clips), "load": asdict(load), "options": asdict(options)}
        answer = self._ask(job)
        used_s = cpu_s(self._process.pid) - before_s
        return Result(answer["wall_s"], used_s, [Answer(**one) for one in answer["answers"]])

    def close(self) -> None:
        """Close the process's standard input, which ends it, and wait for its end."""
        if self._process is not None:
            self._process.communicate()
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
            pass  # the process has ended: readline returns an empty line
        if not (line := process.stdout.readline()):
            code = process.wait()
            raise PeerFailed(f"ended with code {code}; BENCHMARKS_VERBOSE=1 shows its output")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running(peers: Sequence[Peer]) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """Start the peers; yield those that started, and by name why the others did not."""
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
    """Return the Python of a peer's environment; create the environment if it is absent.

    Raises:
        PeerFailed: The packages cannot be installed.
    """
    if folder in _OWN or os.environ.get("BENCHMARKS_SAME_ENVIRONMENT"):
        return Path(sys.executable)
    requirements = _BASELINES / folder / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    target = ENVIRONMENTS / f"{folder}-{digest}"
    python = target / "bin" / "python"
    if not (target / "complete").exists():
        _errors.print(f"creating the environment {target.name}", highlight=False)
        venv.create(target, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise PeerFailed(f"its packages cannot be installed: {lines[-1] if lines else ''}")
        (target / "complete").touch()
    return python


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its descendants that still run."""
    total = 0.0
    for one in (pid, *descendants(pid)):
        try:
            text = Path(f"/proc/{one}/stat").read_text()
        except OSError:  # the process has just ended
            continue
        fields = text.rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return total


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, and those that they have."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            started = children.read_text().split()
        except OSError:  # the thread has just ended
            continue
        for child in map(int, started):
            yield child
            yield from descendants(child)
