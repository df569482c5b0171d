"""The protocol of a peer's process: JSON lines on standard input and output.

The first line is the setup; it is answered with `{"versions": ...}` once the model is loaded. Each
further line is a job; its answer has the wall seconds and the latency and text of every request.
Imports the standard library only: it runs in the peers' environments.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.load import Load, run_load


@dataclass(frozen=True)
class Setup:
    """The setup of an engine.

    Attributes:
        model: A CTranslate2 folder, or the model converted for the peer.
        threads: CPU threads in total.
        compute_type: CTranslate2's name of the number type.
        device: "cpu" or "cuda".
        options: Options of this peer; see its `run.py`.
    """

    model: str
    threads: int
    compute_type: str
    device: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Options:
    """The options of a request, in English; greedy unless `search` says otherwise.

    Attributes:
        timestamps: Whether the model writes timestamps.
        max_new_tokens: Most tokens of a chunk; None if the weights limit it.
        vad: Whether silence is cut out; None for the engine's default.
        batch_size: Chunks of one file in a batch; 0 for one chunk at a time. Only engines with such
            an option use it.
        search: How faster-whisper decodes. "bare": greedy, every chunk exactly once, nothing
            suppressed or dropped, for random weights. "greedy": greedy, without temperature
            fallback and previous text, the rest by default. "default": all by default (5 beams,
            fallback, previous text, timestamps); talkmill has 3 beams and fallback then.
        segments: Whether the answer is that of `encode_segments` instead of the text; needs
            timestamps. whisper.cpp and transformers cannot.
    """

    timestamps: bool = False
    max_new_tokens: int | None = None
    vad: bool | None = None
    batch_size: int = 0
    search: str = "bare"
    segments: bool = False


def encode_segments(segments: Iterable[tuple[float, str]]) -> str:
    """Return segments, each the start in seconds and the text, as the text of an answer."""
    return json.dumps(list(segments))


def decode_segments(answer: str) -> list[tuple[float, str]]:
    """Return the segments of an answer made by `encode_segments`."""
    return [(start_s, text) for start_s, text in json.loads(answer)]


class Engine(Protocol):
    """A peer with its model loaded."""

    def transcribe(self, path: str, options: Options) -> str:
        """Return the text of a file. Called from many threads; the peer limits its own threads."""


def serve(open_engine: Callable[[Setup], Engine], packages: Sequence[str]) -> None:
    """Answer jobs until standard input ends.

    Args:
        open_engine: Loads the peer.
        packages: Packages whose versions are reported.
    """
    # Libraries print to standard output: send that to standard error, not among the answers.
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
