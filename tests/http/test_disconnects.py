"""Clients that disconnect: their chunks are taken out at once, and the call is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakes import loaded, tones_file, words
from http_calls import Http, Socket, form_of, json_of
from served import ModelThatWaits
from waiting import wait_until

LONG = tones_file(10, 11, 12, 13)  # a chunk for each
FORM = "/v1/audio/transcriptions"


@pytest.fixture(params=["raw", "json", "form", "stream"])
def request_of(request: pytest.FixtureRequest) -> tuple[str, bytes, str]:
    """Path, body and content-type of a request, through each way into the server."""
    form, of_form = form_of(LONG, vad="off")
    stream, of_stream = form_of(LONG, vad="off", stream="true")
    body, of_json = json_of(LONG)
    return {
        "raw": ("/?vad=off", LONG, "audio/flac"),
        "json": ("/", body, of_json["content-type"]),
        "form": (FORM, form, of_form["content-type"]),
        "stream": (FORM, stream, of_stream["content-type"]),
    }[request.param]


def send(server: Http, path: str, body: bytes, kind: str) -> Socket:
    caller = Socket(server)
    head = f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\ncontent-type: {kind}"
    caller.send(head, body)
    return caller


def calls(server: Http) -> dict[str, float]:
    """Return how many calls over HTTP have ended, by status."""
    return {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(server.get("/metrics").text)
        for sample in family.samples
        if sample.name == "talkmill_requests_total"
    }


def test_the_chunks_of_a_client_that_is_gone_are_taken_out(
    http: Callable[..., Http], request_of: tuple[str, bytes, str]
) -> None:
    server = http(max_batch_size=1)
    engine = server.served.background.server.engine
    server.model.hold()
    caller = send(server, *request_of)
    server.model.wait_for_calls(1)
    wait_until(lambda: engine.num_waiting_chunks > 0)

    caller.close()

    wait_until(lambda: engine.num_requests == 0)  # although the model does not go on
    wait_until(lambda: calls(server) == {"CANCELLED": 1})
    server.model.release()
    assert server.ask(tones_file(20)).json() == {"text": words(20)}
    assert server.model.bands == [10, 20]


def test_a_client_that_leaves_within_a_stream_is_counted(http: Callable[..., Http]) -> None:
    model = ModelThatWaits(13)
    server = http(loaded(model), max_batch_size=1)
    body, headers = form_of(LONG, vad="off", stream="true")
    caller = send(server, FORM, body, headers["content-type"])
    assert b"200 OK" in caller.receive()

    caller.close()

    wait_until(lambda: server.served.background.server.engine.num_requests == 0)
    wait_until(lambda: calls(server) == {"CANCELLED": 1})
    model.may_go_on.set()


def test_a_client_that_leaves_in_its_upload_is_counted(
    http: Callable[..., Http], request_of: tuple[str, bytes, str]
) -> None:
    server = http()
    path, body, kind = request_of
    caller = Socket(server)
    head = f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\ncontent-type: {kind}"
    caller.send(head, body[:100])
    wait_until(lambda: server.served.background.server.engine.num_requests == 1)

    caller.close()

    wait_until(lambda: calls(server) == {"CANCELLED": 1})
