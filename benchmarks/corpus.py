"""Speech for the workloads: recordings of a manifest, or the bundled sample, repeated."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

import talkmill.engine
from benchmarks.baselines.audio import SAMPLE_RATE
from talkmill.engine.audio.decode import decode_audio

Samples = NDArray[np.float32]
"""Mono float32 audio at 16 kHz, shape (num_samples,), in -1 to 1."""

DEMO_FOLDER = Path(talkmill.engine.__file__).parent / "demo_model"
"""The embedded model, with its recording `sample.flac` and the words in it, `sample.txt`."""

# Beside the repository; may be absent.
MANIFESTS = Path(__file__).parents[2] / "shared" / "speech"
SPEECH, DIGITS = MANIFESTS / "untranscribed.tsv", MANIFESTS / "transcripts.tsv"
_BLOCK_SAMPLES = 4096
_TEST_INDEXES = range(5)  # of each digit and speaker: FSDD's official test split
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Recording:
    """A file of a corpus.

    Attributes:
        path: The audio file.
        transcript: The words spoken; empty if unknown.
    """

    path: Path
    transcript: str


def find_manifest(given: Path | None, default: Path) -> Path | None:
    """Return `given`, else `default` if that file exists, else None."""
    return given or (default if default.is_file() else None)


def read_manifest(path: Path, language: str = "en") -> list[Recording]:
    """Return the recordings of one language in a manifest.

    Args:
        path: A TSV file with columns `file` (relative to it), `language` and `transcript`.
        language: Whisper's code.

    Raises:
        ValueError: The manifest lists no recording in `language`.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = [
        Recording(path.parent / row["file"], row.get("transcript") or "")
        for row in rows
        if row["language"] == language
    ]
    if not found:
        raise ValueError(f"{path} lists no recordings in {language!r}")
    return found


def is_test_digit(recording: Recording) -> bool:
    """Return whether the recording is a digit that the demo model was not trained on."""
    parts = recording.path.stem.split("_")  # digit, speaker, index
    return recording.path.parent.name == "fsdd" and int(parts[-1]) in _TEST_INDEXES


def digit_word(recording: Recording) -> str:
    """Return the digit spoken in a recording, as the word that the demo model writes."""
    return _DIGITS[int(recording.path.stem.split("_")[0])]


def read(path: Path) -> Samples:
    """Return all samples of a file."""
    with path.open("rb") as file:
        return np.concatenate(list(decode_audio(file, 1e9, lambda _: None)))


def speech(manifest: Path | None, seed: int = 0) -> Iterator[Samples]:
    """Yield recordings endlessly, in an order that depends on the seed."""
    rng = np.random.default_rng(seed)
    sample = DEMO_FOLDER / "sample.flac"
    paths = [recording.path for recording in read_manifest(manifest)] if manifest else [sample]
    while True:
        for number in rng.permutation(len(paths)):
            yield read(paths[number])


def write_flac(path: Path, samples: Samples) -> Path:
    """Write 16 kHz mono samples as FLAC of 16 bit; return the path."""
    with av.open(str(path), "w", format="flac") as output:
        stream = output.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        pcm = np.clip(samples * 32768, -32768, 32767).astype(np.int16)
        for start in range(0, len(pcm), _BLOCK_SAMPLES):
            block = np.ascontiguousarray(pcm[None, start : start + _BLOCK_SAMPLES])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
