"""Hugging Face's schema: parameters in the query, data URIs, languages, and more addresses."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from fakes import tones_file, words
from http_calls import Http, inputs_of, refusal
from talkmill.engine import Timings, Transcript
from talkmill.server.http.huggingface import to_answer

TONE = tones_file(10)
LONG = tones_file(10, 20)


def with_query(path: str = "/", **parameters: object) -> str:
    return f"{path}?{urlencode(parameters)}"


def test_a_raw_file_takes_its_parameters_from_the_query(server: Http) -> None:
    path = with_query(vad="off", return_timestamps="true", num_beams=3, patience="2.0", top_k="")

    answer = server.post(path, data=LONG).json()

    assert [chunk["text"].strip() for chunk in answer["chunks"]] == [words(10), words(20)]
    plan = server.model.generated[-1].plan
    assert plan is not None
    assert (plan.num_beams, plan.patience) == (3, 2.0)


@pytest.mark.parametrize("group", ["generation_parameters", "generate_kwargs"])
def test_an_object_in_the_query_is_json(server: Http, group: str) -> None:
    query: dict[str, Any] = {group: json.dumps({"num_beams": 3, "patience": 2})}

    assert server.post(with_query(vad="off", **query), data=TONE).status_code == 200

    plan = server.model.generated[-1].plan
    assert plan is not None
    assert plan.num_beams == 3


def test_query_and_body_are_joined(server: Http) -> None:
    answer = server.ask(TONE, {"seed": 3}, path=with_query(top_p=0.5)).json()

    assert [warning.split()[0] for warning in answer["warnings"]] == ["top_p", "seed"]


def test_a_prompt_in_the_query_stays_text(server: Http) -> None:
    assert server.post(with_query(vad="off", prompt="123"), data=TONE).status_code == 200

    assert server.model.generated[-1].prompts[0][1:5] == server.model.tokenizer.encode("123")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/?nonsense=1", "nonsense"),
        ("/?nonsense=", "nonsense"),
        ("/models/fake?inputs=QUJD", "inputs"),
        ("/?num_beams=99", "num_beams"),
        ("/?num_beams=many", "num_beams"),
        ("/?return_timestamps=1", "return_timestamps"),
        ("/?return_language=yes", "return_language"),
        ("/?num_beams=2&num_beams=2", "num_beams"),
        ("/?top_k=5&generate_kwargs=%7B%22top_k%22%3A6%7D", "top_k"),
    ],
)
@pytest.mark.parametrize("how", ["raw", "json"])
def test_a_query_that_does_not_fit_is_refused_by_name(
    server: Http, path: str, field: str, how: str
) -> None:
    response = server.post(path, data=TONE) if how == "raw" else server.ask(TONE, path=path)

    assert refusal(response) == (422, field)
    assert server.model.encoded == []


def test_a_query_that_contradicts_the_body_is_refused(server: Http) -> None:
    response = server.ask(TONE, {"num_beams": 3}, path="/?num_beams=4")

    assert refusal(response) == (422, "num_beams")


@pytest.mark.parametrize(
    "head",
    [
        "data:audio/flac;base64,",
        "data:;base64,",
        "DATA:audio/ogg;codecs=opus;BASE64,",
    ],
)
def test_a_data_uri_is_taken(server: Http, head: str) -> None:
    body = {"inputs": head + inputs_of(TONE), "parameters": {"vad": "off"}}

    assert server.post("/", json=body).json() == {"text": words(10)}


def test_chunks_have_their_language_when_asked(server: Http) -> None:
    answer = server.ask(LONG, {"return_language": True}).json()

    assert [chunk.keys() for chunk in answer["chunks"]] == [{"text", "language"}] * 2
    assert {chunk["language"] for chunk in answer["chunks"]} == {"english"}
    assert "".join(chunk["text"] for chunk in answer["chunks"]).strip() == answer["text"]


def test_chunks_have_language_and_times_when_asked(server: Http) -> None:
    answer = server.ask(LONG, {"return_language": True, "return_timestamps": True}).json()

    keys = {"text", "language", "timestamp", "timestamps"}
    assert [chunk.keys() for chunk in answer["chunks"]] == [keys] * 2


def test_the_answer_tells_how_sure_the_model_is_of_a_detected_language() -> None:
    others = (("de", 0.25),)
    transcript = Transcript("Hi", (), "en", 0.5, 1.0, 1.0, Timings(), other_languages=others)

    answer = to_answer(transcript, timestamps=False, languages=True)

    assert answer["language_probability"] == 0.5
    assert answer["other_languages"] == [{"language": "german", "probability": 0.25}]
    assert to_answer(transcript, timestamps=True).keys() == {"text", "chunks"}


@pytest.mark.parametrize("value", [False, None])
def test_no_languages_come_when_not_asked_for(server: Http, value: object) -> None:
    assert server.ask(LONG, {"return_language": value}).json().keys() == {"text"}


def test_predict_is_an_address_too(server: Http) -> None:
    assert server.ask(TONE, path="/predict").json() == {"text": words(10)}


def test_the_root_tells_the_health(server: Http) -> None:
    root, health = server.get("/"), server.get("/health")

    assert (root.status_code, root.json()) == (health.status_code, health.json())
