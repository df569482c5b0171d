"""Hugging Face's schema: its addresses, its answers and warnings, and bodies that are refused."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from fakes import tones_file, words
from http_calls import Http, refusal

TONE = tones_file(10)
LONG = tones_file(10, 20)
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


def test_log_probabilities_come_when_asked_for(server: Http) -> None:
    answer = server.ask(LONG, {"token_logprobs": True}).json()

    assert answer.keys() == {"text", "logprobs"}
    tokens = answer["logprobs"]
    assert "".join(token["token"] for token in tokens).strip() == answer["text"]
    assert (
        bytes(byte for token in tokens for byte in token["bytes"]).decode().strip()
        == answer["text"]
    )
    assert all(token["logprob"] < 0 for token in tokens)


@pytest.mark.parametrize("name", ["chunk_length_s", "stride_length_s", "batch_size"])
def test_an_option_without_effect_gives_a_warning(server: Http, name: str) -> None:
    answer = server.ask(TONE, {name: 5}).json()

    assert answer["text"] == words(10)
    assert [warning.split()[0] for warning in answer["warnings"]] == [name]


def test_an_idle_parameter_gives_a_warning(server: Http) -> None:
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
        pytest.param("data:audio/flac,QUJD", id="data URI without base64"),
        pytest.param("data:audio/flac;base64,QUJ", id="data URI, cut off"),
        pytest.param("data:;base64", id="data URI without data"),
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
