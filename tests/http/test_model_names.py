"""The names that the model answers to, the same over each interface."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from fakes import tones_file, words
from http_calls import Http
from served import Refusal, Send
from talkmill.server import ServerConfig
from talkmill.server.settings import build

TONE = tones_file(10)
NAMES = ("gpt-4o-transcribe", "openai/whisper-large-v3")


@pytest.fixture
def named(http: Callable[..., Http]) -> Http:
    return http(served_names=NAMES)


@pytest.mark.parametrize("name", ["", "fake", *NAMES])
def test_every_name_gets_the_words(named: Http, send: Send, name: str) -> None:
    assert named.upload(TONE, model=name).json()["text"] == words(10)
    assert named.ask(TONE, path=f"/models/{name}" if name else "/").json()["text"] == words(10)
    assert send(named.served, TONE, model=name).answer().text == words(10)


@pytest.mark.parametrize("name", ["whisper-1", "openai/whisper-large-v2", "FAKE", "fake "])
def test_another_name_is_not_found_and_those_that_are_served_are_listed(
    named: Http, send: Send, name: str
) -> None:
    form, json = named.upload(TONE, model=name), named.ask(TONE, path=f"/models/{name}")
    call = send(named.served, TONE, model=name)

    assert (form.status_code, form.json()["error"]["param"]) == (404, "model")
    assert (json.status_code, json.json()["field"]) == (404, "model")
    assert call.refusal() == Refusal(grpc.StatusCode.NOT_FOUND, "model")
    for message in (form.json()["error"]["message"], json.json()["error"], call.details()):
        assert f"{name!r} is not served here; served: fake, {', '.join(NAMES)}" in message
    assert named.model.encoded == []


def test_unless_set_the_model_is_called_whisper_1_too(server: Http, send: Send) -> None:
    assert server.upload(TONE, model="whisper-1").status_code == 200
    assert send(server.served, TONE, model="whisper-1").answer().text == words(10)


def test_models_are_listed_under_each_name(named: Http) -> None:
    listed = named.get("/v1/models").json()["data"]

    assert [model["id"] for model in listed] == ["fake", *NAMES]
    for model in listed:
        assert named.get(f"/v1/models/{model['id']}").json() == model
    assert named.get("/v1/models/openai%2Fwhisper-large-v3").json() == listed[-1]


def test_a_model_that_is_not_served_is_not_shown(named: Http) -> None:
    response = named.get("/v1/models/whisper-1")

    assert (response.status_code, response.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize(
    ("given", "names"), [("a,b/c", ("a", "b/c")), ("", ()), (None, ("whisper-1",))]
)
def test_names_are_a_setting(given: str | None, names: tuple[str, ...]) -> None:
    assert build(ServerConfig, {"served_names": given}).served_names == names
