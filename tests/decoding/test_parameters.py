"""What each parameter takes, from the table that also makes the README's."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from talkmill.engine import GenerationParameters, InvalidOption
from talkmill.engine.decoding.parameters import BY_NAME, PARAMETERS, Parameter, check_ranges
from talkmill.proto import transcription_pb2 as pb

SIXTEEN = [
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "penalty_alpha",
    "use_cache",
]


def check(parameter: Parameter, value: Any) -> None:
    given: dict[str, Any] = {parameter.name: (value,) if parameter.is_list else value}
    check_ranges(GenerationParameters(**given))


def refusals(parameter: Parameter) -> list[Any]:
    """Return values that this parameter must not take: of wrong types, and just outside."""
    wrong: list[Any] = ["1", "always", math.nan, math.inf, -math.inf, b"1", None, [1], {}]
    wrong += [] if parameter.or_list else [(1,)]
    allowed = parameter.range
    if allowed.kind is bool:
        return [value for value in [*wrong, 0, 1, 0.0, 1.0] if value is not None]
    wrong += [True, False, 10**400, -(10**400)]
    if allowed.kind is int:
        wrong += [float(allowed.low), allowed.low + 0.5, np.float32(2), int(allowed.low) - 1]
        wrong += [int(allowed.high) + 1]
    else:
        wrong += [math.nextafter(allowed.low, -math.inf), math.nextafter(allowed.high, math.inf)]
        wrong += [allowed.low] if allowed.above_low else []
        wrong += [allowed.high] if allowed.below_high else []
    return [value for value in wrong if value is not None]


def bounds(parameter: Parameter) -> list[Any]:
    """Return the values furthest out that this parameter must take."""
    allowed = parameter.range
    if allowed.kind is bool:
        return [True, False, *([allowed.also] if allowed.also else [])]
    if allowed.kind is int:
        return [int(allowed.low), int(allowed.high)]
    low = math.nextafter(allowed.low, math.inf) if allowed.above_low else allowed.low
    high = math.nextafter(allowed.high, -math.inf) if allowed.below_high else allowed.high
    return [low, high, float(low), float(high)]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        pytest.param(parameter, value, id=f"{parameter.name}-{str(value)[:12]}-{i}")
        for parameter in PARAMETERS
        for i, value in enumerate(refusals(parameter))
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_range(
    parameter: Parameter, value: Any
) -> None:
    with pytest.raises(InvalidOption) as refusal:
        check(parameter, value)
    assert refusal.value.field == parameter.name
    for part in (parameter.name, repr(value), str(parameter.range)):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        pytest.param(parameter, value, id=f"{parameter.name}-{value}-{i}")
        for parameter in PARAMETERS
        for i, value in enumerate(bounds(parameter))
    ],
)
def test_a_value_at_the_edge_of_its_range_is_taken(parameter: Parameter, value: Any) -> None:
    check(parameter, value)


@pytest.mark.parametrize("value", [5, [5], "5", (5, -1), (5, True), (5, 1.0), ((5,),)])
def test_suppressed_tokens_that_are_not_a_tuple_of_numbers_are_refused(value: Any) -> None:
    with pytest.raises(InvalidOption, match="suppress_tokens"):
        check_ranges(GenerationParameters(suppress_tokens=value))


@pytest.mark.parametrize("value", [(0.2, -1), (0.2, "1"), (0.2, True), ((0.2,),), [0.2]])
def test_a_list_of_temperatures_is_one_of_valid_temperatures(value: Any) -> None:
    check_ranges(GenerationParameters(temperature=(0.0, 0.2, 1)))
    with pytest.raises(InvalidOption, match="temperature"):
        check_ranges(GenerationParameters(temperature=value))


def test_nothing_given_is_nothing_wrong() -> None:
    check_ranges(GenerationParameters())
    check_ranges(GenerationParameters(suppress_tokens=()))


def test_every_field_is_defined_once_and_on_the_wire() -> None:
    names = [field.name for field in fields(GenerationParameters)]
    assert [parameter.name for parameter in PARAMETERS] == names == list(BY_NAME)
    # On the wire several temperatures have a field of their own.
    wire = set(pb.GenerationParameters.DESCRIPTOR.fields_by_name)
    assert set(names) | {"temperatures"} == wire
    assert names[:16] == SIXTEEN


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("top_p", "0 <= x <= 1"),
        ("typical_p", "0 < x <= 1"),
        ("epsilon_cutoff", "0 <= x < 1"),
        ("num_beams", "1 <= x <= 16"),
        ("early_stopping", "true, false or never"),
        ("use_cache", "true or false"),
        ("seed", "0 <= x <= 18446744073709551615"),
    ],
)
def test_a_range_reads_as_one_writes_it(name: str, text: str) -> None:
    assert str(BY_NAME[name].range) == text
