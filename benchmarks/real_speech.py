"""Real speech with transcripts, as the files of `real`: clips alone, and clips joined.

All of it depends on the seeds below only. Where clips are joined, each is first cut to its sound,
so that it is known when its first word starts. Those clips have little noise before it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.corpus import Samples, read, write_flac

CLIP_S = (1.0, 15.0)
_PAUSES_FILE_S = (20.0, 30.0)
_LONG_PAUSE_S = (2.0, 6.0)
_JOINED_PAUSE_S = (0.1, 3.0)
_READER_PAUSE_S = (0.15, 0.5)
_LEAD_S = 0.5
_ROOM_DB = -70.0  # noise in the pauses: some speech detectors treat zeros as a special case
_SPEECH_DB = -38.0  # below the loudest 10 ms of a clip
_KEPT_S = 0.02  # kept around the speech of a clip
_LONGEST_PREFIX = 40  # clips whose transcripts start with the same characters are one recording


@dataclass(frozen=True)
class Clip:
    """One recording of the manifest.

    Attributes:
        path: The audio file.
        language: Whisper's code.
        text: The words spoken.
        duration_s: Its length in seconds.
    """

    path: Path
    language: str
    text: str
    duration_s: float


@dataclass(frozen=True)
class Utterance:
    """A clip's speech in a file.

    Attributes:
        text: The words spoken.
        start_s: When they start, in seconds from the start of the file; None if unknown.
    """

    text: str
    start_s: float | None = None


@dataclass(frozen=True)
class SpokenFile:
    """An audio file with what is said in it.

    Attributes:
        path: The file.
        duration_s: Its length in seconds.
        utterances: What is said, in order.
    """

    path: Path
    duration_s: float
    utterances: tuple[Utterance, ...]

    @property
    def text(self) -> str:
        """All words in order."""
        return " ".join(one.text for one in self.utterances)


@dataclass(frozen=True)
class Sizes:
    """How much audio each workload has.

    Attributes:
        num_clips: Most clips of `short`.
        num_pauses: Files of `pauses`.
        joined_s: Length of each file of `joined`, in seconds.
        num_reader_clips: Most clips of `lj5`.
        num_requests: Requests of each load of `mixed`.
        mixed_s: Length of the long file of `mixed`, in seconds.
        mixed_share: Rate of the clips of `mixed`, as a share of the first engine's speed.
    """

    num_clips: int = 80
    num_pauses: int = 20
    joined_s: tuple[float, ...] = (360.0, 360.0)
    num_reader_clips: int = 1000
    num_requests: int = 40
    mixed_s: float = 120.0
    mixed_share: float = 0.3


QUICK = Sizes(
    num_clips=6,
    num_pauses=2,
    joined_s=(45.0,),
    num_reader_clips=5,
    num_requests=3,
    mixed_s=20.0,
    mixed_share=0.6,
)


def read_clips(folder: Path) -> list[Clip]:
    """Return the recordings that `folder`/transcripts.tsv lists, each once, without lone digits.

    A recording in several formats is listed several times; the first is returned. Transcripts that
    name their channels in brackets are left out. Parentheses are removed, as Whisper's normalizer
    drops what is in them, and here it is spoken.
    """
    with (folder / "transcripts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    clips: dict[str, Clip] = {}
    for row in rows:
        text = row["transcript"].strip().replace("(", "").replace(")", "")
        if not row["file"].startswith("fsdd/") and "[" not in text:
            clip = Clip(folder / row["file"], row["language"], text, float(row["seconds"]))
            clips.setdefault(text.lower()[:_LONGEST_PREFIX], clip)
    return list(clips.values())


def short(clips: Sequence[Clip], num_clips: int) -> list[SpokenFile]:
    """Return every k-th English clip of 1 to 15 s, with the least k that gives at most `num_clips`.

    The files are those of the manifest, in the formats they are in.
    """
    low_s, high_s = CLIP_S
    fitting = [one for one in clips if one.language == "en" and low_s <= one.duration_s <= high_s]
    step = math.ceil(len(fitting) / num_clips)
    return [SpokenFile(one.path, one.duration_s, (Utterance(one.text),)) for one in fitting[::step]]


def pauses(folder: Path, clips: Sequence[Clip], num_files: int, seed: int = 5) -> list[SpokenFile]:
    """Write files of about 20 to 30 s, clips with pauses of 2 to 6 s, into `folder`."""
    rng = np.random.default_rng(seed)
    low_s, high_s = _PAUSES_FILE_S
    source = _shuffled(clips, rng)
    files = []
    for number in range(num_files):
        chosen: list[Clip] = []
        gaps_s: list[float] = []
        total_s = _LEAD_S
        while total_s < low_s:
            clip, gap_s = next(source), rng.uniform(*_LONG_PAUSE_S)
            if total_s + clip.duration_s + gap_s <= high_s:
                chosen.append(clip)
                gaps_s.append(gap_s)
                total_s += clip.duration_s + gap_s
        files.append(join(folder / f"pauses-{number}.flac", chosen, gaps_s, rng))
    return files


def joined(
    folder: Path, clips: Sequence[Clip], lengths_s: Sequence[float], seed: int = 6
) -> list[SpokenFile]:
    """Write files of about these lengths, clips with pauses of 0.1 to 3 s, into `folder`."""
    rng = np.random.default_rng(seed)
    source = _shuffled(clips, rng)
    files = []
    for number, length_s in enumerate(lengths_s):
        chosen: list[Clip] = []
        gaps_s: list[float] = []
        while sum(one.duration_s for one in chosen) + sum(gaps_s) < length_s:
            chosen.append(next(source))
            gaps_s.append(rng.uniform(*_JOINED_PAUSE_S))
        path = folder / f"joined-{number}-{length_s:g}s.flac"
        files.append(join(path, chosen, gaps_s, rng))
    return files


def lj5(folder: Path, clips: Sequence[Clip], num_clips: int) -> list[SpokenFile]:
    """Write one file into `folder`: a reader whose pauses are 0.15 to 0.5 s long."""
    reader = [one for one in clips if one.path.parent.name == "ljspeech"]
    reader.sort(key=lambda one: one.path.name)
    gaps_s = np.random.default_rng(3).uniform(*_READER_PAUSE_S, len(reader)).tolist()
    chosen = reader[:num_clips]
    rng = np.random.default_rng(1)
    return [join(folder / "lj5.flac", chosen, gaps_s[: len(chosen)], rng, lead_s=0.2)]


def join(
    path: Path,
    clips: Sequence[Clip],
    gaps_s: Sequence[float],
    rng: np.random.Generator,
    lead_s: float = _LEAD_S,
) -> SpokenFile:
    """Write clips, each cut to its speech and followed by a pause, as a FLAC file of 16 bit.

    Args:
        path: The file.
        clips: The clips in order.
        gaps_s: The pause after each, in seconds.
        rng: Makes the noise of the pauses.
        lead_s: The pause before the first, in seconds.
    """
    pieces = [_room(lead_s, rng)]
    length = len(pieces[0])
    utterances = []
    for clip, gap_s in zip(clips, gaps_s, strict=True):
        speech = cut(read(clip.path))
        utterances.append(Utterance(clip.text, length / SAMPLE_RATE))
        pieces += [speech, _room(gap_s, rng)]
        length += len(speech) + len(pieces[-1])
    write_flac(path, np.concatenate(pieces))
    return SpokenFile(path, length / SAMPLE_RATE, tuple(utterances))


def cut(samples: Samples) -> Samples:
    """Return the samples from 20 ms before the first loud 10 ms to 20 ms after the last."""
    block = SAMPLE_RATE // 100
    level = np.sqrt(np.convolve(samples**2, np.ones(block) / block, "same"))
    loud = np.flatnonzero(level > level.max() * 10 ** (_SPEECH_DB / 20))
    kept = round(_KEPT_S * SAMPLE_RATE)
    return samples[max(0, loud[0] - kept) : loud[-1] + kept]


def _room(duration_s: float, rng: np.random.Generator) -> Samples:
    length = round(duration_s * SAMPLE_RATE)
    return rng.normal(0, 10 ** (_ROOM_DB / 20), length).astype(np.float32)


def _shuffled(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[Clip]:
    """Yield LibriSpeech's clips, which have little noise, in random order, endlessly."""
    own = [one for one in clips if one.path.parent.name.startswith("librispeech")]
    while True:
        for number in rng.permutation(len(own)):
            yield own[number]
