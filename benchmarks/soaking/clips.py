"""The audio of a soak, each with words that no other has, as a quiet server answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks import workloads
from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.comparison import DEMO
from benchmarks.corpus import DIGITS, SPEECH, find_manifest, read, write_flac
from benchmarks.soaking.messages import grpc_messages, make_message
from benchmarks.soaking.plan import VARIANTS, Call
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc

_FEWEST = 4
_LONG_S = 40.0
_SILENCE_S = 120.0


@dataclass(frozen=True)
class Clips:
    """Files and what is heard in them.

    Attributes:
        short: Files of 1 to 6 s.
        long: Files of `_LONG_S`.
        silence: A file without sound.
        texts: The words, by the number of the file (short ones first) and the variant.
    """

    short: list[Path]
    long: list[Path]
    silence: Path
    texts: dict[tuple[int, str], str]

    @property
    def files(self) -> list[str]:
        """All files with words; their places are their numbers."""
        return [str(path) for path in (*self.short, *self.long)]


def write_files(
    folder: Path, model: str, corpus: Path | None, num_clips: int
) -> tuple[list[Path], list[Path], Path]:
    """Write short files, long files, and one without sound.

    Args:
        folder: Where to.
        model: "demo", which knows digits, or another model.
        corpus: A manifest; None for the one beside the repository, or else the bundled sample.
        num_clips: Short files, at most.
    """
    clips = []
    if model == DEMO:
        clips = workloads.digits(folder, find_manifest(corpus, DIGITS), num_clips)
    if len(clips) < _FEWEST:
        speech = None if model == DEMO else find_manifest(corpus, SPEECH)
        clips = workloads.commands(folder, speech, num_clips)
    short = [Path(clip.path) for clip in clips]
    long = [_join(folder / f"long-{first}.flac", short[first:] + short[:first]) for first in (0, 1)]
    silence = write_flac(folder / "silence.flac", np.zeros(round(_SILENCE_S * SAMPLE_RATE), "f4"))
    return short, long, silence


def _join(path: Path, files: Sequence[Path]) -> Path:
    samples = np.concatenate([read(one) for one in files])
    wanted = round(_LONG_S * SAMPLE_RATE)
    return write_flac(path, np.tile(samples, 1 + wanted // len(samples))[:wanted])


def ask_quietly(
    address: str, token: str, short: Sequence[Path], long: Sequence[Path], silence: Path
) -> Clips:
    """Return the files that have words of their own, with these words.

    Args:
        address: HOST:PORT of a server that has nothing else to do.
        token: A token that it knows.
        short: The short files.
        long: The long files.
        silence: The file without sound.

    Raises:
        ValueError: Fewer than four short files have words of their own.
    """
    heard: dict[Path, dict[str, str]] = {}
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.TranscriptionStub(channel)
        for path in (*short, *long):
            # Long files have many chunks, so one variant of them is enough.
            variants = ["plain"] if path in long else list(VARIANTS)
            answers = {name: _ask(stub, path, name, token) for name in variants}
            others = {text for own in heard.values() for text in own.values()}
            if all(answers.values()) and not others & set(answers.values()):
                heard[path] = answers
    own_short = [path for path in short if path in heard]
    own_long = [path for path in long if path in heard]
    if len(own_short) < _FEWEST:
        raise ValueError(
            f"{len(own_short)} of {len(short)} clips have words of their own; {_FEWEST} are needed"
        )
    texts = {
        (number, variant): text
        for number, path in enumerate([*own_short, *own_long])
        for variant, text in heard[path].items()
    }
    return Clips(own_short, own_long, silence, texts)


def _ask(stub: pb_grpc.TranscriptionStub, path: Path, variant: str, token: str) -> str:
    call = Call(0, variant=variant)
    message = make_message(call, path.read_bytes(), b"", token)
    request = pb.TranscribeRequest.FromString(grpc_messages(call, message, 1)[0])
    return str(stub.Transcribe(request, metadata=tuple(message.headers.items())).text)
