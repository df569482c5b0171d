"""The audio of the benchmarks: `commands`, `digits` and `meeting`.

- commands: clips of 1 to 6 s, cut out of real speech; many clients send one clip after another.
- digits: clips of the same lengths for the demo model: strings of spoken digits that it was not
  trained on, with transcripts, so that word errors can be counted.
- meeting: one long file of recordings with pauses between them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.corpus import (
    DEMO_FOLDER,
    Samples,
    digit_word,
    is_test_digit,
    read,
    read_manifest,
    speech,
    write_flac,
)

NUM_CLIENTS = 32
COMMAND_S = (1.0, 6.0)
COMMAND_TOKENS = 12  # tokens of each chunk, with random weights
MEETING_TOKENS = 100  # tokens of each chunk, with random weights
_PAUSE_S = (0.2, 1.2)


@dataclass(frozen=True)
class Clip:
    """A file to transcribe.

    Attributes:
        path: The audio file.
        duration_s: Its length in seconds.
        text: The words spoken; empty if unknown.
    """

    path: str
    duration_s: float
    text: str = ""


def commands(folder: Path, corpus: Path | None, num_clips: int = 64, seed: int = 1) -> list[Clip]:
    """Write clips of 1 to 6 s into `folder`."""
    rng = np.random.default_rng(seed)
    recordings = speech(corpus, seed)
    clips = []
    for number in range(num_clips):
        samples = next(recordings)
        length = min(len(samples), round(rng.uniform(*COMMAND_S) * SAMPLE_RATE))
        start = int(rng.integers(len(samples) - length + 1))
        clips.append(_write(folder / f"command-{number}.flac", samples[start : start + length]))
    return clips


def digits(folder: Path, corpus: Path | None, num_clips: int = 64, seed: int = 1) -> list[Clip]:
    """Write strings of one to seven spoken digits, 1 to 6 s long, into `folder`.

    If the corpus has no such digits, the only clip is the bundled sample.
    """
    recordings = read_manifest(corpus) if corpus else []
    recordings = [recording for recording in recordings if is_test_digit(recording)]
    if not recordings:
        samples = read(DEMO_FOLDER / "sample.flac")
        text = (DEMO_FOLDER / "sample.txt").read_text("utf-8")
        return [_write(folder / "digits-0.flac", samples, " ".join(text.split()))]
    speakers = sorted({recording.path.stem.split("_")[1] for recording in recordings})
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(num_clips):
        speaker = speakers[number % len(speakers)]
        own = [one for one in recordings if f"_{speaker}_" in one.path.stem]
        wanted_s = rng.uniform(*COMMAND_S)
        pieces: list[Samples] = [np.zeros(SAMPLE_RATE // 4, np.float32)]
        words: list[str] = []
        while not words or sum(map(len, pieces)) < (wanted_s - 0.7) * SAMPLE_RATE:
            one = own[int(rng.integers(len(own)))]
            pieces += [read(one.path), _silence(rng, 0.1, 0.3)]
            words.append(digit_word(one))
        samples = np.concatenate(pieces)[: round(COMMAND_S[1] * SAMPLE_RATE)]
        clips.append(_write(folder / f"digits-{number}.flac", samples, " ".join(words)))
    return clips


def meeting(folder: Path, corpus: Path | None, duration_s: float, seed: int = 2) -> list[Clip]:
    """Write one file of `duration_s` into `folder`."""
    rng = np.random.default_rng(seed)
    wanted = round(duration_s * SAMPLE_RATE)
    pieces: list[Samples] = []
    length = 0
    for samples in speech(corpus, seed):
        pieces += [samples, _silence(rng, *_PAUSE_S)]
        length += len(pieces[-1]) + len(samples)
        if length >= wanted:
            break
    return [_write(folder / f"meeting-{duration_s:g}s.flac", np.concatenate(pieces)[:wanted])]


def write_manifest(path: Path, clips: list[Clip]) -> Path:
    """Write the clips as the JSON file that the peers read; return the path."""
    path.write_text(json.dumps([asdict(clip) for clip in clips]), encoding="utf-8")
    return path


def _silence(rng: np.random.Generator, least_s: float, most_s: float) -> Samples:
    # Faint noise, as in a real room: some speech detectors treat zeros as a special case.
    length = round(rng.uniform(least_s, most_s) * SAMPLE_RATE)
    return rng.normal(0, 3e-4, length).astype(np.float32)


def _write(path: Path, samples: Samples, text: str = "") -> Clip:
    write_flac(path, samples)
    return Clip(str(path), len(samples) / SAMPLE_RATE, text)
