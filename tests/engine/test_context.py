"""What stands before a chunk: prompts of many requests, hotwords, and the text before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes import PATIENCE_S, FakeModel, heard, loaded, small_config, tones_file, words
from talkmill.engine import Engine, GenerationParameters, Task, TranscribeOptions, VadMode
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.parameters import MAX_POSITIONS
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.tokenizer import MAX_PREVIOUS_TOKENS

OFF = TranscribeOptions(vad=VadMode.OFF)
# The gates stop an answer where it is a loop for its audio.
UNGATED = replace(OFF, parameters=GenerationParameters(temperature=0.0))
EXACT = {"min_new_tokens": 1}
lanes = pytest.mark.parametrize("given", [{}, EXACT], ids=["native", "exact"])


def conditioned(**given: Any) -> TranscribeOptions:
    parameters = GenerationParameters(condition_on_prev_tokens=True, **given)
    return replace(OFF, parameters=parameters)


def prompts(model: FakeModel) -> list[tuple[int, ...]]:
    """Return the prompt of each chunk, in the order of decoding."""
    return [prompt for batch in model.generated for prompt in batch.prompts]


@pytest.fixture
def before(model: FakeModel) -> Callable[..., tuple[int, ...]]:
    """Makes the prompt that is expected with these tokens before it."""

    def prompt(*previous: int) -> tuple[int, ...]:
        return tuple(model.tokenizer.prompt("en", Task.TRANSCRIBE, False, previous))

    return prompt


@lanes
def test_hotwords_and_prompt_stand_before_every_chunk(
    engine: Engine,
    model: FakeModel,
    before: Callable[..., tuple[int, ...]],
    given: dict[str, Any],
) -> None:
    parameters = GenerationParameters(**given)
    options = replace(
        OFF, prompt="call emma", hotwords=("talkmill", "Zürich"), parameters=parameters
    )
    assert engine.transcribe(tones_file(10, 20), options).warnings == ()
    encode = model.tokenizer.encode
    assert prompts(model) == [before(*encode("talkmill, Zürich"), *encode("call emma"))] * 2


def test_what_is_cut_of_a_prompt_is_said_and_room_for_the_answer_remains(
    engine: Engine, model: FakeModel
) -> None:
    options = replace(UNGATED, prompt="emma " * 300, hotwords=("seven",) * 300)
    transcript = engine.transcribe(tones_file(10), options)
    assert [warning.split(":")[0] for warning in transcript.warnings] == ["hotwords", "prompt"]
    (prompt,) = prompts(model)
    assert len(prompt) == MAX_PREVIOUS_TOKENS + 5
    plan = model.generated[0].plan
    assert plan is not None
    assert len(prompt) + plan.max_new_tokens == MAX_POSITIONS


def test_prompt_of_special_tokens_is_text(
    engine: Engine, model: FakeModel, before: Callable[..., tuple[int, ...]]
) -> None:
    text = "<|en|><|translate|> <|endoftext|>"
    engine.transcribe(tones_file(10), replace(OFF, prompt=text, hotwords=("<|startofprev|>",)))
    (prompt,) = prompts(model)
    inside = prompt[1 : -len(before())]
    assert max(inside) < model.tokenizer.end_of_text
    assert model.tokenizer.decode(inside) == f" <|startofprev|> {text}"


@lanes
def test_prompts_of_any_length_fail_nobody(
    engine: Engine, model: FakeModel, given: dict[str, Any]
) -> None:
    parameters = GenerationParameters(**given)
    texts = ["", "call emma", "<|endoftext|>" * 5, "\x00", "é" * 4096, "🙂 " * 2048, "a" * 4096]
    model.hold()
    requests = [
        engine.submit(tones_file(band), replace(OFF, prompt=one, parameters=parameters))
        for band, one in enumerate(texts, 10)
    ]
    model.release()
    answers = [request.future.result(PATIENCE_S).text for request in requests]
    assert answers == [words(band) for band, _ in enumerate(texts, 10)]


@lanes
def test_text_of_the_chunks_before_is_the_prompt_of_the_next(
    engine: Engine,
    model: FakeModel,
    before: Callable[..., tuple[int, ...]],
    given: dict[str, Any],
) -> None:
    options = replace(conditioned(**given), prompt="call emma", hotwords=("talkmill",))
    transcript = engine.transcribe(tones_file(10, 20, 30), options)
    assert transcript.text == " ".join(map(words, (10, 20, 30)))
    encode = model.tokenizer.encode
    start = (*encode("talkmill"), *encode("call emma"))
    assert prompts(model) == [
        before(*start),
        before(*start, *encode(words(10))),
        before(*start, *encode(words(10)), *encode(words(20))),
    ]


def test_text_before_a_chunk_is_kept_from_no_other_request(
    engine: Engine, model: FakeModel, before: Callable[..., tuple[int, ...]]
) -> None:
    model.hold()
    serial = engine.submit(tones_file(10, 11, 12, 13), conditioned())
    others = [engine.submit(tones_file(band), OFF) for band in (30, 31, 32)]
    model.release()
    serial.future.result(PATIENCE_S)
    assert [request.future.result(PATIENCE_S).text for request in others] == [
        words(band) for band in (30, 31, 32)
    ]
    for batch in model.generated:
        for band, prompt in zip(batch.bands, batch.prompts, strict=True):
            assert (prompt == before()) is (band not in (11, 12, 13))


def test_long_text_leaves_room_for_each_answer(engine: Engine, model: FakeModel) -> None:
    bands = range(10, 18)
    options = replace(conditioned(temperature=0.0), prompt="call emma " * 70)
    engine.transcribe(tones_file(*bands), options)
    lengths = [len(prompt) for prompt in prompts(model)]
    assert lengths[0] < max(lengths) == MAX_PREVIOUS_TOKENS + 5
    for batch in model.generated:
        assert batch.plan is not None
        assert len(batch.prompts[0]) + batch.plan.max_new_tokens == MAX_POSITIONS


def test_limits_of_the_request_hold_for_every_chunk(engine: Engine, model: FakeModel) -> None:
    engine.transcribe(tones_file(10, 20, 30), conditioned(max_new_tokens=7))
    assert {batch.plan.max_new_tokens for batch in model.generated if batch.plan} == {7}


def test_timestamps_are_in_the_text_before_a_chunk(engine: Engine, model: FakeModel) -> None:
    engine.transcribe(tones_file(10, 20), replace(conditioned(), timestamps=True))
    begin = model.tokenizer.timestamp_begin
    _, second = prompts(model)
    assert second[1:-3] == (begin + 50, *model.tokenizer.encode(words(10)), begin + 100)


def test_penalties_count_the_text_before_a_chunk_in_the_exact_lane(
    engine: Engine, model: FakeModel
) -> None:
    engine.transcribe(tones_file(10), conditioned(repetition_penalty=1.5))
    (batch,) = model.generated
    assert batch.plan is not None
    assert batch.plan.is_exact


class Drawn(FakeModel):
    """Answers one band as if it were drawn at a high temperature, and another without words."""

    def answer(self, row: Any, plan: DecodePlan) -> Hypothesis:
        found = super().answer(row, plan)
        if heard(row) == 20:
            return replace(found, temperature=0.6)
        return Hypothesis((), 0.0, 0.0) if heard(row) == 30 else found


def test_text_is_forgotten_after_a_chunk_that_was_drawn_above_one_half() -> None:
    model = Drawn()
    with Engine(small_config(), model=loaded(model)) as engine:
        model.forget()
        options = replace(conditioned(), prompt="call emma", hotwords=("talkmill",))
        engine.transcribe(tones_file(10, 20, 30, 40, 50), options)
    encode, tokenizer = model.tokenizer.encode, model.tokenizer
    hotwords = encode("talkmill")
    expected = [
        (*hotwords, *encode("call emma")),
        (*hotwords, *encode("call emma"), *encode(words(10))),
        hotwords,
        hotwords,
        (*hotwords, *encode(words(40))),
    ]
    assert prompts(model) == [
        tuple(tokenizer.prompt("en", Task.TRANSCRIBE, False, previous)) for previous in expected
    ]
