"""The order in which a call is refused: token, names of options, model loaded, values of options.

The same over HTTP and gRPC. See test_refused_before_upload.py for the upload, which comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
import requests

from fakes import tones_file, words
from http_calls import Http
from served import UNKNOWN_FIELD, Send
from talkmill.proto import transcription_pb2 as pb
from talkmill.server.auth import new_token

TONE = tones_file(10)
FORM = "/v1/audio/transcriptions"
TOKEN, TOKENS_ENTRY = new_token("alice")
Code = grpc.StatusCode
CallHttp = Callable[[Http], requests.Response]

VALID: dict[str, CallHttp] = {
    "json": lambda server: server.ask(TONE),
    "raw": lambda server: server.post("/", data=TONE),
    "form": lambda server: server.upload(TONE),
}
UNKNOWN_OPTION: dict[str, CallHttp] = {
    "json, parameters": lambda server: server.ask(TONE, {"nmu_beams": 1}),
    "json, options": lambda server: server.ask(TONE, options={"nmu_beams": 1}),
    "json, body": lambda server: server.ask(TONE, nmu_beams=1),
    "form": lambda server: server.upload(TONE, nmu_beams="1"),
}
BROKEN: dict[str, CallHttp] = {
    "json": lambda server: server.post(
        "/", data=b"{", headers={"content-type": "application/json"}
    ),
    "form": lambda server: server.post(
        FORM, data=b"--x", headers={"content-type": "multipart/form-data; boundary=x"}
    ),
    "raw, type": lambda server: server.post("/", data=TONE, headers={"content-type": "text/plain"}),
    "raw, header": lambda server: server.post("/", data=TONE, headers={"x-use-cache": "perhaps"}),
}
UNKNOWN_OVER_GRPC: list[tuple[dict[str, Any], Code, str]] = [
    ({"task": 99}, Code.INVALID_ARGUMENT, "task"),
    (
        {"generation_parameters": pb.GenerationParameters.FromString(UNKNOWN_FIELD)},
        Code.UNIMPLEMENTED,
        "generation_parameters",
    ),
]


def refusals(server: Http, calls: dict[str, CallHttp]) -> dict[str, tuple[int, str | None]]:
    """Return the status of each call's error, and the field that it names, in either schema."""
    found = {}
    for name, call in calls.items():
        response = call(server)
        error = response.json()
        is_openai = isinstance(error["error"], dict)
        field = error["error"]["param"] if is_openai else error.get("field")
        found[name] = (response.status_code, field)
    return found


@pytest.fixture(params=["loading", "ready"])
def guarded(
    request: pytest.FixtureRequest, load: Callable[..., Http], http: Callable[..., Http]
) -> Http:
    """A server that knows one token."""
    start = load if request.param == "loading" else http
    return start(auth_tokens=(TOKENS_ENTRY,))


@pytest.mark.parametrize(
    "calls", [VALID, UNKNOWN_OPTION, BROKEN], ids=["valid", "option", "broken"]
)
def test_without_a_token_every_call_over_http_is_unauthenticated(
    guarded: Http, calls: dict[str, CallHttp]
) -> None:
    assert refusals(guarded, calls) == dict.fromkeys(calls, (401, None))


def test_without_a_token_every_call_over_grpc_is_unauthenticated(guarded: Http, send: Send) -> None:
    refused = (Code.UNAUTHENTICATED, None)

    assert send(guarded.served, TONE).refusal() == refused
    for options, _, _ in UNKNOWN_OVER_GRPC:
        assert send(guarded.served, TONE, **options).refusal() == refused
    for metadata in ((("x-use-cache", "perhaps"),), (("authorization", "Bearer unknown"),)):
        assert send(guarded.served, TONE, metadata=metadata).refusal() == refused


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="empty"),
        pytest.param([pb.TranscribeStreamRequest(audio=TONE)], id="audio first"),
    ],
)
def test_without_a_token_a_broken_stream_is_unauthenticated(
    guarded: Http, messages: list[pb.TranscribeStreamRequest]
) -> None:
    assert guarded.served.raw_stream(messages).refusal() == (Code.UNAUTHENTICATED, None)


def test_without_a_token_a_call_over_the_limit_is_unauthenticated(
    http: Callable[..., Http], send: Send
) -> None:
    server = http(auth_tokens=(TOKENS_ENTRY,), max_requests=1)
    token = f"Bearer {TOKEN}"
    server.model.hold()
    first = send(server.served, TONE, metadata=(("authorization", token),))
    server.model.wait_for_calls(1)

    assert refusals(server, VALID) == dict.fromkeys(VALID, (401, None))
    assert send(server.served, TONE).refusal() == (Code.UNAUTHENTICATED, None)
    assert server.ask(TONE, headers={"authorization": token}).status_code == 429
    server.model.release()
    assert first.answer().text == words(10)


def test_an_unknown_option_over_http_is_refused_while_the_model_loads(
    load: Callable[..., Http],
) -> None:
    found = refusals(load(), UNKNOWN_OPTION)

    assert found == dict.fromkeys(UNKNOWN_OPTION, (422, "nmu_beams"))


def test_an_unknown_option_over_grpc_is_refused_while_the_model_loads(
    load: Callable[..., Http], send: Send
) -> None:
    server = load()

    for options, code, field in UNKNOWN_OVER_GRPC:
        assert send(server.served, TONE, **options).refusal() == (code, field)


def test_a_valid_call_over_http_is_unavailable_while_the_model_loads(
    load: Callable[..., Http],
) -> None:
    assert refusals(load(), VALID) == dict.fromkeys(VALID, (503, None))


def test_a_valid_call_over_grpc_is_unavailable_while_the_model_loads(
    load: Callable[..., Http], send: Send
) -> None:
    call = send(load().served, TONE)

    assert call.refusal() == (Code.UNAVAILABLE, None)
    assert call.details() == "Model fake is currently loading"


def test_a_value_is_checked_once_the_model_is_loaded(load: Callable[..., Http], send: Send) -> None:
    server = load()
    parameters = pb.GenerationParameters(num_beams=99)
    calls: dict[str, CallHttp] = {
        "json": lambda server: server.ask(TONE, {"num_beams": 99}),
        "form": lambda server: server.upload(TONE, num_beams="99"),
    }
    assert refusals(server, calls) == dict.fromkeys(calls, (503, None))
    call = send(server.served, TONE, generation_parameters=parameters)
    assert call.refusal() == (Code.UNAVAILABLE, None)

    server.model.release()

    wait = (("x-wait-for-model", "true"),)
    call = send(server.served, TONE, metadata=wait, generation_parameters=parameters)
    assert call.refusal() == (Code.INVALID_ARGUMENT, "num_beams")
    assert refusals(server, calls) == dict.fromkeys(calls, (422, "num_beams"))
