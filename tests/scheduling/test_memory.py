from __future__ import annotations

import threading

import pytest

from fakes import PATIENCE_S, tones_file
from talkmill.engine import Engine, TranscribeOptions
from talkmill.engine.scheduling import feeder, memory
from talkmill.engine.types import VadMode


def test_freed_memory_is_given_back_once_nothing_is_left_to_do(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = threading.Event()
    monkeypatch.setattr(feeder, "_IDLE_S", 0.0)
    monkeypatch.setattr(feeder, "give_back", given_back.set)
    engine.transcribe(tones_file(1), TranscribeOptions(vad=VadMode.OFF))
    assert given_back.wait(PATIENCE_S)


def test_giving_back_works_here() -> None:
    memory.give_back()
