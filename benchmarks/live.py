"""How soon after somebody stops speaking are the final words there, with many who speak at once?

    python -m benchmarks.live --models FOLDER --speech FOLDER [--model tiny.en] [--sessions 1,8,32]
        [--seconds 60] [--record]

Theory. An utterance ends when its pause has lasted 0.5 s; what follows is one pass over its few
seconds, in a window that is as long, batched with those of other sessions. So the final text comes
0.5 s and a short pass after the last word, until the machine is full: previews give way to finals.

Each session speaks a file of clips with pauses of 2 to 6 s (`real_speech.pauses`), 100 ms at a time
and in real time, over gRPC; sessions start at random times. Latency is from when the audio of the
end of an utterance's speech was due to when its final text arrived. The words are compared with the
transcripts, and with what the same server makes of the same files. A word is taken back if it was
shown as stable and the final text has another one in its place. The clients' CPU time counts
against the server: both share the machine.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import grpc
import numpy as np

from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.corpus import Samples, read
from benchmarks.metrics import percentile
from benchmarks.peers import cpu_s
from benchmarks.real_scores import WordCounts, count_errors
from benchmarks.real_speech import SpokenFile, pauses, read_clips
from benchmarks.report import finish, print_table, stamp
from benchmarks.soaking.processes import Running, running
from talkmill.engine import TranscribeOptions
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import Client

BAR_S = 1.0  # p95 of the latency
WER_BAR = 0.005  # word errors of live text over those of the file's
_PIECE_S = 0.1
_STAGGER_S = 5.0
_NUM_FILES = 20


@dataclass
class Heard:
    """What came of one session.

    Attributes:
        latencies_s: Of each final text, from the end of its speech.
        text: All final text.
        num_stable: Words that were shown as stable.
        num_taken_back: Of these, those that the final text has not.
        ended: The reason of its end; empty if it broke off.
    """

    latencies_s: list[float] = field(default_factory=list)
    text: str = ""
    num_stable: int = 0
    num_taken_back: int = 0
    ended: str = ""


async def speak(
    stub: pb_grpc.TranscriptionStub, token: str, sound: Samples, delay_s: float
) -> Heard:
    """Run one session and return what came of it."""
    heard, stable = Heard(), dict[int, str]()
    await asyncio.sleep(delay_s)
    start_s = time.monotonic()

    async def requests() -> AsyncIterator[pb.StreamingTranscribeRequest]:
        config = pb.StreamingConfig(
            encoding=pb.AUDIO_ENCODING_PCM16,
            interim_results=True,
            options=pb.TranscribeOptions(language="en"),
        )
        yield pb.StreamingTranscribeRequest(config=config)
        size = round(_PIECE_S * SAMPLE_RATE)
        for at in range(0, len(sound), size):
            piece = sound[at : at + size]
            due_s = start_s + (at + len(piece)) / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            yield pb.StreamingTranscribeRequest(audio=(piece * 32_767).astype("<i2").tobytes())

    metadata = (("authorization", f"Bearer {token}"),)
    async for event in stub.StreamingTranscribe(requests(), metadata=metadata):
        if event.HasField("interim"):
            stable[event.interim.utterance] = event.interim.stable_text
        elif event.HasField("final"):
            final = event.final
            heard.latencies_s.append(time.monotonic() - start_s - final.end_s)
            heard.text += " " + final.text
            taken_back = count_errors(stable.pop(final.utterance, ""), final.text)
            heard.num_stable += taken_back.words
            heard.num_taken_back += taken_back.substitutions + taken_back.deletions
        elif event.HasField("ended"):
            heard.ended = event.ended.reason
    return heard


async def speak_all(server: Running, sounds: list[Samples], seed: int) -> list[Heard]:
    """Run a session of each sound, all at the same time."""
    delays_s = random.Random(seed)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = pb_grpc.TranscriptionStub(channel)
        return await asyncio.gather(
            *(speak(stub, server.token, sound, delays_s.uniform(0, _STAGGER_S)) for sound in sounds)
        )


def measure(
    server: Running,
    files: list[SpokenFile],
    file_texts: dict[Path, str],
    num_sessions: int,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Return the figures of so many sessions at once; `file_texts` is what files sent whole say."""
    sounds = spoken(files, given["seconds"])
    chosen = [sounds[n % len(sounds)] for n in range(num_sessions)]
    before_s, start_s = cpu_s(server.process.pid), time.monotonic()
    found = asyncio.run(speak_all(server, [one.sound for one in chosen], given["seed"]))
    wall_s = time.monotonic() - start_s
    latencies_s = [latency_s for one in found for latency_s in one.latencies_s]
    counts = WordCounts()
    for said, one in zip(chosen, found, strict=True):
        counts += count_errors(said.text, one.text)
    of_files = WordCounts()
    for said in chosen:
        of_files += count_errors(said.text, " ".join(file_texts[path] for path in said.paths))
    num_stable = sum(one.num_stable for one in found)
    return {
        "num_sessions": num_sessions,
        "num_finals": len(latencies_s),
        "p50_s": round(percentile(latencies_s, 50), 3),
        "p95_s": round(percentile(latencies_s, 95), 3),
        "num_words": counts.words,
        "wer": round(counts.wer, 4),
        "file_wer": round(of_files.wer, 4),
        "taken_back": round(sum(one.num_taken_back for one in found) / max(1, num_stable), 4),
        "num_stable": num_stable,
        "cores": round((cpu_s(server.process.pid) - before_s) / wall_s, 2),
        "num_broken": sum(one.ended != "the audio has ended" for one in found),
    }


@dataclass(frozen=True, eq=False)
class Said:
    """What one session hears.

    Attributes:
        sound: Files, one after the other.
        text: What is said in them.
        paths: The files.
    """

    sound: Samples
    text: str
    paths: tuple[Path, ...]


def spoken(files: list[SpokenFile], least_s: float) -> list[Said]:
    """Return what sessions hear that begin with each of the files."""
    all_said = []
    for first in range(len(files)):
        chosen: list[SpokenFile] = []
        while sum(one.duration_s for one in chosen) < least_s:
            chosen.append(files[(first + len(chosen)) % len(files)])
        sound = np.concatenate([read(one.path) for one in chosen])
        text = " ".join(one.text for one in chosen)
        all_said.append(Said(sound, text, tuple(one.path for one in chosen)))
    return all_said


def texts_of_files(server: Running, files: list[SpokenFile]) -> dict[Path, str]:
    """Return what the server makes of the same files, each sent whole, with its defaults."""
    texts = {}
    with Client(server.address, server.token) as client:
        for one in files:
            with one.path.open("rb") as audio:
                options = TranscribeOptions(language="en")
                texts[one.path] = client.transcribe(audio, options).text
    return texts


@click.command()
@click.option("--models", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--speech", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="tiny.en", show_default=True, help="A folder in --models.")
@click.option("--sessions", default="1,8,32", show_default=True, help="How many speak at once.")
@click.option("--seconds", default=60.0, show_default=True, help="Least length of a session.")
@click.option("--seed", default=1, show_default=True, help="Makes the delays of sessions others.")
@click.option("--serve-arguments", default="", help="Arguments of talkmill serve.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(models: Path, speech: Path, record: bool, **given: Any) -> None:
    """Print latency, word errors and words taken back of live sessions."""
    started = stamp(**given)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = pauses(root, read_clips(speech), _NUM_FILES)
        with running(models / given["model"], root, given["serve_arguments"].split()) as server:
            texts_of_files(server, files[:2])  # the first calls are slow
            texts = texts_of_files(server, files)
            numbers = [int(number) for number in given["sessions"].split(",")]
            rows = [measure(server, files, texts, number, given) for number in numbers]
    names = (
        "num_sessions",
        "num_finals",
        "p50_s",
        "p95_s",
        "wer",
        "file_wer",
        "taken_back",
        "cores",
    )
    print_table(
        f"{given['model']}: live sessions, and the same files sent whole",
        names,
        [tuple(str(row[name]) for name in names) for row in rows],
    )
    bars = {"p95_s": BAR_S, "wer over the file's": WER_BAR}
    result = {"stamp": started, "rows": rows, "bars": bars}
    finish("live", result, record)


if __name__ == "__main__":
    main()
