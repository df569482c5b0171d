"""Live sessions without a model: passes that end when a test says so, and audio that speaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fakes import FakeModel, loaded
from pending import new_request
from planned_audio import Plan, audio_of, detector
from talkmill.engine import (
    CheckedOptions,
    Event,
    LiveOptions,
    Request,
    Session,
    Timings,
    Transcript,
)
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.live.options import check_live
from talkmill.engine.live.utterances import Utterances
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.types import Chunk, Samples

SPEECH, PAUSE = 32, 20  # windows: 1.02 s of speech, 0.64 s of silence
SAID: Plan = [(SPEECH, PAUSE)]


@dataclass
class Pass:
    """One pass that a session has started."""

    chunk: Chunk
    checked: CheckedOptions
    request: Request

    def answer(self, text: str, language: str = "en") -> None:
        self.request.answer(Transcript(text, (), language, 1.0, 1.0, 1.0, Timings()))


@dataclass
class FakePasses:
    """Keeps every pass, and ends none by itself."""

    all: list[Pass] = field(default_factory=list)

    def start(self, chunk: Chunk, checked: CheckedOptions) -> Request:
        request = new_request()
        self.all.append(Pass(chunk, checked, request))
        return request

    @property
    def finals(self) -> list[Pass]:
        return [one for one in self.all if not one.checked.is_interim]

    @property
    def previews(self) -> list[Pass]:
        return [one for one in self.all if one.checked.is_interim]


@dataclass
class Talk:
    """A session, what it had the model do, and what it told."""

    session: Session
    passes: FakePasses
    events: list[Event]

    def say(self, *plan: tuple[int, int]) -> None:
        self.session.feed(audio_of(list(plan)))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def talk(options: LiveOptions | None = None, max_audio_s: float = 3600.0) -> Talk:
    """Return a session in English; without previews unless `options` say."""
    options = options or LiveOptions(interim=False)
    if options.transcribe.language is None:
        options = replace(options, transcribe=replace(options.transcribe, language="en"))
    return open_talk(options, max_audio_s)


def open_talk(
    options: LiveOptions, max_audio_s: float = 3600.0, tokenizer: WhisperTokenizer | None = None
) -> Talk:
    """Return a session with exactly these options, on a model with a vocabulary."""
    checked = check_live(loaded(FakeModel(tokenizer)), options, beams=1)
    vad_options = checked.given.transcribe.vad_options
    utterances = Utterances(CHUNK_SAMPLES, vad_options, detector)
    passes, events = FakePasses(), list[Event]()
    session = Session(checked, passes, utterances, max_audio_s, events.append)
    return Talk(session, passes, events)


def blocks(audio: Samples, size: int) -> list[Samples]:
    """Return audio in blocks of a size."""
    return np.split(audio, range(size, len(audio), size))
