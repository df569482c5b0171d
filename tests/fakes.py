"""Fakes for the tests: a model without weights, and the sounds that it distinguishes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fake_tones import N_MELS as N_MELS
from fake_tones import chunk_tone as chunk_tone
from fake_tones import chunk_tones as chunk_tones
from fake_tones import tones_file as tones_file
from numpy.typing import NDArray

import talkmill.engine
from fake_words import FakeAlignment
from talkmill.engine import DeviceLost, EngineConfig, LoadedModel
from talkmill.engine.audio.features import CHUNK_FRAMES
from talkmill.engine.decoding.exact import ExactLane, ExactTask
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Vocabulary
from talkmill.engine.model.device import resolve_runtime
from talkmill.engine.model.files import ModelProperties
from talkmill.engine.model.protocol import Detection
from talkmill.engine.model.tokenizer import TIMESTAMP_S, WhisperTokenizer
from talkmill.engine.types import Features, Task

DEMO_FOLDER = Path(talkmill.engine.__file__).parent / "demo_model"
PATIENCE_S = 30.0  # longest wait of a test for what must happen
_SILENCE = -9.0  # what `FakeModel` encodes after a short window; less than any features


def demo_tokenizer() -> WhisperTokenizer:
    return WhisperTokenizer(DEMO_FOLDER / "tokenizer.json", is_multilingual=True)


def tokenizer_file(folder: Path, *, languages: Iterable[str] = ()) -> Path:
    """Write the demo's `tokenizer.json` with more languages, and return its path."""
    content = json.loads((DEMO_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    added = sorted(content["added_tokens"], key=lambda token: token["id"])
    english = next(i for i, token in enumerate(added) if token["content"] == "<|en|>")
    more = [{**added[english], "content": f"<|{language}|>"} for language in languages]
    # CTranslate2 knows a language by its place before the tasks.
    added[english + 1 : english + 1] = more
    for number, token in enumerate(added, added[0]["id"]):
        token["id"] = number
    content["added_tokens"] = added
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def heard(features: Features) -> int:
    """Return the loudest mel band of one chunk: what `FakeModel` recognises."""
    return int(np.argmax(features.mean(axis=1)))


def features_of(band: int, num_frames: int = CHUNK_FRAMES) -> Features:
    """Return features that `FakeModel` hears as `band`."""
    features = np.zeros((N_MELS, num_frames), np.float32)
    features[band] = 1.0
    return features


def words(band: int) -> str:
    """Return the text that `FakeModel` gives for a chunk that it hears as `band`."""
    return f"heard {band}"


@dataclass(frozen=True)
class Batch:
    """One call of the model.

    Attributes:
        shape: Of its features.
        bands: What was heard in each row.
        prompts: Of each row; empty if the batch never came to its decoder.
        plan: How it was decoded; None if it was not.
        num_frames: Of each row's window.
    """

    shape: tuple[int, ...]
    bands: tuple[int, ...]
    prompts: tuple[tuple[int, ...], ...] = ()
    plan: DecodePlan | None = None
    num_frames: tuple[int, ...] = ()


class FakeModel(FakeAlignment):
    """Implements `SpeechModel`: answers each chunk with the loudest band that it hears in it.

    Thread-safe. Attributes may be set at any time:
        poisoned: Bands that make a batch fail.
        max_rows: Larger batches fail, as when memory is short.
        is_lost: Whether the device is lost.
        language: What every chunk is detected as, and how surely.
        said_s: With timestamps, when every answer starts and ends, in seconds of its chunk.
        loops: Bands whose answer repeats itself in a window shorter than 30 s.
        endless_loops: Bands whose answer repeats itself in every window.
        scores: For a band its avg_logprob and no_speech_prob, where they are not band / 100.
        cool_loops: Bands whose answer repeats itself below a temperature of 0.6.
    """

    def __init__(self, tokenizer: WhisperTokenizer | None = None, n_mels: int = N_MELS) -> None:
        self.tokenizer = tokenizer or demo_tokenizer()
        self.n_mels = n_mels
        self.num_tokens = self.tokenizer.timestamp_begin + 1501  # 0 to 30 s
        self.poisoned: frozenset[int] = frozenset()
        self.max_rows: int | None = None
        self.is_lost = False
        self.language = ("en", 0.75)
        self.said_s = (1.0, 2.0)
        self.loops = self.endless_loops = self.cool_loops = frozenset[int]()
        self.scores: dict[int, tuple[float, float]] = {}
        self.encoded: list[Batch] = []
        self.generated: list[Batch] = []
        self.num_detections = 0
        self._gate = threading.Event()
        self._gate.set()
        self._arrived = threading.Condition()
        self._num_calls = 0

    @property
    def bands(self) -> list[int]:
        """What was heard so far, in the order of the encoder's rows."""
        return [band for batch in list(self.encoded) for band in batch.bands]

    def hold(self) -> None:
        """Let every call from now on wait inside the model until `release`."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def wait_for_calls(self, count: int) -> None:
        """Wait until the model has been called so often, held calls included."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: self._num_calls >= count, PATIENCE_S)

    def wait(self) -> None:
        """Count a call, and wait while the model is held."""
        with self._arrived:
            self._num_calls += 1
            self._arrived.notify_all()
        assert self._gate.wait(PATIENCE_S), "the test never released the model"

    def forget(self) -> None:
        """Start counting anew, e.g. after the warm-up."""
        with self._arrived:
            self.encoded, self.generated, self._num_calls = [], [], 0

    def encode(self, features: Sequence[Features], num_positions: int) -> NDArray[np.float32]:
        bands = tuple(heard(row) for row in features)
        num_frames = tuple(row.shape[1] for row in features)
        shape = (len(features), self.n_mels, max(num_frames))
        with self._arrived:
            self.encoded.append(Batch(shape, bands, num_frames=num_frames))
        self.wait()
        if self.is_lost:
            raise DeviceLost("CUDA failed with error an illegal memory access was encountered")
        if self.max_rows is not None and len(features) > self.max_rows:
            raise RuntimeError("CUDA failed with error out of memory")
        if not self.poisoned.isdisjoint(bands):
            raise RuntimeError("poisoned")
        encoded = np.full((len(features), self.n_mels, 2 * num_positions), _SILENCE, np.float32)
        for i, row in enumerate(features):
            encoded[i, :, : row.shape[1]] = row
        return encoded

    def row(self, encoded: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        return encoded[index : index + 1].copy()

    def stack(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(outputs)

    def detect_languages(
        self, encoded: NDArray[np.float32], rows: Sequence[int], max_positions: int = 0
    ) -> list[Detection]:
        self.num_detections += 1
        return [(self.language,)] * len(rows)

    def generate(
        self, encoded: NDArray[np.float32], prompts: list[list[int]], plan: DecodePlan
    ) -> list[Hypothesis]:
        assert len({len(prompt) for prompt in prompts}) == 1, "prompts of several lengths"
        bands = tuple(heard(row) for row in encoded)
        num_frames = tuple(map(_num_frames, encoded))
        batch = Batch(encoded.shape, bands, tuple(map(tuple, prompts)), plan, num_frames)
        with self._arrived:
            self.generated.append(batch)
        return [self.answer(row, plan) for row in encoded]

    def answer_exactly(
        self, encoded: NDArray[np.float32], tasks: Sequence[ExactTask]
    ) -> list[Hypothesis]:
        bands = tuple(heard(row) for row in encoded)
        with self._arrived:
            for row, band, task in zip(encoded, bands, tasks, strict=True):
                prompts, num_frames = (tuple(task.prompt),), (_num_frames(row),)
                self.generated.append(Batch(row.shape, (band,), prompts, task.plan, num_frames))
        return [
            self.answer(row, task.plan) if task.is_wanted() else Hypothesis((), 0.0, 0.0)
            for row, task in zip(encoded, tasks, strict=True)
        ]

    def exact_lane(self, vocabulary: Vocabulary) -> ExactLane:
        return FakeLane(self)

    def answer(self, row: Features, plan: DecodePlan) -> Hypothesis:
        """Return the tokens of `words` for one row of the encoder's output."""
        band = heard(row)
        is_short = _num_frames(row) < CHUNK_FRAMES
        heat = plan.temperature if plan.strategy is Strategy.SAMPLE else 0.0
        is_loop = band in self.endless_loops or (is_short and band in self.loops)
        is_loop = is_loop or (heat < 0.6 and band in self.cool_loops)
        tokens = self.tokenizer.encode(words(band)) * (9 if is_loop else 1)
        if plan.timestamps:
            begin = self.tokenizer.timestamp_begin
            start, end = (begin + round(time_s / TIMESTAMP_S) for time_s in self.said_s)
            tokens = (start, *tokens, end)
        logprob, no_speech = self.scores.get(band, (-band / 100, band / 100))
        logprobs = [-(n + 1) / 64 for n in range(len(tokens))] if plan.token_logprobs else []
        return Hypothesis(tokens, logprob, no_speech, heat, token_logprobs=tuple(logprobs))


def _num_frames(row: Features) -> int:
    """Return the frames of a row of the encoder's output that are not silence after its window."""
    return int((row[0] != _SILENCE).sum())


class FakeLane(ExactLane):
    """`FakeModel`'s exact lane: each chunk leaves after as many steps as its answer has tokens.

    A step waits while the model is held.
    """

    def __init__(self, model: FakeModel) -> None:
        self._model = model
        self._left: dict[ExactTask, tuple[Hypothesis, int]] = {}  # its answer, and steps to go

    @property
    def num_rows(self) -> int:
        return sum(task.plan.num_rows for task in self._left)

    def add(self, encoded: NDArray[np.float32], tasks: Sequence[ExactTask]) -> None:
        answers = self._model.answer_exactly(encoded, tasks)
        for task, answer in zip(tasks, answers, strict=True):
            self._left[task] = (answer, len(answer.tokens))

    def step(self) -> list[tuple[ExactTask, Hypothesis]]:
        self._model.wait()
        self._left = {task: (answer, n - 1) for task, (answer, n) in self._left.items()}
        finished = [(task, answer) for task, (answer, n) in self._left.items() if n <= 0]
        self._left = {task: (answer, n) for task, (answer, n) in self._left.items() if n > 0}
        return finished


def loaded(
    *replicas: FakeModel,
    name: str = "fake",
    tasks: Iterable[Task] = tuple(Task),
    windows_s: tuple[float, ...] = (30.0,),
) -> LoadedModel:
    """Return a model ready for use, made of `replicas` (one by default)."""
    replicas = replicas or (FakeModel(),)
    properties = ModelProperties(tasks=frozenset(tasks), windows_s=windows_s)
    tokenizer = replicas[0].tokenizer
    vocabulary = Vocabulary(tokenizer.end_of_text, tokenizer.timestamp_begin)
    runtime = resolve_runtime(small_config(), properties)
    return LoadedModel(name, replicas, tokenizer, vocabulary, properties, runtime)


def small_config(**settings: object) -> EngineConfig:
    """Return settings for a small machine: one worker, one thread, batches of up to 4."""
    return EngineConfig.model_validate(
        {
            "device": "cpu",
            "compute_type": "float32",
            "encoder": "ctranslate2",
            "workers_per_device": 1,
            "threads_per_worker": 1,
            "prepare_threads": 1,
            "max_batch_size": 4,
            "cache_bytes": 0,  # the same tone asked for twice is to reach the model twice
            **settings,
        }
    )
