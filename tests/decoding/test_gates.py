"""When the gates apply, with which thresholds, and what a chunk that fails is decoded with next."""

from __future__ import annotations

from typing import Any

import pytest

from talkmill.engine import GenerationParameters, InvalidOption
from talkmill.engine.decoding.gates import (
    NO_GATES,
    TEMPERATURES,
    Gates,
    make_gates,
    with_beams,
)
from talkmill.engine.decoding.plan import Strategy, make_plan

EXACT = [{"num_beams": 5}, {"seed": 3}, {"temperature": 0.0}, {"max_new_tokens": 9}]


def gates_of(**given: Any) -> tuple[Gates, list[str]]:
    """Return the gates, and the names of the parameters without effect."""
    parameters = GenerationParameters(**given)
    plan, warnings = make_plan(parameters, timestamps=True, prompt_length=3)
    gates, warnings = make_gates(parameters, plan, warnings, prompt_length=3)
    return gates, [warning.split()[0] for warning in warnings]


def temperatures(gates: Gates) -> list[float]:
    return [0.0 if p.strategy is Strategy.GREEDY else p.temperature for p in gates.fallbacks]


@pytest.mark.parametrize("given", [{}, {"use_cache": True}])
def test_a_request_without_parameters_has_the_gates_of_openai_whisper(given: Any) -> None:
    gates, _ = gates_of(**given)
    assert temperatures(gates) == list(TEMPERATURES[1:]) == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert (gates.compression_ratio, gates.logprob, gates.no_speech) == (2.4, -1.0, 0.6)


@pytest.mark.parametrize("given", EXACT)
def test_a_request_that_chooses_its_decoding_has_none(given: dict[str, Any]) -> None:
    assert gates_of(**given)[0] == NO_GATES


@pytest.mark.parametrize(
    "given", [{}, {"use_cache": True, "logprob_threshold": -0.8, "condition_on_prev_tokens": True}]
)
def test_parameters_that_choose_no_search_leave_it_to_the_server(given: dict[str, Any]) -> None:
    parameters = with_beams(GenerationParameters(**given), 5)
    plan, warnings = make_plan(parameters, timestamps=True, prompt_length=3)
    assert (plan.strategy, plan.num_beams, plan.is_exact) == (Strategy.BEAM, 5, False)
    assert {warning.split()[0] for warning in warnings} == given.keys() & {"use_cache"}


@pytest.mark.parametrize("given", [*EXACT, {"num_beams": 1}, {"temperature": (0.0, 0.4)}])
def test_parameters_that_choose_a_search_are_not_changed(given: dict[str, Any]) -> None:
    parameters = GenerationParameters(**given)
    assert with_beams(parameters, 5) == parameters


@pytest.mark.parametrize("given", EXACT[:2])
def test_a_list_of_temperatures_gives_any_request_gates(given: dict[str, Any]) -> None:
    gates, _ = gates_of(**given, temperature=(0.0, 0.3, 0.9))
    assert temperatures(gates) == [0.3, 0.9]
    assert gates.logprob == -1.0


def test_a_threshold_alone_leaves_the_others_at_their_defaults() -> None:
    gates, _ = gates_of(logprob_threshold=-0.5)
    assert len(gates.fallbacks) == 5
    assert (gates.compression_ratio, gates.logprob, gates.no_speech) == (2.4, -0.5, 0.6)


def test_a_threshold_beside_one_temperature_only_finds_silence() -> None:
    gates, idle = gates_of(temperature=0.0, no_speech_threshold=0.4, compression_ratio_threshold=2)
    assert gates.fallbacks == ()
    assert gates.no_speech == 0.4
    assert idle == ["compression_ratio_threshold"]


def test_the_given_compression_ratio_is_hf_s_of_tokens() -> None:
    gates, _ = gates_of(compression_ratio_threshold=1.35)
    assert (gates.compression_ratio, gates.token_compression_ratio) == (None, 1.35)


def test_later_attempts_draw_with_a_seed_in_the_exact_lane_whatever_the_first_does() -> None:
    gates, _ = gates_of(temperature=(0.0, 0.4), num_beams=4, early_stopping=True)
    (plan,) = gates.fallbacks
    assert (plan.strategy, plan.num_beams, plan.is_exact) == (Strategy.SAMPLE, 1, True)
    assert plan.is_deterministic
    assert gates_of(temperature=(0.0, 0.4), seed=8)[0].fallbacks[0].seed == 8


def test_what_only_later_attempts_use_has_an_effect() -> None:
    assert gates_of(top_p=0.9)[1] == ["top_p"]
    assert gates_of(top_p=0.9, temperature=(0.0, 0.4))[1] == []
    assert gates_of(patience=2.0, temperature=(0.0, 0.4))[1] == ["patience"]


@pytest.mark.parametrize("number", [0, 11])
def test_a_list_of_no_or_too_many_temperatures_is_refused(number: int) -> None:
    with pytest.raises(InvalidOption, match=f"list of {number} values: 1 to 10"):
        gates_of(temperature=(0.5,) * number)
