"""How many beams a request has that leaves its search open: the server's."""

from __future__ import annotations

import pytest

from fakes import FakeModel, loaded, small_config
from talkmill.engine import Engine, GenerationParameters, TranscribeOptions


@pytest.mark.parametrize("beams", [1, 5])
def test_a_request_without_parameters_has_the_beams_of_the_server(
    model: FakeModel, beams: int
) -> None:
    with Engine(small_config(beams=beams), model=loaded(model)) as engine:
        assert engine.check(TranscribeOptions()).plan.num_beams == beams


def test_token_logprobs_come_from_greedy_search_which_has_them(engine: Engine) -> None:
    assert engine.check(TranscribeOptions()).plan.num_beams == 3
    plan = engine.check(TranscribeOptions(token_logprobs=True)).plan
    assert (plan.num_beams, plan.token_logprobs) == (1, True)


def test_a_request_that_asks_for_one_beam_has_one(engine: Engine) -> None:
    options = TranscribeOptions(parameters=GenerationParameters(num_beams=1))
    assert engine.check(options).plan.num_beams == 1
