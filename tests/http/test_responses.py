"""What every response has in common: request ids, errors as JSON, and no delay."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from fakes import PATIENCE_S, tones_file, words
from http_calls import Http

TONE = tones_file(10)


def test_calls_over_the_limit_are_refused_with_retry_after(
    http: Callable[..., Http], pool: ThreadPoolExecutor
) -> None:
    server = http(max_requests=1)
    server.model.hold()
    first = pool.submit(server.ask, TONE)
    server.model.wait_for_calls(1)

    second, third = server.ask(TONE), server.upload(TONE)

    assert (second.status_code, third.status_code) == (429, 429)
    assert "limit of 1 concurrent requests" in second.json()["error"]
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert int(second.headers["retry-after"]) >= 1
    server.model.release()
    assert first.result(PATIENCE_S).json() == {"text": words(10)}


def test_a_failure_of_the_model_is_500_and_its_message_is_hidden(server: Http) -> None:
    server.model.poisoned = frozenset({11})

    response, form = server.ask(tones_file(11)), server.upload(tones_file(11))

    server.model.poisoned = frozenset()
    assert (response.status_code, form.status_code) == (500, 500)
    assert "poisoned" not in response.text + form.text
    assert "field" not in response.json()
    assert form.json()["error"]["param"] is None


@pytest.mark.parametrize("path", ["/live", "/", "/no/such/address"])
def test_every_response_has_an_id_of_its_own(server: Http, path: str) -> None:
    ids = {server.get(path).headers["x-request-id"] for _ in range(3)}

    assert len(ids) == 3
    assert all(ids)


def test_a_callers_own_id_comes_back(server: Http) -> None:
    response = server.ask(b"", headers={"x-request-id": "mine 7"})

    assert (response.status_code, response.headers["x-request-id"]) == (400, "mine 7")


@pytest.mark.parametrize("given", ["", "a\tb", "a\xa0b"])
def test_an_id_that_cannot_be_printed_is_replaced(server: Http, given: str) -> None:
    answered = server.get("/live", headers={"x-request-id": given.encode("latin-1")})

    assert len(answered.headers["x-request-id"]) == 32


def test_a_long_id_is_cut(server: Http) -> None:
    answered = server.get("/live", headers={"x-request-id": "x" * 1000})

    assert answered.headers["x-request-id"] == "x" * 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/", 405),
        ("PUT", "/models/fake", 405),
        ("GET", "/v1/audio/transcriptions", 405),
        ("POST", "/live", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/v1/audio/speech", 404),
        ("GET", "/v1/models/a%0Ab", 404),
    ],
)
def test_an_unknown_route_or_method_is_refused_in_json(
    server: Http, method: str, path: str, status: int
) -> None:
    response = requests.request(method, server.url + path)

    assert response.status_code == status
    error = response.json()["error"]
    message = error["message"] if path.startswith("/v1/") else error
    assert message.startswith(f"{method} /")
    assert ("allow" in response.headers) == (status == 405)


def test_an_answer_does_not_wait_for_an_acknowledgement(server: Http) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as caller:
        caller.sendall(b"GET /live HTTP/1.1\r\nhost: here\r\n\r\n")
        assert caller.recv(12) == b"HTTP/1.1 200"
        with accepted_socket(caller.getsockname()) as theirs:
            assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def accepted_socket(peer: object) -> socket.socket:
    """Return a copy of this process's socket that is connected to `peer`: the server's end."""
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed meanwhile
            continue
        try:
            if copy.getpeername() == peer:
                return copy
        except OSError:
            pass
        copy.close()
    pytest.fail(f"no socket is connected to {peer}")
