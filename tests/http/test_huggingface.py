"""Hugging Face's schema: where options may stand, what they may be, and how each is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import requests

from fakes import tones_file, words
from http_calls import Http

TONE = tones_file(10)
LONG = tones_file(10, 20)
GROUPS = ["generation_parameters", "generate_kwargs"]


def refusal(response: requests.Response) -> tuple[int, str | None]:
    body = response.json()
    assert body["error"]
    return response.status_code, body.get("field")


def inputs_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


PATHS = [
    "/",
    "/models/fake",
    "/models/fake/pipeline/automatic-speech-recognition",
    "/pipeline/automatic-speech-recognition",
    "/pipeline/automatic-speech-recognition/fake",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_address_answers_json(server: Http, path: str) -> None:
    response = server.ask(TONE, path=path)

    assert (response.status_code, response.json()) == (200, {"text": words(10)})


@pytest.mark.parametrize("path", PATHS)
def test_every_address_answers_a_file(
    demo: Any, sample: bytes, sample_text: str, path: str
) -> None:
    address = demo.http_address + path.replace("fake", "demo")
    assert requests.post(address, data=sample).json() == {"text": sample_text}


@pytest.mark.parametrize("path", ["/models/other", "/models/other/fake"])
@pytest.mark.parametrize("how", ["json", "raw"])
def test_another_model_is_not_found(server: Http, path: str, how: str) -> None:
    response = server.ask(TONE, path=path) if how == "json" else server.post(path, data=TONE)

    assert refusal(response) == (404, "model")
    assert "other" in response.json()["error"]


def test_chunks_come_when_asked_for_with_both_names_of_their_times(
    server: Http,
) -> None:
    answer = server.ask(LONG, {"return_timestamps": True}).json()

    assert [chunk["text"].strip() for chunk in answer["chunks"]] == [words(10), words(20)]
    assert [chunk["timestamp"] for chunk in answer["chunks"]] == [[1.0, 2.0], [31.0, 31.0]]
    assert all(chunk["timestamps"] == chunk["timestamp"] for chunk in answer["chunks"])


@pytest.mark.parametrize("value", [False, None])
def test_no_chunks_come_when_not_asked_for(server: Http, value: object) -> None:
    assert server.ask(LONG, {"return_timestamps": value}).json().keys() == {"text"}


def test_word_timestamps_are_refused(server: Http) -> None:
    response = server.ask(TONE, {"return_timestamps": "word"})

    assert refusal(response) == (422, "return_timestamps")
    assert "not supported" in response.json()["error"]


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
    for parameters in ({"language": "x" * 100_000}, {"x" * 100_000: 1}, {"top_k": "x" * 100_000}):
        response = server.ask(TONE, parameters)
        assert response.status_code == 422
        assert len(response.content) < 3_000


def test_a_name_that_is_no_unicode_is_refused(server: Http) -> None:
    status, _ = refusal(server.ask(TONE, {"\ud800": 1}))

    assert status == 422


@pytest.mark.parametrize("name", ["chunk_length_s", "stride_length_s", "batch_size"])
def test_what_has_no_effect_here_is_told(server: Http, name: str) -> None:
    answer = server.ask(TONE, {name: 5}).json()

    assert answer["text"] == words(10)
    assert [warning.split()[0] for warning in answer["warnings"]] == [name]


def test_an_idle_parameter_is_told(server: Http) -> None:
    answer = server.ask(TONE, {"top_p": 0.5, "batch_size": 2}).json()

    assert [warning.split()[0] for warning in answer["warnings"]] == ["batch_size", "top_p"]


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param("not base64!", id="text"),
        pytest.param("QUJD\nQUJD", id="newline"),
        pytest.param("QUJDRA", id="padding missing"),
        pytest.param("QUJD=", id="padding too much"),
        pytest.param("QQ==QQ==", id="padding inside"),
        pytest.param("QUJ_", id="base64url"),
        pytest.param("data:audio/flac;base64,QUJD", id="data URL"),
        pytest.param("https://127.0.0.1/speech.flac", id="URL"),
        pytest.param("/etc/hostname", id="path"),
        pytest.param("ä", id="umlaut"),
        pytest.param(None, id="null"),
        pytest.param(["QUJD"], id="list"),
        pytest.param({"raw": [0.0], "sampling_rate": 16_000}, id="samples"),
    ],
)
def test_inputs_are_base64_and_nothing_else(server: Http, inputs: object) -> None:
    response = server.post("/", json={"inputs": inputs})

    assert refusal(response) == (400, "inputs")


def test_missing_inputs_are_refused(server: Http) -> None:
    assert refusal(server.post("/", json={"parameters": {}})) == (400, "inputs")


@pytest.mark.parametrize("audio", [b"", b"\0" * 100], ids=["empty", "zeros"])
@pytest.mark.parametrize("how", ["json", "raw", "form"])
def test_what_is_no_audio_is_refused(server: Http, audio: bytes, how: str) -> None:
    if how == "form":
        response = server.upload(audio)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "audio")
        return
    response = server.ask(audio) if how == "json" else server.post("/", data=audio)
    assert refusal(response) == (400, "audio")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
        (b"\xff\xfe\xfd", "body"),
        (b"[" * 100_000, "body"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "body"),
        (b'{"inputs": "", "parameters": []}', "parameters"),
        (b'{"inputs": "", "parameters": {"generate_kwargs": 1}}', "generate_kwargs"),
        (b'{"inputs": "", "generation_parameters": "a"}', "generation_parameters"),
        (b'{"inputs": "", "options": true}', "options"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_is_not_what_it_should_be_is_refused(
    server: Http, body: bytes, field: str
) -> None:
    response = server.post("/", data=body, headers={"content-type": "application/json"})

    assert refusal(response) == (400, field)


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
