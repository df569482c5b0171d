"""talkmill through gRPC: a `talkmill serve` process, with the clients in this process.

Options: `arguments` (of `talkmill serve`), or `address` (of a server that is already running).
"""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.baselines.protocol import Options, Setup, encode_segments, serve
from talkmill.engine import GenerationParameters, TranscribeOptions, VadMode
from talkmill.server import Client

_VAD = {None: VadMode.AUTO, True: VadMode.ON, False: VadMode.OFF}


def start_server(
    setup: Setup, log: IO[str] | None = None
) -> tuple[subprocess.Popen[str], str, str]:
    """Start `talkmill serve`; return the process and its gRPC and HTTP addresses once it serves.

    Args:
        setup: Its setup.
        log: The file that gets its log; None for standard error.

    Raises:
        RuntimeError: The process ended before it served.
    """
    command = [sys.executable, "-m", "talkmill.server", "serve", "--port", "0", "--http-port", "0"]
    command += ["--model", setup.model, "--device", setup.device, "--log-level", "warning"]
    command += ["--max-queue-s", "0"]  # what it takes at full load is measured
    command += ["--cache-bytes", "0"]  # clips are sent repeatedly; each must be computed
    command += ["--compute-type", setup.compute_type, *setup.options.get("arguments", ())]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout is not None
    if not (announcement := server.stdout.readline()):
        raise RuntimeError(f"{' '.join(command)} ended with code {server.wait()}")
    *_, address, _, http_address = announcement.split()
    return server, address, http_address


@contextmanager
def running_server(setup: Setup) -> Iterator[tuple[int, str, str]]:
    """Start `talkmill serve`, yield its process id, gRPC and HTTP address, and stop it."""
    server, address, http_address = start_server(setup)
    try:
        yield server.pid, address, http_address
    finally:
        server.terminate()
        server.wait()


class Talkmill:
    """A client of a server, which it starts unless an address is given."""

    def __init__(self, setup: Setup) -> None:
        """Start the server if there is no address, wait until it serves, and connect."""
        address = setup.options.get("address")
        if not address:
            server, address, _ = start_server(setup)
            weakref.finalize(self, server.terminate)
        self._client = Client(address)

    def transcribe(self, path: str, options: Options) -> str:
        """Send a file and return its text, or its segments."""
        with Path(path).open("rb") as audio:
            transcript = self._client.transcribe(audio, to_talkmill(options))
        if options.segments:
            return encode_segments((one.start_s, one.text) for one in transcript.segments)
        return transcript.text


# Without a parameter the server decodes as it does by default: three beams and the gates. With one,
# each chunk is decoded once, and nothing that random weights say is dropped.
_GREEDY: dict[str, Any] = {"temperature": 0.0}


def to_talkmill(options: Options) -> TranscribeOptions:
    """Return the options as talkmill's `TranscribeOptions`."""
    return TranscribeOptions(
        language="en",
        vad=_VAD[options.vad],
        timestamps=options.timestamps,
        parameters=GenerationParameters(
            max_new_tokens=options.max_new_tokens,
            **({} if options.search == "default" else _GREEDY),
        ),
    )


if __name__ == "__main__":
    threading.stack_size(512 * 1024)  # small, as there is a thread for each client
    serve(Talkmill, ("talkmill", "ctranslate2", "onnxruntime", "grpcio"))
