"""Hugging Face's schema: where parameters may stand, and which names and values are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fakes import tones_file, words
from http_calls import Http, inputs_of, refusal

TONE = tones_file(10)
GROUPS = ["generation_parameters", "generate_kwargs"]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda given: {"parameters": {"vad": "off", **given}}, id="flat"),
        *(
            pytest.param(
                lambda given, group=group: {"parameters": {"vad": "off", group: given}},
                id=f"parameters.{group}",
            )
            for group in GROUPS
        ),
        *(
            pytest.param(
                lambda given, group=group: {"parameters": {"vad": "off"}, group: given}, id=group
            )
            for group in GROUPS
        ),
    ],
)
def test_generation_parameters_are_honoured_wherever_they_stand(
    server: Http, place: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    body = {"inputs": inputs_of(TONE), **place({"num_beams": 3, "patience": 2.0})}

    assert server.post("/", json=body).json() == {"text": words(10)}

    plan = server.model.generated[-1].plan
    assert plan is not None
    assert (plan.num_beams, plan.patience) == (3, 2.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"num_beams": 3}, {"generation_parameters": {"num_beams": 4}}),
        ({"generate_kwargs": {"num_beams": 3}}, {"generation_parameters": {"num_beams": 4}}),
        ({"language": "en"}, {"generate_kwargs": {"language": "de"}}),
    ],
)
def test_a_contradiction_is_refused_by_name(
    server: Http, first: dict[str, Any], second: dict[str, Any]
) -> None:
    response = server.ask(TONE, {**first, **second})

    status, field = refusal(response)
    assert status == 422
    assert field in {"num_beams", "language"}
    assert "twice" in response.json()["error"]


def test_a_contradiction_between_parameters_and_body_is_refused(
    server: Http,
) -> None:
    response = server.ask(TONE, {"num_beams": 3}, generation_parameters={"num_beams": 4})

    assert refusal(response) == (422, "num_beams")


def test_a_name_that_stands_twice_in_one_object_is_refused(server: Http) -> None:
    text = f'{{"inputs": "{inputs_of(TONE)}", "parameters": {{"num_beams": 2, "num_beams": 3}}}}'

    response = server.post("/", data=text, headers={"content-type": "application/json"})

    assert refusal(response) == (400, "num_beams")


def test_the_same_said_twice_is_no_contradiction(server: Http) -> None:
    response = server.ask(TONE, {"num_beams": 3, "generate_kwargs": {"num_beams": 3}})

    assert response.status_code == 200
    plan = server.model.generated[-1].plan
    assert plan is not None
    assert plan.num_beams == 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_beams": None},
        {"generation_parameters": None, "generate_kwargs": {"temperature": None}},
        {"language": None, "task": None, "prompt": None, "vad": "off", "chunk_length_s": None},
    ],
)
def test_null_is_not_given(server: Http, parameters: dict[str, Any]) -> None:
    assert server.ask(TONE, parameters).json() == {"text": words(10)}


@pytest.mark.parametrize("order", [1, -1])
def test_null_contradicts_nothing(server: Http, order: int) -> None:
    values = [None, 3][::order]
    parameters = {"num_beams": values[0], "generate_kwargs": {"num_beams": values[1]}}

    assert server.ask(TONE, parameters).status_code == 200

    plan = server.model.generated[-1].plan
    assert plan is not None
    assert plan.num_beams == 3


def test_null_parameters_are_none(server: Http) -> None:
    body = {"inputs": inputs_of(TONE), "parameters": None, "options": None}

    assert server.post("/", json=body).status_code == 200


@pytest.mark.parametrize("value", [1, None])
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda given: given, id="body"),
        pytest.param(lambda given: {"options": given}, id="options"),
        pytest.param(lambda given: {"parameters": given}, id="parameters"),
        *(
            pytest.param(lambda given, group=group: {"parameters": {group: given}}, id=group)
            for group in GROUPS
        ),
    ],
)
def test_an_unknown_name_is_refused(
    server: Http,
    place: Callable[[dict[str, Any]], dict[str, Any]],
    value: object,
) -> None:
    body = {"inputs": inputs_of(TONE), **place({"nmu_beams": value})}

    response = server.post("/", json=body)

    assert refusal(response) == (422, "nmu_beams")
    assert "nmu_beams" in response.json()["error"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"num_beams": 99}, "num_beams"),
        ({"num_beams": "3"}, "num_beams"),
        ({"num_beams": 3.0}, "num_beams"),
        ({"num_beams": [3]}, "num_beams"),
        ({"num_beams": {"of": 3}}, "num_beams"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"do_sample": 1}, "do_sample"),
        ({"do_sample": "true"}, "do_sample"),
        ({"early_stopping": "always"}, "early_stopping"),
        ({"seed": 2**64}, "seed"),
        ({"suppress_tokens": 5}, "suppress_tokens"),
        ({"suppress_tokens": [5, "6"]}, "suppress_tokens"),
        ({"suppress_tokens": [[5]]}, "suppress_tokens"),
        ({"return_timestamps": "yes"}, "return_timestamps"),
        ({"return_timestamps": 1}, "return_timestamps"),
        ({"language": 7}, "language"),
        ({"language": "xx"}, "language"),
        ({"language": "\ud800"}, "language"),
        ({"task": "summarize"}, "task"),
        ({"task": ["transcribe"]}, "task"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": "\udfff"}, "prompt"),
        ({"vad": "maybe"}, "vad"),
        ({"vad": True}, "vad"),
        ({"num_beams": 3, "num_beam_groups": 2}, None),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    server: Http, parameters: dict[str, Any], field: str | None
) -> None:
    status, named = refusal(server.ask(TONE, parameters))

    assert status == 422
    assert named == field if field else named in parameters
    assert server.model.encoded == []


def test_a_refusal_does_not_repeat_a_value_of_any_length(server: Http) -> None:
    for parameters in ({"language": "x" * 60_000}, {"x" * 60_000: 1}, {"top_k": "x" * 60_000}):
        response = server.ask(TONE, parameters)
        assert response.status_code == 422
        assert len(response.content) < 3_000


def test_a_name_that_is_no_unicode_is_refused(server: Http) -> None:
    status, _ = refusal(server.ask(TONE, {"\ud800": 1}))

    assert status == 422


@pytest.mark.parametrize("depth", range(100, 1100, 50))
def test_however_deep_a_value_is_nested_it_is_refused(server: Http, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for where in (b'"suppress_tokens"', b'"language"', b'"generate_kwargs"'):
        body = b'{"inputs": "", "parameters": {%s: %s}}' % (where, nested)
        response = server.post("/", data=body, headers={"content-type": "application/json"})
        status, field = refusal(response)
        assert status in {400, 422}
        assert field in {"body", where.decode().strip('"')}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(server: Http, number: str) -> None:
    body = f'{{"inputs": "{inputs_of(TONE)}", "parameters": {{"temperature": {number}}}}}'

    response = server.post("/", data=body, headers={"content-type": "application/json"})

    status, field = refusal(response)
    assert status in {400, 422}
    assert field == ("temperature" if status == 422 else "body")
