"""How a peer's process is talked to: JSON lines on standard input and output.

The first line is the setup; the answer `{"versions": ...}` says that the model is loaded. Each
further line is a job; its answer holds the seconds it took and every request's latency and text.
The standard library only: this runs in the peers' environments.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.load import Load, run_load


@dataclass(frozen=True)
class Setup:
    """What an engine is opened with.

    Attributes:
        model: A folder of CTranslate2, or what the peer's converter made of it.
        threads: Of the CPU, in all.
        compute_type: As CTranslate2 calls it.
        device: "cpu" or "cuda".
        options: The peer's own.
    """

    model: str
    threads: int
    compute_type: str
    device: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What each request asks for: greedy, English, no fallback, each chunk on its own.

    Attributes:
        timestamps: Whether the model writes times.
        max_new_tokens: Of each chunk; None where the weights say it.
        vad: Whether silence is cut out; None for the engine's own default.
        batch_size: Chunks of one file that go together; 0 for one after the other. Only for
            engines that are asked about it.
    """

    timestamps: bool = False
    max_new_tokens: int | None = None
    vad: bool | None = None
    batch_size: int = 0


class Engine(Protocol):
    """A peer, loaded."""

    def transcribe(self, path: str, options: Options) -> str:
        """Return the text of a file. Called from many threads; it limits itself."""


def serve(open_engine: Callable[[Setup], Engine], packages: Sequence[str]) -> None:
    """Answer jobs until standard input ends.

    Args:
        open_engine: Loads the peer.
        packages: Whose versions are reported.
    """
    # Libraries print; what they print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    engine = open_engine(Setup(**json.loads(sys.stdin.readline())))
    answer({"versions": {name: importlib.metadata.version(name) for name in packages}})
    for line in sys.stdin:
        job = json.loads(line)
        clips = [clip["path"] for clip in json.loads(Path(job["clips"]).read_text("utf-8"))]
        options = Options(**job["options"])

        def ask(number: int, clips: list[str] = clips, options: Options = options) -> str:
            return engine.transcribe(clips[number], options)

        wall_s, done = run_load(Load(**job["load"]), ask, len(clips))
        answer({"wall_s": wall_s, "answers": [asdict(one) for one in done]})
