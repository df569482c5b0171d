"""Training windows: utterances, pauses, noise and padding composed into model inputs and targets.

Every window is drawn at random, so none is repeated. The times are exact, because utterances are
trimmed and their positions are known.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from training.features import HOP_SAMPLES, SAMPLE_RATE, log_mel
from training.model import CTC_CHARACTERS
from training.noise import Audio, Generator, NoisePool, roughen
from training.synthesis import Corpus, Utterance
from training.tokens import SpeechTokenizer

IGNORED = -100  # a target that adds no loss

NO_SPEECH_SHARE = 0.08
HUMAN_SHARE = 0.14
TIMESTAMPS_SHARE = 0.55
PROMPT_SHARE = 0.10
CUT_SHARE = 0.02
LATE_START_SHARE = 0.10


@dataclass
class _Spoken:
    text: str
    audio: Audio
    word_ends: list[int] = field(default_factory=list)
    """The end of each word in samples; empty if unknown."""


@dataclass(frozen=True)
class _Placed:
    text: str
    start_samples: int
    end_samples: int
    is_cut: bool = False


@dataclass(frozen=True)
class Window:
    """One training example."""

    samples: Audio
    num_real_frames: int
    inputs: list[int]
    targets: list[int]
    text: str


@dataclass(frozen=True)
class Batch:
    """Windows of one length, ready for the model."""

    features: Tensor
    """float32 (batch, 80, frames)"""
    inputs: Tensor
    """int64 (batch, time)"""
    targets: Tensor
    """int64 (batch, time), `IGNORED` where there is no loss"""
    characters: list[Tensor]
    """CTC classes of each row's text"""


class WindowComposer:
    """Draws windows from a corpus and the human digits. Not thread-safe."""

    def __init__(
        self, corpus: Corpus, human: Corpus, tokenizer: SpeechTokenizer, rng: Generator
    ) -> None:
        """Take the synthetic corpus, the human digits, their tokenizer and the random generator."""
        self._corpus = corpus
        self._human = human
        self._tokenizer = tokenizer
        self._rng = rng
        self._noise = NoisePool(rng)
        texts = {u.text for u in (*corpus.utterances, *human.utterances)}
        self._tokens = {text: tokenizer.encode(text) for text in texts}
        self._by_speaker: dict[str, list[Utterance]] = {}
        for utterance in human.utterances:
            self._by_speaker.setdefault(utterance.voice, []).append(utterance)

    def batch(self, window_s: float, budget_s: float) -> Batch:
        """Return as many windows of one length as make up `budget_s` seconds."""
        windows = [self.window(window_s) for _ in range(max(2, int(budget_s / window_s)))]
        longest = max(len(window.inputs) for window in windows)
        inputs = torch.full((len(windows), longest), self._tokenizer.eot)
        targets = torch.full((len(windows), longest), IGNORED)
        for row, window in enumerate(windows):
            inputs[row, : len(window.inputs)] = torch.tensor(window.inputs)
            targets[row, : len(window.targets)] = torch.tensor(window.targets)
        samples = torch.from_numpy(np.stack([window.samples for window in windows]))
        real_frames = torch.tensor([window.num_real_frames for window in windows])
        characters = [
            torch.tensor([1 + CTC_CHARACTERS.index(c) for c in window.text], dtype=torch.long)
            for window in windows
        ]
        return Batch(log_mel(samples, real_frames), inputs, targets, characters)

    def window(self, window_s: float) -> Window:
        """Return one window: speech or none, with or without timestamps."""
        rng = self._rng
        num_samples = int(window_s * SAMPLE_RATE)
        samples = np.zeros(num_samples, np.float32)
        has_speech = rng.random() >= NO_SPEECH_SHARE
        placed = self._place_speech(samples) if has_speech else []
        last_end = placed[-1].end_samples if placed else int(rng.uniform(0.3, 1) * num_samples)
        num_real = min(num_samples, last_end + int(rng.uniform(0.0, 1.0) * SAMPLE_RATE))
        padding = rng.choice(("none", "silence", "features"), p=(0.34, 0.30, 0.36))
        if padding == "none":
            num_real = num_samples
        self._add_noise(samples[:num_real], has_speech)
        num_frames = num_samples // HOP_SAMPLES
        # One frame of zeros follows the audio before faster-whisper's padding begins.
        real_frames = num_real // HOP_SAMPLES + 1 if padding == "features" else num_frames
        inputs, targets = self._token_rows(placed)
        text = " ".join(spoken.text for spoken in placed)
        return Window(samples, real_frames, inputs, targets, text)

    def _place_speech(self, samples: Audio) -> list[_Placed]:
        rng = self._rng
        placed: list[_Placed] = []
        length_s = len(samples) / SAMPLE_RATE
        level = 10 ** rng.uniform(-1.2, 0)
        position = self._first_start(length_s)
        go_on = rng.choice((0.2, 0.8, 0.97)) if length_s > 5 else 0.6
        while True:
            spoken = self._draw_fitting(len(samples) - position)
            if spoken is None:
                if placed:
                    break
                position = 0
                continue
            end = position + len(spoken.audio)
            samples[position:end] += spoken.audio * level * rng.uniform(0.7, 1)
            placed.append(_Placed(spoken.text, position, end))
            position = end + int((0.15 + 2.35 * rng.random() ** 3) * SAMPLE_RATE)
            if rng.random() > go_on or position > len(samples) - SAMPLE_RATE // 2:
                break
        if rng.random() < CUT_SHARE:
            placed += self._place_cut(samples, placed[-1].end_samples, level)
        return placed

    def _first_start(self, length_s: float) -> int:
        chance = self._rng.random()
        if chance < 0.04:
            return 0
        late = chance > 1 - LATE_START_SHARE
        return int(self._rng.uniform(0, 0.5 * length_s if late else 1.0) * SAMPLE_RATE)

    def _draw_fitting(self, room_samples: int) -> _Spoken | None:
        """Return speech that fits: random, or the longest of a few to leave less silence."""
        rng = self._rng
        if rng.random() < HUMAN_SHARE:
            spoken = self._human_string()
            if len(spoken.audio) * 1.1 <= room_samples:
                return replace(spoken, audio=roughen(rng, spoken.audio))
        places = rng.integers(len(self._corpus.utterances), size=6)
        drawn = [self._corpus.utterances[place] for place in places]
        fitting = [u for u in drawn if u.num_samples * 1.1 <= room_samples]
        if not fitting:
            return None
        is_first = rng.random() < 0.5
        chosen = fitting[0] if is_first else max(fitting, key=lambda u: u.num_samples)
        return _Spoken(chosen.text, roughen(rng, self._corpus.audio(chosen)))

    def _human_string(self) -> _Spoken:
        """Join one to eight digit recordings of one speaker with the gaps of fluent counting."""
        rng = self._rng
        recordings = self._by_speaker[rng.choice(sorted(self._by_speaker))]
        pace_s = rng.choice((0.03, 0.1, 0.25))
        pieces: list[Audio] = []
        words: list[str] = []
        ends: list[int] = []
        for _ in range(int(rng.integers(1, 9))):
            digit = recordings[rng.integers(len(recordings))]
            pieces.append(
                np.zeros(int(rng.uniform(0, pace_s) * SAMPLE_RATE * bool(words)), np.float32)
            )
            pieces.append(self._human.audio(digit))
            words.append(digit.text)
            ends.append(sum(map(len, pieces)))
        audio = np.concatenate(pieces)
        return _Spoken(" ".join(words), audio * (0.5 / max(0.05, np.abs(audio).max())), ends)

    def _place_cut(self, samples: Audio, free_from: int, level: float) -> list[_Placed]:
        """Place digits up to the window's end; their segment has no end timestamp."""
        spoken = self._human_string()
        room = len(samples) - free_from - SAMPLE_RATE // 5
        fitting = [end for end in spoken.word_ends if end <= room]
        if not fitting:
            return []
        start = len(samples) - fitting[-1]
        samples[start:] += spoken.audio[: fitting[-1]] * level
        text = " ".join(spoken.text.split()[: len(fitting)])
        return [_Placed(text, start, len(samples), is_cut=True)]

    def _add_noise(self, samples: Audio, has_speech: bool) -> None:
        rng = self._rng
        if rng.random() < (0.6 if has_speech else 0.2) or len(samples) == 0:
            return
        if has_speech:
            speech_rms = np.sqrt(np.mean(samples**2) + 1e-10)
            level = speech_rms * 10 ** (-rng.uniform(10, 45) / 20)
        else:
            level = 10 ** (rng.uniform(-75, -12) / 20)
        samples += self._noise.cut(len(samples)) * np.float32(level)

    def _token_rows(self, placed: list[_Placed]) -> tuple[list[int], list[int]]:
        tokenizer, rng = self._tokenizer, self._rng
        prompt: list[int] = []
        if rng.random() < PROMPT_SHARE:
            prompt.append(tokenizer.startofprev)
            utterances = self._corpus.utterances
            for _ in range(int(rng.integers(1, 4))):
                prompt += self._tokens[utterances[rng.integers(len(utterances))].text]
        language = tokenizer.language("en")
        with_timestamps = rng.random() < TIMESTAMPS_SHARE
        start = [tokenizer.sot, language, tokenizer.transcribe]
        start_targets = [language if placed else tokenizer.nospeech, IGNORED]
        if not with_timestamps:
            start.append(tokenizer.notimestamps)
            start_targets.append(IGNORED)
        answer = self._answer(placed, with_timestamps)
        # inputs[t] predicts targets[t], so the targets are shifted by one.
        inputs = prompt + start + answer
        targets = [IGNORED] * len(prompt) + start_targets + answer + [tokenizer.eot]
        return inputs, targets

    def _answer(self, placed: list[_Placed], with_timestamps: bool) -> list[int]:
        tokenizer = self._tokenizer
        if with_timestamps and not placed:
            return [tokenizer.timestamp(0.0)]
        answer: list[int] = []
        for spoken in placed:
            text = self._tokens.get(spoken.text) or tokenizer.encode(spoken.text)
            if not with_timestamps:
                answer += text
                continue
            answer.append(tokenizer.timestamp(spoken.start_samples / SAMPLE_RATE))
            answer += text
            if not spoken.is_cut:
                answer.append(tokenizer.timestamp(spoken.end_samples / SAMPLE_RATE))
        return answer
