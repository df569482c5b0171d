"""What a request gives comes to one plan or to a refusal."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkmill.engine import GenerationParameters, InvalidOption
from talkmill.engine.decoding.parameters import MAX_POSITIONS, PARAMETERS, Parameter
from talkmill.engine.decoding.plan import OF_CHUNKS, DecodePlan, Strategy, make_plan

PROMPT, NATIVE, EXACT = 4, False, True


def plan_of(*, prompt_length: int = PROMPT, timestamps: bool = False, **values: Any) -> DecodePlan:
    parameters = GenerationParameters(**values)
    return make_plan(parameters, timestamps=timestamps, prompt_length=prompt_length)[0]


@pytest.mark.parametrize(
    ("values", "strategy", "is_exact"),
    [
        ({}, Strategy.GREEDY, NATIVE),
        ({"temperature": 0}, Strategy.GREEDY, NATIVE),
        ({"do_sample": False}, Strategy.GREEDY, NATIVE),
        ({"do_sample": False, "temperature": 0.7}, Strategy.GREEDY, NATIVE),
        ({"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}, Strategy.GREEDY, NATIVE),
        ({"suppress_tokens": (3,)}, Strategy.GREEDY, NATIVE),
        ({"min_new_tokens": 1}, Strategy.GREEDY, EXACT),
        ({"min_length": PROMPT + 1}, Strategy.GREEDY, EXACT),
        ({"min_length": PROMPT}, Strategy.GREEDY, NATIVE),
        ({"min_new_tokens": 0, "min_length": 50}, Strategy.GREEDY, NATIVE),
        ({"temperature": 0.7}, Strategy.SAMPLE, NATIVE),
        ({"temperature": 0.7, "do_sample": True}, Strategy.SAMPLE, NATIVE),
        ({"do_sample": True}, Strategy.SAMPLE, NATIVE),
        ({"do_sample": True, "top_k": 5}, Strategy.SAMPLE, NATIVE),
        ({"do_sample": True, "seed": 0}, Strategy.SAMPLE, EXACT),
        ({"do_sample": True, "top_p": 0.9}, Strategy.SAMPLE, EXACT),
        ({"do_sample": True, "top_p": 1.0}, Strategy.SAMPLE, NATIVE),
        ({"do_sample": True, "typical_p": 0.9}, Strategy.SAMPLE, EXACT),
        ({"do_sample": True, "typical_p": 1.0}, Strategy.SAMPLE, NATIVE),
        ({"do_sample": True, "epsilon_cutoff": 0.1}, Strategy.SAMPLE, EXACT),
        ({"do_sample": True, "epsilon_cutoff": 0.0}, Strategy.SAMPLE, NATIVE),
        ({"do_sample": True, "eta_cutoff": 0.1}, Strategy.SAMPLE, EXACT),
        ({"do_sample": True, "min_new_tokens": 3}, Strategy.SAMPLE, EXACT),
        ({"do_sample": True, "penalty_alpha": 0.6}, Strategy.SAMPLE, NATIVE),
        ({"num_beams": 1}, Strategy.GREEDY, NATIVE),
        ({"do_sample": True, "temperature": 0}, Strategy.GREEDY, NATIVE),
        ({"do_sample": True, "temperature": 0, "num_beams": 4}, Strategy.BEAM, EXACT),
        ({"num_beams": 4}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "patience": 1}, Strategy.BEAM, NATIVE),
        ({"num_beams": 4, "patience": 2, "length_penalty": 0.5}, Strategy.BEAM, NATIVE),
        ({"num_beams": 4, "patience": 2, "early_stopping": False}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "patience": 2, "min_new_tokens": 2}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "early_stopping": False}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "early_stopping": True}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "early_stopping": "never"}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "min_new_tokens": 2}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "penalty_alpha": 0.6}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "num_beam_groups": 1}, Strategy.BEAM, EXACT),
        ({"num_beams": 4, "num_beam_groups": 2}, Strategy.DIVERSE_BEAM, EXACT),
        ({"num_beams": 4, "num_beam_groups": 4}, Strategy.DIVERSE_BEAM, EXACT),
        ({"num_beam_groups": 4}, Strategy.GREEDY, NATIVE),
        ({"early_stopping": True}, Strategy.GREEDY, NATIVE),
        ({"penalty_alpha": 0.6}, Strategy.CONTRASTIVE, EXACT),
        ({"penalty_alpha": 0.6, "top_k": 2}, Strategy.CONTRASTIVE, EXACT),
        ({"penalty_alpha": 0.6, "top_k": 1}, Strategy.GREEDY, NATIVE),
        ({"penalty_alpha": 0.6, "top_k": 0}, Strategy.GREEDY, NATIVE),
        ({"penalty_alpha": 0.0, "top_k": 4}, Strategy.GREEDY, NATIVE),
    ],
    ids=str,
)
def test_parameters_choose_algorithm_and_lane(
    values: dict[str, Any], strategy: Strategy, is_exact: bool
) -> None:
    plan = plan_of(**values)
    assert (plan.strategy, plan.is_exact) == (strategy, is_exact)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"do_sample": True, "num_beams": 2}, "num_beams"),
        ({"temperature": 0.5, "num_beams": 2}, "num_beams"),
        ({"do_sample": True, "num_beam_groups": 2}, "num_beam_groups"),
        ({"num_beams": 4, "num_beam_groups": 3}, "num_beam_groups"),
        ({"num_beams": 2, "num_beam_groups": 4}, "num_beam_groups"),
        ({"penalty_alpha": 0.6, "top_k": 65}, "top_k"),
        ({"max_length": PROMPT}, "max_length"),
        ({"num_beams": 2, "patience": 0.4}, "patience"),
    ],
    ids=str,
)
def test_a_contradiction_is_refused_by_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        plan_of(**values)
    assert refusal.value.field == field
    assert field in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "is_exact"),
    [
        ({}, NATIVE),
        ({"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}, NATIVE),
        ({"suppress_tokens": (3,)}, NATIVE),
        ({"temperature": 0.7}, NATIVE),
        ({"repetition_penalty": 1.3}, EXACT),
        ({"no_repeat_ngram_size": 3}, EXACT),
        ({"temperature": 0.7, "repetition_penalty": 0.9}, EXACT),
        ({"temperature": 0.7, "no_repeat_ngram_size": 2}, EXACT),
    ],
    ids=str,
)
def test_penalties_that_must_see_the_preceding_text_choose_the_exact_lane(
    values: dict[str, Any], is_exact: bool
) -> None:
    parameters = GenerationParameters(**values)
    plan, _ = make_plan(parameters, timestamps=False, prompt_length=9, has_previous=True)
    assert plan.is_exact is is_exact
    assert not plan_of(prompt_length=9, **values).is_exact


def test_beams_without_more_are_those_that_stop_as_hf_s_default_says() -> None:
    assert plan_of(num_beams=4) == plan_of(num_beams=4, early_stopping=False)


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"min_new_tokens": 6, "max_new_tokens": 5}, "min_new_tokens", 5),
        ({"min_new_tokens": 9, "max_length": PROMPT + 8}, "min_new_tokens", 8),
        ({"min_length": PROMPT + 9, "max_new_tokens": 8}, "min_length", 8),
        ({"min_length": 30, "max_length": 29}, "min_length", 29 - PROMPT),
        ({"min_new_tokens": 448}, "min_new_tokens", MAX_POSITIONS - PROMPT),
    ],
    ids=str,
)
def test_minimum_above_the_maximum_is_the_maximum_with_a_warning(
    values: dict[str, Any], field: str, expected: int
) -> None:
    parameters = GenerationParameters(**values)
    plan, warnings = make_plan(parameters, timestamps=False, prompt_length=PROMPT)
    assert (plan.min_new_tokens, plan.max_new_tokens) == (expected, expected)
    (warning,) = warnings
    assert warning.startswith(f"{field} requires ")
    assert f" allows {expected}: " in warning


@pytest.mark.parametrize("values", [{"seed": 3, "top_p": 0.5}, {"early_stopping": True}, {}])
def test_idle_parameters_do_not_keep_requests_out_of_a_batch(values: dict[str, Any]) -> None:
    assert plan_of(**values, use_cache=False, length_penalty=2.0) == plan_of()


def test_temperature_zero_is_greedy_like_no_temperature() -> None:
    assert plan_of(temperature=0) == plan_of(temperature=0.0) == plan_of()


@pytest.mark.parametrize(
    ("values", "prompt_length", "expected"),
    [
        ({}, 4, (444, 0)),
        ({}, 3, (445, 0)),
        ({}, 227, (221, 0)),
        ({"max_length": 448}, 4, (444, 0)),
        ({"max_length": 20}, 4, (16, 0)),
        ({"max_length": 20}, 19, (1, 0)),
        ({"max_length": 20, "max_new_tokens": 6}, 4, (6, 0)),
        ({"max_length": 2, "max_new_tokens": 6}, 4, (6, 0)),
        ({"max_new_tokens": 444}, 4, (444, 0)),
        ({"max_new_tokens": 1}, 4, (1, 0)),
        ({"min_length": 8}, 4, (444, 4)),
        ({"min_length": 3}, 4, (444, 0)),
        ({"min_length": 8}, 100, (348, 0)),
        ({"min_new_tokens": 8}, 4, (444, 8)),
        ({"min_length": 20, "min_new_tokens": 5}, 4, (444, 5)),
        ({"min_new_tokens": 6, "max_new_tokens": 6}, 4, (6, 6)),
        ({"min_length": 10, "max_length": 10}, 4, (6, 6)),
    ],
    ids=str,
)
def test_limits_count_the_prompt_as_hf_does(
    values: dict[str, Any], prompt_length: int, expected: tuple[int, int]
) -> None:
    plan = plan_of(prompt_length=prompt_length, **values)
    assert (plan.max_new_tokens, plan.min_new_tokens) == expected


def test_a_limit_that_the_prompt_leaves_no_room_for_is_refused() -> None:
    with pytest.raises(InvalidOption, match="the prompt has 20 tokens"):
        plan_of(prompt_length=20, max_length=20)


@pytest.mark.parametrize(("given", "prompt_length"), [(445, 4), (222, 227), (448, 3)])
def test_more_new_tokens_than_fit_are_cut_with_a_warning(given: int, prompt_length: int) -> None:
    parameters = GenerationParameters(max_new_tokens=given)

    plan, warnings = make_plan(parameters, timestamps=False, prompt_length=prompt_length)

    assert plan.max_new_tokens == 448 - prompt_length
    assert [warning.split()[:2] for warning in warnings] == [["max_new_tokens", f"{given}:"]]


def test_values_given_are_those_of_the_plan() -> None:
    plan = plan_of(temperature=0.7, top_k=9, top_p=0.8, typical_p=0.6, seed=3, eta_cutoff=0.2)
    assert (plan.temperature, plan.top_k, plan.top_p) == (0.7, 9, 0.8)
    assert (plan.typical_p, plan.seed, plan.eta_cutoff) == (0.6, 3, 0.2)
    plan = plan_of(num_beams=6, num_beam_groups=3, diversity_penalty=0.5, early_stopping="never")
    assert (plan.num_beams, plan.num_beam_groups, plan.diversity_penalty) == (6, 3, 0.5)
    assert plan.early_stopping == "never"
    assert plan_of(timestamps=True).timestamps


def test_hf_s_default_top_k_holds_where_none_is_given() -> None:
    assert plan_of(do_sample=True).top_k == 50
    assert plan_of(penalty_alpha=0.6).num_rows == 50


@pytest.mark.parametrize(
    ("values", "num_rows"),
    [
        ({}, 1),
        ({"do_sample": True, "top_k": 9}, 1),
        ({"num_beams": 5}, 5),
        ({"num_beams": 6, "num_beam_groups": 3}, 6),
        ({"penalty_alpha": 0.6, "top_k": 7}, 7),
    ],
    ids=str,
)
def test_rows_of_a_chunk_are_its_hypotheses_or_candidates(
    values: dict[str, Any], num_rows: int
) -> None:
    assert plan_of(**values).num_rows == num_rows


def valid_values(parameter: Parameter) -> st.SearchStrategy[Any]:
    allowed = parameter.range
    if allowed.kind is bool:
        return st.sampled_from([True, False, *([allowed.also] if allowed.also else [])])
    if allowed.kind is int:
        high = int(allowed.high)
        usual = st.integers(int(allowed.low), min(high, 60)) | st.integers(int(allowed.low), high)
        return st.lists(usual, max_size=3).map(tuple) if parameter.is_list else usual
    return st.floats(
        allowed.low,
        allowed.high,
        exclude_min=allowed.above_low,
        exclude_max=allowed.below_high,
        allow_nan=False,
    )


VALID = st.fixed_dictionaries(
    {}, optional={parameter.name: valid_values(parameter) for parameter in PARAMETERS}
)


@given(VALID, st.booleans(), st.integers(1, 227))
@settings(max_examples=400, deadline=None)
def test_valid_values_plan_or_are_refused_by_name(
    values: dict[str, Any], timestamps: bool, prompt_length: int
) -> None:
    parameters = GenerationParameters(**values)
    try:
        plan, warnings = make_plan(parameters, timestamps=timestamps, prompt_length=prompt_length)
    except InvalidOption as refusal:
        if refusal.field not in values:
            pytest.fail(f"{refusal.field} was not given: {refusal}")
        return
    assert 1 <= plan.max_new_tokens <= MAX_POSITIONS - prompt_length
    assert 0 <= plan.min_new_tokens <= plan.max_new_tokens
    assert plan.num_beams % plan.num_beam_groups == 0
    assert plan.temperature > 0 or plan.strategy is not Strategy.SAMPLE
    assert plan.timestamps is timestamps
    for name, value in values.items():
        is_idle = any(warning.startswith(f"{name} ") for warning in warnings)
        is_resolved = name.startswith(("max_", "min_")) or name in {"do_sample", *OF_CHUNKS}
        is_greedy = name == "temperature" and value == 0
        assert is_idle or is_resolved or is_greedy or getattr(plan, name) == value
    greedy = DecodePlan(timestamps=timestamps, max_new_tokens=plan.max_new_tokens)
    shared = {"repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "min_new_tokens"}
    own = {name: getattr(plan, name) for name in shared} | {"is_exact": plan.is_exact}
    assert plan.strategy is not Strategy.GREEDY or plan == replace(greedy, **own)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_an_invalid_value_among_valid_ones_is_refused_by_its_name(data: st.DataObject) -> None:
    parameter = data.draw(st.sampled_from(PARAMETERS))
    others = data.draw(VALID)
    wrong = data.draw(st.sampled_from([math.nan, math.inf, "x", -(10**30), 10**30, (None,)]))
    with pytest.raises(InvalidOption) as refusal:
        plan_of(**(others | {parameter.name: wrong}))
    assert refusal.value.field == parameter.name
