"""The fixed evaluation sets: held-out audio with words and their times, or without speech."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import sawtooth

from training.noise import KINDS, make_noise
from training.synthesis import SAMPLE_RATE, Corpus, Utterance, load_corpus

Audio = npt.NDArray[np.float32]
Generator = np.random.Generator

WINDOWS_S = (5, 10, 20, 30)
_QUIET = 10 ** (-60 / 20)


@dataclass(frozen=True)
class Place:
    """Where an utterance lies in its audio, and its words."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Item:
    """One audio of an evaluation set; `places` is empty if it has no speech."""

    group: str
    audio: Audio
    window_s: int
    places: tuple[Place, ...] = ()

    @property
    def text(self) -> str:
        """All words, in order."""
        return " ".join(place.text for place in self.places)


def load_evaluation(folder: Path, seed: int) -> list[Item]:
    """Return all items of the evaluation: the same for the same corpora and seed.

    Args:
        folder: Holds the corpora heldout, unseen and human_test.
        seed: Determines pauses, noise and which utterances share a window.
    """
    rng = np.random.default_rng(seed)
    held_out, unseen = load_corpus(folder / "heldout"), load_corpus(folder / "unseen")
    human = load_corpus(folder / "human_test")
    items = [_single(rng, held_out, u, f"sentences: {u.category}") for u in held_out.utterances]
    items += [_single(rng, unseen, u, "unseen voices") for u in unseen.utterances]
    items += [_human_string(rng, human, length) for length in range(1, 9) for _ in range(15)]
    for window_s in WINDOWS_S:
        count = 40 if window_s < 20 else 25
        items += [_filled_window(rng, held_out, window_s) for _ in range(count)]
    items += [
        _speechless(rng, kind) for kind in (*KINDS, "zeros", "faint", "buzz") for _ in range(12)
    ]
    return items


def _with_room_noise(rng: Generator, audio: Audio) -> Audio:
    noise = rng.standard_normal(len(audio)).astype(np.float32)
    return audio + noise * np.float32(_QUIET * rng.uniform(0, 1))


def _single(rng: Generator, corpus: Corpus, utterance: Utterance, group: str) -> Item:
    speech = corpus.audio(utterance)
    start = int(rng.uniform(0.05, 0.8) * SAMPLE_RATE)
    audio = np.zeros(start + len(speech) + int(rng.uniform(0.1, 0.8) * SAMPLE_RATE), np.float32)
    audio[start : start + len(speech)] = speech
    place = Place(utterance.text, start / SAMPLE_RATE, (start + len(speech)) / SAMPLE_RATE)
    return Item(group, _with_room_noise(rng, audio), 30, (place,))


def _human_string(rng: Generator, human: Corpus, num_digits: int) -> Item:
    speaker = rng.choice(sorted({u.voice for u in human.utterances}))
    recordings = [u for u in human.utterances if u.voice == speaker]
    chosen = [recordings[rng.integers(len(recordings))] for _ in range(num_digits)]
    pieces: list[Audio] = [np.zeros(int(rng.uniform(0.1, 0.5) * SAMPLE_RATE), np.float32)]
    start = len(pieces[0])
    for utterance in chosen:
        pieces.append(human.audio(utterance))
        pieces.append(np.zeros(int(rng.uniform(0.03, 0.2) * SAMPLE_RATE), np.float32))
    end = sum(map(len, pieces[:-1]))
    pieces.append(np.zeros(SAMPLE_RATE // 4, np.float32))
    text = " ".join(utterance.text for utterance in chosen)
    group = "human digits: " + ("one" if num_digits == 1 else "strings")
    place = Place(text, start / SAMPLE_RATE, end / SAMPLE_RATE)
    return Item(group, np.concatenate(pieces), 30, (place,))


def _filled_window(rng: Generator, corpus: Corpus, window_s: int) -> Item:
    """Return a window filled with utterances and pauses of 0.15 to 2 s, as an engine packs it."""
    audio = np.zeros(window_s * SAMPLE_RATE, np.float32)
    position = int(rng.uniform(0.0, 0.9) * SAMPLE_RATE)
    places: list[Place] = []
    misses = 0
    while misses < 5:
        utterance = corpus.utterances[rng.integers(len(corpus.utterances))]
        end = position + utterance.num_samples
        if end > len(audio) - SAMPLE_RATE // 10:
            misses += 1
            continue
        audio[position:end] = corpus.audio(utterance)
        places.append(Place(utterance.text, position / SAMPLE_RATE, end / SAMPLE_RATE))
        position = end + int(rng.uniform(0.15, 2.0) * SAMPLE_RATE)
    if not places:
        return _filled_window(rng, corpus, window_s)
    return Item(f"windows of {window_s} s", _with_room_noise(rng, audio), window_s, tuple(places))


def _speechless(rng: Generator, kind: str) -> Item:
    """Return 1 to 20 s without speech; the kind "buzz" does not occur in training."""
    length = int(rng.uniform(1, 20) * SAMPLE_RATE)
    level = np.float32(10 ** (rng.uniform(-60, -15) / 20))
    if kind == "zeros":
        audio = np.zeros(length, np.float32)
    elif kind == "faint":
        audio = rng.standard_normal(length).astype(np.float32) * np.float32(1e-4)
    elif kind == "buzz":
        time_s = np.arange(length) / SAMPLE_RATE
        audio = sawtooth(2 * np.pi * rng.uniform(80, 400) * time_s).astype(np.float32) * level
    else:
        audio = make_noise(rng, kind, length) * level
    return Item(f"no speech: {kind}", audio, 30)
