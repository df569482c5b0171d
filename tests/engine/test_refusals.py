"""Requests that the engine does not take, and what it does with their files."""

from __future__ import annotations

import io
from typing import Any

import pytest

from fakes import PATIENCE_S, FakeModel, loaded, small_config, tones_file, words
from pending import text
from talkmill.engine import (
    AudioTooLong,
    Engine,
    GenerationParameters,
    InvalidAudio,
    InvalidOption,
    NotReady,
    Overloaded,
    RequestError,
    State,
    Task,
    TranscribeOptions,
    VadMode,
)

OFF = TranscribeOptions(vad=VadMode.OFF)
TONE = tones_file(40)
REFUSED = [
    pytest.param({"language": "xx"}, InvalidOption, "language", id="language"),
    pytest.param({"languages": ("xx",)}, InvalidOption, "languages", id="languages"),
    pytest.param({"languages": ("",)}, InvalidOption, "languages", id="empty one of languages"),
    pytest.param({"task": Task.TRANSLATE}, InvalidOption, "task", id="task"),
    *(
        pytest.param(
            {"parameters": GenerationParameters(max_new_tokens=count)},
            InvalidOption,
            "max_new_tokens",
            id=f"max_new_tokens {count}",
        )
        for count in (-1, 0, 449, 10**9)
    ),
    pytest.param(
        {"token_logprobs": True, "parameters": GenerationParameters(num_beams=2, patience=1.0)},
        InvalidOption,
        "token_logprobs",
        id="token_logprobs with patience",
    ),
    *(
        pytest.param(
            {"parameters": GenerationParameters(num_beams=count)},
            InvalidOption,
            "num_beams",
            id=f"num_beams {count}",
        )
        for count in (-1, 0, 17)
    ),
]


class TestRefusals:
    @pytest.fixture
    def engine(self, model: FakeModel) -> Engine:
        return Engine(
            small_config(max_audio_bytes=100_000, max_audio_s=40.0),
            model=loaded(model, tasks=[Task.TRANSCRIBE]),
        )

    @pytest.mark.parametrize(("options", "error", "field"), REFUSED)
    def test_option_that_cannot_be_is_refused_by_name(
        self, engine: Engine, options: dict[str, Any], error: type[RequestError], field: str
    ) -> None:
        source = io.BytesIO(TONE)
        with engine, pytest.raises(error) as failure:
            engine.submit(source, TranscribeOptions(**options))
        assert failure.value.field == field
        assert source.closed

    def test_checked_options_are_taken_as_they_are(self, engine: Engine) -> None:
        with engine:
            checked = engine.check(OFF)
            request = engine.submit(TONE, checked)
            assert text(request) == words(40)
            assert request.checked is checked

    @pytest.mark.parametrize(
        ("file", "error"),
        [(b"", InvalidAudio), (bytes(100_001), AudioTooLong)],
        ids=["empty", "too large"],
    )
    def test_size_is_checked_before_anything_is_read(
        self, engine: Engine, file: bytes, error: type[RequestError]
    ) -> None:
        source = io.BytesIO(file)
        with engine, pytest.raises(error):
            engine.submit(source)
        assert source.closed

    def test_longest_answer_that_fits_is_taken(self, engine: Engine, model: FakeModel) -> None:
        prompt = len(model.tokenizer.prompt("en", Task.TRANSCRIBE, False))
        options = TranscribeOptions(
            vad=VadMode.OFF,
            parameters=GenerationParameters(max_new_tokens=448 - prompt),
        )
        with engine:
            assert engine.submit(TONE, options).future.result(PATIENCE_S).warnings == ()

    def test_longer_answer_than_fits_is_cut_with_a_warning(self, engine: Engine) -> None:
        parameters = GenerationParameters(max_new_tokens=448)
        options = TranscribeOptions(vad=VadMode.OFF, parameters=parameters)
        with engine:
            request = engine.submit(TONE, options)
            (warning,) = request.future.result(PATIENCE_S).warnings
        assert warning.startswith("max_new_tokens 448: only 444 fit")
        assert request.checked.plan.max_new_tokens == 444

    def test_more_requests_than_allowed_are_overload(self, model: FakeModel) -> None:
        with Engine(small_config(max_requests=2), model=loaded(model)) as engine:
            model.forget()
            model.hold()
            taken = [engine.submit(TONE, OFF) for _ in range(2)]
            source = io.BytesIO(TONE)
            with pytest.raises(Overloaded):
                engine.submit(source, OFF)
            assert source.closed
            taken[0].cancel()  # makes room at once
            taken.append(engine.submit(TONE, OFF))
            model.release()
            assert text(taken[1]) == text(taken[2]) == words(40)

    def test_engine_that_is_not_started_takes_nothing(self, engine: Engine) -> None:
        assert engine.state is State.LOADING
        with pytest.raises(NotReady):
            engine.submit(TONE)

    def test_closed_engine_takes_nothing(self, engine: Engine) -> None:
        with engine:
            before = engine.state
        assert (before, engine.state) == (State.READY, State.DRAINING)
        source = io.BytesIO(TONE)
        with pytest.raises(NotReady):
            engine.submit(source)
        assert source.closed

    def test_engine_that_never_started_can_be_closed(self, engine: Engine) -> None:
        engine.close()
        engine.close()
