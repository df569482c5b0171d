"""Runs an exported model in the engine and returns its answers."""

import io
import wave
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from talkmill.engine import Engine, EngineConfig, TranscribeOptions, VadMode
from training.evaluation_sets import Audio, Item, Place
from training.features import SAMPLE_RATE


@dataclass(frozen=True)
class Answer:
    """The model's answer to one item, without timestamps and with them."""

    text: str
    segments: tuple[Place, ...]

    @property
    def timed_text(self) -> str:
        """The words that came with timestamps."""
        return " ".join(segment.text for segment in self.segments)


class Recognizer:
    """An exported model in an engine with default settings. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Load a CTranslate2 folder."""
        self._engine = Engine(EngineConfig(model=str(folder)))

    def __enter__(self) -> "Recognizer":
        """Start the engine."""
        self._engine.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the engine."""
        self._engine.close()

    def answer(self, item: Item) -> Answer:
        """Return the answer to one item. Without speech, VAD is off: the model must detect that."""
        vad = VadMode.AUTO if item.places else VadMode.OFF
        file = to_wav(item.audio)
        plain = self._engine.transcribe(file, TranscribeOptions(vad=vad))
        timed = self._engine.transcribe(file, TranscribeOptions(vad=vad, timestamps=True))
        end_s = len(item.audio) / SAMPLE_RATE
        segments = tuple(
            Place(s.text.strip(), s.start_s, end_s if s.end_s is None else s.end_s)
            for s in timed.segments
        )
        return Answer(plain.text, segments)


def to_wav(audio: Audio) -> bytes:
    """Return float32 samples as a WAV file of 16 bits."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes())
    return target.getvalue()
