"""OpenAI's schema: its formats, its fields, its events, and its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from fakes import tones_file, words
from http_calls import Http

TONE = tones_file(10)
LONG = tones_file(10, 20)


def refusal(response: requests.Response) -> tuple[int, str | None]:
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    return response.status_code, error["param"]


def events_of(response: requests.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = response.content.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    assert blocks.pop() == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


@pytest.mark.parametrize("model", ["fake", "whisper-1", ""])
def test_the_words_come_as_json(server: Http, model: str) -> None:
    response = server.upload(TONE, model=model)

    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "text": words(10),
        "usage": {"type": "duration", "seconds": 1.0},
    }


def test_the_words_come_as_text(server: Http) -> None:
    response = server.upload(LONG, response_format="text")

    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.split() == f"{words(10)} {words(20)}".split()


@pytest.mark.parametrize(
    ("shape", "start"),
    [("srt", "1\n00:00:01,000 --> 00:00:02,000\n"), ("vtt", "WEBVTT\n\n00:00:01.000")],
)
def test_subtitles_come_with_their_times(server: Http, shape: str, start: str) -> None:
    response = server.upload(LONG, response_format=shape)

    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.startswith(start)
    assert words(20) in response.text


@pytest.mark.parametrize("granularity", [{}, {"timestamp_granularities[]": "segment"}])
def test_verbose_json_has_segments(server: Http, granularity: dict[str, str]) -> None:
    answer = server.upload(LONG, response_format="verbose_json", **granularity).json()

    assert (answer["task"], answer["language"], answer["duration"]) == (
        "transcribe",
        "english",
        31.0,
    )
    assert [segment["id"] for segment in answer["segments"]] == [0, 1]
    assert [segment["text"].strip() for segment in answer["segments"]] == [words(10), words(20)]
    assert [segment["start"] for segment in answer["segments"]] == [1.0, 31.0]


def test_granularities_without_segments_in_the_answer_give_a_warning(server: Http) -> None:
    answer = server.upload(TONE, **{"timestamp_granularities[]": "segment"}).json()

    assert [w.split()[0] for w in answer["warnings"]] == ["timestamp_granularities[]"]


def test_translations_are_asked_of_the_model(server: Http) -> None:
    response = server.upload(TONE, "/v1/audio/translations", response_format="verbose_json")

    assert response.json()["task"] == "translate"
    assert response.json()["text"] == words(10)


def test_events_tell_each_segment_and_then_all(server: Http) -> None:
    *deltas, done = events_of(server.upload(LONG, stream="true", top_k=5))

    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert "".join(event["delta"] for event in deltas).strip() == f"{words(10)} {words(20)}"
    assert done["type"] == "transcript.text.done"
    assert done["text"] == f"{words(10)} {words(20)}"
    assert [warning.split()[0] for warning in done["warnings"]] == ["top_k"]


def test_what_fails_before_the_first_event_has_a_status(server: Http) -> None:
    assert refusal(server.upload(b"\0", stream="true")) == (400, "audio")
    assert refusal(server.upload(TONE, stream="true", num_beams=99)) == (422, "num_beams")


@pytest.mark.parametrize("shape", ["json", "verbose_json"])
def test_warnings_stand_in_json(server: Http, shape: str) -> None:
    answer = server.upload(TONE, response_format=shape, seed=3).json()

    assert [warning.split()[0] for warning in answer["warnings"]] == ["seed"]


@pytest.mark.parametrize("shape", ["text", "srt", "vtt"])
def test_warnings_stand_in_a_header_beside_text(server: Http, shape: str) -> None:
    headers = server.upload(TONE, response_format=shape, seed=3).headers

    assert [warning.split()[0] for warning in json.loads(headers["x-warnings"])] == ["seed"]


def test_generation_parameters_are_form_fields(server: Http) -> None:
    fields = {
        "num_beams": "3",
        "patience": "2.0",
        "suppress_tokens": "[5, 6]",
        "temperature": "0",
    }

    assert server.upload(TONE, **fields).status_code == 200

    plan = server.model.generated[-1].plan
    assert plan is not None
    assert (plan.num_beams, plan.patience) == (3, 2.0)
    assert {5, 6} <= set(plan.suppress_tokens)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"response_format": "yaml"}, "response_format"),
        ({"stream": "maybe"}, "stream"),
        ({"stream": "true", "response_format": "srt"}, "stream"),
        (
            {"timestamp_granularities[]": "line", "response_format": "verbose_json"},
            "timestamp_granularities[]",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "NaN"}, "temperature"),
        ({"temperature": "101"}, "temperature"),
        ({"num_beams": "3.0"}, "num_beams"),
        ({"suppress_tokens": "5"}, "suppress_tokens"),
        ({"seed": "9" * 5000}, "seed"),
        ({"language": "english, please"}, "language"),
        ({"vad": "maybe"}, "vad"),
        ({"task": "transcribe"}, "task"),
        ({"return_timestamps": "true"}, "return_timestamps"),
        ({"token_logprobs": "true"}, "token_logprobs"),
        ({"vad_options": "{}"}, "vad_options"),
        ({"": "x"}, ""),
        ({"nonsense": ""}, "nonsense"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_name(
    server: Http, fields: dict[str, str], field: str
) -> None:
    assert refusal(server.upload(TONE, **fields)) == (422, field)
    assert server.model.encoded == []


@pytest.mark.parametrize(
    "name",
    [
        *("model", "language", "prompt", "response_format", "stream", "temperature", "seed"),
        *("include[]", "timestamp_granularities[]", "chunking_strategy", "keywords[]"),
    ],
)
def test_an_empty_field_is_not_given(server: Http, name: str) -> None:
    assert server.upload(TONE, **{name: ""}).json() == server.upload(TONE).json()


def test_another_model_is_not_found(server: Http) -> None:
    assert refusal(server.upload(TONE, model="whisper-2")) == (404, "model")


@pytest.mark.parametrize(
    "name", ["model", "response_format", "stream", "temperature", "language", "vad"]
)
def test_a_field_that_stands_twice_is_refused(server: Http, name: str) -> None:
    values = {"model": "fake", "response_format": "json", "stream": "false", "temperature": "0"}
    value = values.get(name, "en")

    response = server.post(
        "/v1/audio/transcriptions",
        data=[(name, value), (name, value)],
        files={"file": ("a", TONE)},
    )

    assert refusal(response) == (422, name)


@pytest.mark.parametrize("name", ["model", "response_format", "stream", "language", "temperature"])
def test_a_file_where_text_belongs_is_refused(server: Http, name: str) -> None:
    response = server.post("/v1/audio/transcriptions", files={name: ("a", TONE)})

    status, field = refusal(response)
    assert status == 400
    assert field in {name, "file"}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"data": {"file": "text"}, "files": {"x": (None, "y")}}, id="text"),
        pytest.param({"files": {"audio": ("a", TONE)}}, id="another name"),
        pytest.param({"files": {"model": (None, "fake")}}, id="none"),
    ],
)
def test_a_form_without_a_file_is_refused(server: Http, form: dict[str, Any]) -> None:
    assert refusal(server.post("/v1/audio/transcriptions", **form)) == (400, "file")


def test_two_files_are_refused(server: Http) -> None:
    files = [("file", ("a", TONE)), ("file", ("b", TONE))]

    response = server.post("/v1/audio/transcriptions", files=files)

    assert refusal(response) == (400, "body")


HEAD = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", HEAD + TONE + b"\r\n--x--\r\n"),
        ("multipart/form-data; boundary=", HEAD + TONE + b"\r\n--x--\r\n"),
        ("multipart/form-data; boundary=y", HEAD + TONE + b"\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", HEAD),
        ("multipart/form-data; boundary=x", HEAD + TONE),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nname: file\r\n\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"\0" * 100),
        ("multipart/form-data; boundary=x; charset=undefined", HEAD + b"abc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, HEAD + b"abc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=\xe4", HEAD + b"abc\r\n--x--\r\n"),
    ],
    ids=lambda value: repr(value)[-40:],
)
def test_a_broken_form_is_refused(server: Http, kind: str, body: bytes) -> None:
    headers: Any = {"content-type": kind.encode("latin-1")}

    response = server.post("/v1/audio/transcriptions", data=body, headers=headers)

    status, field = refusal(response)
    assert status in {400, 415}
    assert field in {"body", "file", "content-type", "audio"}


def test_letters_that_are_no_unicode_are_refused(server: Http) -> None:
    body = (
        b'--x\r\ncontent-disposition: form-data; name="language"\r\n\r\n+2AA-\r\n'
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=x; charset=utf-7"}

    response = server.post("/v1/audio/transcriptions", data=body, headers=headers)

    assert refusal(response) == (422, "language")


def test_too_many_fields_are_refused(server: Http) -> None:
    fields = {f"field{i}": "1" for i in range(200)}

    assert refusal(server.upload(TONE, **fields)) == (400, "body")


def test_a_field_of_any_length_is_refused(server: Http) -> None:
    assert refusal(server.upload(TONE, prompt="x" * 2**16)) == (413, "body")
