"""Decodes or sends damaged files for some time, and counts what becomes of them.

    python tests/fuzz_audio.py --seconds 600 --first-seed 1
    python tests/fuzz_audio.py --seconds 600 --first-seed 1 --served

Prints one line of JSON at the end; the exit status is 1 if a file broke anything. A file is known
by its seed: `hostile_file(seed)`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import requests
from hostile_files import hostile_file

from talkmill.engine import AudioTooLong, InvalidAudio
from talkmill.engine.audio.decode import decode_audio

MAX_CPU_S = 10.0  # for a file
MAX_WALL_S = 120.0  # the same on a machine that is busy with something else
MAX_FILE_BYTES = 300 * 2**20  # of memory, for a file of less than 1 MB
MAX_AUDIO_S = 3600.0
SERVE = (sys.executable, "-m", "talkmill.server", "serve", "--port", "0", "--http-port", "0")


def peak_bytes(pid: int | str = "self") -> int:
    """Return the most memory a process had since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak(pid: int | str = "self") -> None:
    """Count the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def decode(file: bytes) -> str:
    """Return what became of a file."""
    try:
        for _ in decode_audio(io.BytesIO(file), MAX_AUDIO_S, lambda warning: None):
            pass
    except (InvalidAudio, AudioTooLong):
        return "refused"
    except Exception as error:
        return f"error {error!r}"
    return "transcribed"


def outcomes(first_seed: int) -> Iterator[str]:
    """Yield what became of each file, from a child that is started again when it dies."""
    seed = first_seed
    while True:
        read_end, write_end = os.pipe()
        child = os.fork()
        if not child:
            os.close(read_end)
            _decode_on(seed, write_end)
        os.close(write_end)
        try:
            while select.select([read_end], [], [], MAX_WALL_S)[0] and (found := _line(read_end)):
                yield found
                seed += 1
        finally:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            os.close(read_end)
        yield "hung" if status == signal.SIGKILL else f"crashed {status}"
        seed += 1


def _line(read_end: int) -> str:
    return b"".join(iter(lambda: os.read(read_end, 1).strip(b"\n"), b"")).decode()


def _decode_on(seed: int, write_end: int) -> None:
    av.logging.set_level(av.logging.PANIC)
    while True:
        file = hostile_file(seed)
        forget_peak()
        before, start_s = peak_bytes(), time.process_time()
        result = decode(file)
        grown, cpu_s = peak_bytes() - before, time.process_time() - start_s
        if grown > MAX_FILE_BYTES:
            result = f"memory {grown >> 20} MB"
        elif cpu_s > MAX_CPU_S:
            result = f"slow {cpu_s:.0f} s"
        os.write(write_end, f"{result}\n".encode())
        seed += 1


def served_outcomes(first_seed: int) -> Iterator[str]:
    """Yield what a server's process says to each file; ends when it has ended."""
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        announcement = server.stdout.readline()
        url = "http://" + announcement.split()[-1].removeprefix("http://")
        try:
            for seed in range(first_seed, 2**62):
                forget_peak(server.pid)
                before = peak_bytes(server.pid)
                try:
                    answer = requests.post(url, data=hostile_file(seed), timeout=MAX_WALL_S)
                except requests.RequestException as error:
                    yield f"crashed {server.poll()} {error!r}"
                    return
                grown = peak_bytes(server.pid) - before
                if answer.status_code >= 500:
                    yield f"error {answer.status_code} {answer.text[:200]}"
                elif grown > MAX_FILE_BYTES:
                    yield f"memory {grown >> 20} MB"
                else:
                    yield "transcribed" if answer.ok else "refused"
        finally:
            server.kill()


def run(first_seed: int, seconds: float, source: Callable[[int], Iterator[str]]) -> int:
    """Count outcomes for some time; return how many files broke anything."""
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    broken: dict[int, str] = {}
    for seed, outcome in enumerate(source(first_seed), first_seed):
        counts[outcome.split()[0]] += 1
        if outcome not in ("transcribed", "refused"):
            broken[seed] = outcome
            print(seed, outcome, file=sys.stderr, flush=True)
        if time.monotonic() > end:
            break
    print(json.dumps({"tried": counts.total(), **counts, "broken": broken}))
    return len(broken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--served", action="store_true")
    arguments = parser.parse_args()
    source = served_outcomes if arguments.served else outcomes
    sys.exit(bool(run(arguments.first_seed, arguments.seconds, source)))
