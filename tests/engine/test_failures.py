"""Requests that fail: alone, with their files closed, and without harm to others."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fakes import FakeModel, loaded, small_config, tones_file, words
from pending import outcome, text
from talkmill.engine import (
    AudioTooLong,
    Cancelled,
    DeadlineExceeded,
    DeviceLost,
    Engine,
    EngineFailed,
    InvalidAudio,
    ModelError,
    NotReady,
    RequestError,
    Segment,
    State,
    TranscribeOptions,
    VadMode,
)

OFF = TranscribeOptions(vad=VadMode.OFF)
TONE = tones_file(40)


class TestFailures:
    def test_poisoned_request_fails_alone(self, engine: Engine, model: FakeModel) -> None:
        model.poisoned = frozenset({20})
        model.hold()
        requests = [engine.submit(tones_file(band), OFF) for band in (10, 20, 30, 40)]
        model.release()
        errors = [outcome(request) for request in requests]
        assert [type(error) for error in errors] == [
            type(None),
            ModelError,
            type(None),
            type(None),
        ]
        assert engine.state is State.READY

    def test_one_poisoned_chunk_fails_its_whole_request(
        self, engine: Engine, model: FakeModel
    ) -> None:
        model.poisoned = frozenset({20})
        request = engine.submit(tones_file(10, 20, 30), OFF)
        assert isinstance(outcome(request), ModelError)
        assert text(engine.submit(TONE, OFF)) == words(40)

    def test_lost_device_fails_every_request_and_is_reported_once(self, model: FakeModel) -> None:
        reported: list[EngineFailed] = []
        with Engine(small_config(), model=loaded(model), on_failure=reported.append) as engine:
            model.forget()
            model.hold()
            sources = [io.BytesIO(tones_file(10, 20, 30)) for _ in range(6)]
            requests = [engine.submit(source, OFF) for source in sources]
            model.wait_for_calls(1)
            model.is_lost = True
            model.release()
            # Those in the call may be its cause; the others may be sent to another server.
            assert {type(outcome(request)) for request in requests} == {ModelError, NotReady}
            assert engine.state is State.FAILED
            with pytest.raises(NotReady):
                engine.submit(TONE)
        assert [type(error) for error in reported] == [DeviceLost]
        assert engine.state is State.FAILED
        assert all(source.closed for source in sources)

    def test_cancelled_request_never_reaches_the_model(
        self, engine: Engine, model: FakeModel
    ) -> None:
        model.hold()
        first = engine.submit(tones_file(10), OFF)
        model.wait_for_calls(1)
        gone = engine.submit(tones_file(20), OFF)
        stays = engine.submit(tones_file(30), OFF)
        gone.cancel()
        model.release()
        assert isinstance(outcome(gone), Cancelled)
        assert (text(first), text(stays)) == (words(10), words(30))
        assert 20 not in model.bands

    def test_expired_request_never_reaches_the_model(
        self, engine: Engine, model: FakeModel
    ) -> None:
        request = engine.submit(tones_file(20), OFF, timeout_s=0.0)
        assert isinstance(outcome(request), DeadlineExceeded)
        assert text(engine.submit(TONE, OFF)) == words(40)
        assert model.bands == [40]

    def test_listener_that_raises_fails_its_own_request_only(self, engine: Engine) -> None:
        def raise_(_: Segment) -> None:
            raise ValueError("a fault of the listener")

        faulty = engine.submit(tones_file(10, 20), OFF, on_segment=raise_)
        assert isinstance(outcome(faulty), ModelError)
        assert text(engine.submit(TONE, OFF)) == words(40)

    @pytest.mark.parametrize(
        ("file", "error"),
        [(b"no audio", InvalidAudio), (tones_file(1, 2), AudioTooLong)],
        ids=["invalid", "too long"],
    )
    def test_fault_of_the_audio_is_the_answer(
        self, model: FakeModel, file: bytes, error: type[RequestError]
    ) -> None:
        with Engine(small_config(max_audio_s=30.5), model=loaded(model)) as engine:
            assert isinstance(outcome(engine.submit(file, OFF)), error)


class TestSources:
    @pytest.mark.parametrize("what", ["answer", "invalid", "poisoned", "cancelled", "expired"])
    def test_source_is_closed_whatever_the_outcome(self, model: FakeModel, what: str) -> None:
        source = io.BytesIO(b"no audio" if what == "invalid" else tones_file(10, 20))
        with Engine(small_config(), model=loaded(model)) as engine:
            model.poisoned = frozenset({10}) if what == "poisoned" else frozenset()
            request = engine.submit(source, OFF, timeout_s=0.0 if what == "expired" else None)
            if what == "cancelled":
                request.cancel()
            outcome(request)
        assert source.closed

    def test_file_on_disk_is_read_and_closed(self, engine: Engine, tmp_path: Path) -> None:
        path = tmp_path / "tone.flac"
        path.write_bytes(TONE)
        file = path.open("rb")
        assert text(engine.submit(file, OFF)) == words(40)
        engine.close()
        assert file.closed
