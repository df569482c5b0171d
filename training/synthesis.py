"""Labelled speech: sentences spoken by espeak-ng and flite, and human digit recordings.

Writes corpora of trimmed utterances: `<name>.npy` has all int16 samples one after the other,
`<name>.json` the positions and labels. Independent of windows, features and the model.
"""

import io
import json
import multiprocessing
import random
import subprocess
import wave
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from training.sentences import Sentence, draw_held_out, draw_sentence
from training.words import CATEGORIES

SAMPLE_RATE = 16_000
Samples = npt.NDArray[np.int16]

# The later names of each accent are variants of its speaker.
_ACCENTS = {
    "en-us": ("", "m1", "m3", "m7", "f1", "f2", "f3", "f4", "Andy", "Annie", "linda"),
    "en-gb": ("", "m2", "m6", "f2", "f3", "Alex", "steph"),
    "en-gb-x-rp": ("", "m8", "f4"),
    "en-gb-scotland": ("", "f1"),
    "en-us-nyc": ("m3",),
}
ESPEAK_VOICES = tuple(
    f"{accent}+{variant}" if variant else accent
    for accent, variants in _ACCENTS.items()
    for variant in variants
)
FLITE_VOICES = ("kal16", "awb", "rms", "slt")
# Never used in training, to evaluate on unseen voices.
UNSEEN_VOICES = ("en-us+m4", "en-gb+f5", "en-us+Alicia", "en-gb-x-gbclan", "en-gb+benjamin")

SPEEDS_WPM = (110, 230)
# Words per minute, and stretch of flite, that only the evaluation uses.
HELD_OUT_SPEEDS_WPM = (*range(148, 157), *range(190, 199))
STRETCHES = tuple(percent / 100 for percent in range(75, 126))
HELD_OUT_STRETCHES = (0.87, 0.88, 0.89, 1.05, 1.06, 1.07)

_FLITE_SHARE = 0.25
_TEST_RECORDINGS = range(5)  # the digit recordings' official test split, by index


@dataclass(frozen=True)
class Voice:
    """A synthetic voice and how it speaks."""

    name: str
    speed_wpm: int
    """espeak-ng's words a minute."""
    pitch: int
    """espeak-ng's pitch, 0 to 99."""
    stretch: float
    """flite's duration factor."""


@dataclass(frozen=True)
class Utterance:
    """The position of one utterance in its corpus, and its labels."""

    text: str
    category: str
    voice: str
    start_samples: int
    num_samples: int


@dataclass(frozen=True)
class Corpus:
    """Utterances and their audio: `samples` has all of them in order, int16, mono, 16 kHz."""

    samples: Samples
    utterances: list[Utterance]

    def audio(self, utterance: Utterance) -> npt.NDArray[np.float32]:
        """Return one utterance as float32 in [-1, 1], shape (num_samples,)."""
        end = utterance.start_samples + utterance.num_samples
        return self.samples[utterance.start_samples : end].astype(np.float32) / np.float32(32768)

    @property
    def duration_s(self) -> float:
        """Seconds of speech in the corpus."""
        return len(self.samples) / SAMPLE_RATE


def draw_voice(rng: random.Random, held_out_speed: bool) -> Voice:
    """Return a random training voice, at training speeds or at the held-out ones."""
    if rng.random() < _FLITE_SHARE:
        name = f"flite:{rng.choice(FLITE_VOICES)}"
    else:
        name = rng.choice(ESPEAK_VOICES)
    if held_out_speed:
        speeds: Sequence[int] = HELD_OUT_SPEEDS_WPM
        stretches: Sequence[float] = HELD_OUT_STRETCHES
    else:
        speeds = [w for w in range(*SPEEDS_WPM) if w not in HELD_OUT_SPEEDS_WPM]
        stretches = [s for s in STRETCHES if s not in HELD_OUT_STRETCHES]
    return Voice(name, rng.choice(speeds), rng.randint(20, 80), rng.choice(stretches))


def speak(sentence: Sentence, voice: Voice) -> Samples:
    """Return the sentence as speech: int16, 16 kHz mono, without silence at its ends."""
    engine, _, flite_voice = voice.name.partition(":")
    if engine == "flite":
        command = ["flite", "-voice", flite_voice, "--setf", f"duration_stretch={voice.stretch}"]
        command += ["-t", sentence.text, "-o", "/dev/stdout"]
    else:
        command = ["espeak-ng", "-v", voice.name, "-s", str(voice.speed_wpm)]
        command += ["-p", str(voice.pitch), "--stdout", sentence.text]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    return trim_silence(_read_wave(output))


def _read_wave(content: bytes) -> npt.NDArray[np.float32]:
    with wave.open(io.BytesIO(content)) as reader:
        rate = reader.getframerate()
    # The header of a stream has no valid length: take all bytes after it.
    even_length = (len(content) - 44) // 2 * 2
    samples = np.frombuffer(content[44 : 44 + even_length], dtype="<i2").astype(
        np.float32
    ) / np.float32(32768)
    if rate == SAMPLE_RATE:
        return samples
    divisor = np.gcd(SAMPLE_RATE, rate)
    resampled: npt.NDArray[np.float32] = resample_poly(
        samples, SAMPLE_RATE // divisor, rate // divisor
    ).astype(np.float32)
    return resampled


def trim_silence(samples: npt.NDArray[np.float32]) -> Samples:
    """Return int16 audio without the ends that are 40 dB below its loudest 10 ms."""
    frame = SAMPLE_RATE // 100
    num_frames = len(samples) // frame
    frames = samples[: num_frames * frame].reshape(num_frames, frame)
    energy = (frames**2).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 1e-4)
    start, end = max(0, loud[0] - 1) * frame, (loud[-1] + 2) * frame
    return np.clip(samples[start:end] * 32767, -32768, 32767).astype(np.int16)


def _speak_pair(pair: tuple[Sentence, Voice]) -> Samples:
    return speak(*pair)


def synthesize_corpus(pairs: Sequence[tuple[Sentence, Voice]], num_processes: int) -> Corpus:
    """Speak every sentence with its voice, in parallel; the order is kept."""
    with multiprocessing.Pool(num_processes) as pool:
        spoken = pool.imap(_speak_pair, pairs, chunksize=50)
        labels = ((sentence.text, sentence.category, voice.name) for sentence, voice in pairs)
        return _join(zip(labels, spoken, strict=True))


def _join(labelled: Iterable[tuple[tuple[str, str, str], Samples]]) -> Corpus:
    utterances, audio, start = [], [], 0
    for (text, category, voice), samples in labelled:
        utterances.append(Utterance(text, category, voice, start, len(samples)))
        audio.append(samples)
        start += len(samples)
    return Corpus(np.concatenate(audio), utterances)


def read_human_digits(folder: Path, *, test: bool) -> Corpus:
    """Return the human digit recordings of one split (files `digit_speaker_index.wav`, 8 kHz)."""
    labelled = []
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        if (int(index) in _TEST_RECORDINGS) == test:
            samples = trim_silence(_read_wave(path.read_bytes()))
            labelled.append(((CATEGORIES["digit"][int(digit)], "human", speaker), samples))
    return _join(labelled)


def save_corpus(corpus: Corpus, path: Path) -> None:
    """Write `path`.npy and `path`.json."""
    np.save(path.with_suffix(".npy"), corpus.samples)
    rows = [asdict(utterance) for utterance in corpus.utterances]
    path.with_suffix(".json").write_text(json.dumps(rows))


def load_corpus(path: Path) -> Corpus:
    """Read what `save_corpus` wrote."""
    rows = json.loads(path.with_suffix(".json").read_text())
    return Corpus(
        np.load(path.with_suffix(".npy"), mmap_mode="r"), [Utterance(**row) for row in rows]
    )


def make_corpora(
    folder: Path, digits_folder: Path, num_train: int, num_per_category: int, seed: int
) -> None:
    """Write the corpora train, heldout, unseen, human_train and human_test into `folder`.

    Args:
        folder: The target; a synthetic corpus that exists is kept.
        digits_folder: The human digit recordings.
        num_train: Training utterances to speak.
        num_per_category: Held-out sentences of each category.
        seed: Determines every sentence and voice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    held_out = draw_held_out(seed + 1, num_per_category)
    forbidden = {sentence.text for sentence in held_out}
    train: list[tuple[Sentence, Voice]] = []
    while len(train) < num_train:
        sentence = draw_sentence(rng)
        if sentence.text not in forbidden:
            train.append((sentence, draw_voice(rng, held_out_speed=False)))
    heldout = [(sentence, draw_voice(rng, held_out_speed=True)) for sentence in held_out]
    unseen = [
        (sentence, Voice(rng.choice(UNSEEN_VOICES), rng.randint(130, 200), rng.randint(30, 70), 1))
        for sentence in held_out[::4]
    ]
    for name, pairs in (("heldout", heldout), ("unseen", unseen), ("train", train)):
        if not (folder / f"{name}.json").exists():
            corpus = synthesize_corpus(pairs, num_processes=2)
            save_corpus(corpus, folder / name)
            print(f"{name}: {len(pairs)} utterances, {corpus.duration_s / 3600:.2f} h", flush=True)
    for name, test in (("human_train", False), ("human_test", True)):
        save_corpus(read_human_digits(digits_folder, test=test), folder / name)
