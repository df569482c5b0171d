"""Servers as processes of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SERVE = (sys.executable, "-m", "talkmill.server", "serve", "--port", "0")


@contextlib.contextmanager
def server_process(
    log: Path, *args: str, command: Sequence[str] = SERVE, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give a process that serves, and its address; kill it if it is left over.

    Args:
        log: Where its messages go.
        args: Arguments after those of `command`; it serves the demo model unless they say else.
        command: What is run; its first line of output ends with the address.
        variables: More environment variables.
    """
    outside = {name: value for name, value in os.environ.items() if "TALKMILL_" not in name}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, *args],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=outside | variables,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            announcement = process.stdout.readline()
            assert announcement, log.read_text()
            yield process, announcement.split()[-1]
        finally:
            process.kill()
