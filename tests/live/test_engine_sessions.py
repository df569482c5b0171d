"""Sessions on an engine with the demo model: the words of a file, said as they are spoken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from audio_files import decode_file
from fakes import DEMO_FOLDER, PATIENCE_S, small_config
from live_sessions import blocks
from talkmill.engine import (
    Ended,
    Engine,
    Event,
    Failed,
    Final,
    Interim,
    LiveOptions,
    NotReady,
    Overloaded,
    TranscribeOptions,
    VadOptions,
)
from talkmill.engine.scheduling.pipeline import Pipeline
from waiting import wait_until

PAUSES = VadOptions(silence_duration_ms=500)


@pytest.fixture(scope="module")
def demo_engine() -> Iterator[Engine]:
    with Engine(small_config(encoder_windows=(5,))) as engine:
        yield engine


def listen(engine: Engine, options: LiveOptions) -> list[Event]:
    events: list[Event] = []
    with engine.open_session(options, on_event=events.append) as session:
        for block in blocks(decode_file(DEMO_FOLDER / "sample.flac"), 1_600):
            session.feed(block)
            wait_until(lambda: not session._previews.is_running)  # as if it were spoken
    return events


def test_the_words_and_times_are_those_of_the_file(demo_engine: Engine, sample: bytes) -> None:
    asked = TranscribeOptions(timestamps=True, words=True, vad_options=PAUSES)
    file = demo_engine.transcribe(sample, asked)
    finals = [one for one in listen(demo_engine, LiveOptions(asked)) if isinstance(one, Final)]
    segments = [segment for final in finals for segment in final.transcript.segments]
    assert " ".join(final.transcript.text for final in finals) == file.text
    assert [one.text for one in segments] == [one.text for one in file.segments]
    for found, expected in zip(segments, file.segments, strict=True):
        assert found.start_s == pytest.approx(expected.start_s)
        assert [word.text for word in found.words] == [word.text for word in expected.words]


def test_previews_grow_and_end_before_their_utterance(demo_engine: Engine) -> None:
    events = listen(demo_engine, LiveOptions())
    stable: dict[int, str] = {}
    over: set[int] = set()
    for event in events:
        if isinstance(event, Interim):
            assert event.utterance not in over
            assert event.stable_text.startswith(stable.get(event.utterance, ""))
            assert event.text.startswith(event.stable_text)
            stable[event.utterance] = event.stable_text
        elif isinstance(event, Final):
            over.add(event.utterance)
    assert stable


def test_every_permit_is_given_back(demo_engine: Engine) -> None:
    listen(demo_engine, LiveOptions())
    wait_until(lambda: demo_engine.num_requests == 0)
    assert demo_engine.num_sessions == 0
    assert demo_engine.load.num_bytes == 0


def test_a_session_is_a_request_that_counts_against_the_limit() -> None:
    with (
        Engine(small_config(encoder_windows=(5,), max_requests=1)) as engine,
        engine.open_session(on_event=lambda event: None),
        pytest.raises(Overloaded, match="limit of 1 concurrent"),
    ):
        engine.open_session(on_event=lambda event: None)


def test_an_utterance_that_cannot_be_prepared_fails_alone_and_holds_no_permit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[Event] = []

    def fail(*_: object) -> None:
        raise MemoryError

    with Engine(small_config(encoder_windows=(5,))) as engine:
        monkeypatch.setattr(Pipeline, "add_chunk", fail)
        with engine.open_session(LiveOptions(interim=False), on_event=events.append) as session:
            session.feed(decode_file(DEMO_FOLDER / "sample.flac"))
        assert [type(event) for event in events if not isinstance(event, Ended)][-1] is Failed
        assert events[-1] == Ended("the audio has ended")
        assert engine.num_requests == 0
        engine.drain().result(PATIENCE_S)


def test_a_drain_answers_what_was_said_and_ends_the_session() -> None:
    events: list[Event] = []
    with Engine(small_config(encoder_windows=(5,))) as engine:
        session = engine.open_session(on_event=events.append)
        sound = decode_file(DEMO_FOLDER / "sample.flac")
        session.feed(sound[: 16_000 * 2])
        engine.drain().result(PATIENCE_S)
        assert session.has_ended
        with pytest.raises(NotReady):
            engine.open_session(on_event=events.append)
    assert [type(event) for event in events][-2:] == [Final, Ended]
    assert events[-1] == Ended("the engine is draining")
