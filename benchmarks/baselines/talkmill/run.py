"""talkmill, through gRPC: a `talkmill serve` process, and this one for its clients.

Options: `arguments` (of `talkmill serve`), or `address` (of a server that runs already).
"""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from pathlib import Path

from benchmarks.baselines.protocol import Options, Setup, serve
from talkmill.engine import GenerationParameters, TranscribeOptions, VadMode
from talkmill.server import Client

_VAD = {None: VadMode.AUTO, True: VadMode.ON, False: VadMode.OFF}


class Talkmill:
    """A server's clients; the server too, unless an address is given."""

    def __init__(self, setup: Setup) -> None:
        """Start the server, and wait until it serves."""
        self._client = Client(setup.options.get("address") or self._start(setup))

    def _start(self, setup: Setup) -> str:
        command = [sys.executable, "-m", "talkmill.server", "serve", "--port", "0"]
        command += ["--model", setup.model, "--device", setup.device, "--log-level", "warning"]
        command += ["--compute-type", setup.compute_type, *setup.options.get("arguments", ())]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        weakref.finalize(self, server.terminate)
        assert server.stdout is not None
        if not (announcement := server.stdout.readline()):
            raise RuntimeError(f"{' '.join(command)} ended with code {server.wait()}")
        return announcement.split()[-1]

    def transcribe(self, path: str, options: Options) -> str:
        """Send a file and return its text."""
        asked = TranscribeOptions(
            language="en",
            vad=_VAD[options.vad],
            timestamps=options.timestamps,
            parameters=GenerationParameters(max_new_tokens=options.max_new_tokens),
        )
        with Path(path).open("rb") as audio:
            return self._client.transcribe(audio, asked).text


if __name__ == "__main__":
    threading.stack_size(512 * 1024)  # of many clients
    serve(Talkmill, ("talkmill", "ctranslate2", "onnxruntime", "grpcio"))
