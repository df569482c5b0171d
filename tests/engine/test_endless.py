"""Options that let no answer end: what one chunk may take is limited."""

from __future__ import annotations

import pytest

from fakes import FakeModel
from talkmill.engine import Engine, GenerationParameters, InvalidOption, TranscribeOptions


def options(model: FakeModel, **parameters: object) -> TranscribeOptions:
    end = (model.tokenizer.end_of_text,)
    return TranscribeOptions(
        parameters=GenerationParameters(suppress_tokens=end, **parameters)  # type: ignore[arg-type]
    )


def test_beams_without_end_are_refused_with_the_limit(engine: Engine, model: FakeModel) -> None:
    with pytest.raises(InvalidOption, match=r"num_beams 16 x 444 tokens, over the limit of 2048"):
        engine.check(options(model, num_beams=16, patience=10.0))


@pytest.mark.parametrize(
    "parameters",
    [{}, {"num_beams": 16, "patience": 10.0, "max_new_tokens": 100}, {"num_beams": 16}],
    ids=["greedy", "fewer tokens", "exact lane"],
)
def test_what_is_within_the_limit_or_can_be_interrupted_is_taken(
    engine: Engine, model: FakeModel, parameters: dict[str, object]
) -> None:
    assert engine.check(options(model, **parameters)).plan.is_endless
