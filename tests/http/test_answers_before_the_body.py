"""Answers to requests whose body has not been read: they reach clients that send it all first."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from fakes import PATIENCE_S, tones_file, words
from http_calls import Http, Socket
from talkmill.server.http import middleware
from waiting import wait_until

BODY = bytes(24 * 2**20)  # far more than the buffers of a connection hold
TONE = tones_file(10)


@pytest.mark.parametrize(
    ("settings", "path", "headers", "status"),
    [
        pytest.param({"max_audio_bytes": 1000}, "/", {}, 413, id="too long"),
        pytest.param({"max_inflight_bytes": 2**20}, "/", {}, 429, id="memory"),
        pytest.param({}, "/", {"content-type": "image/png"}, 415, id="type"),
        pytest.param({}, "/?top_p=9", {"content-type": "audio/flac"}, 422, id="option"),
        pytest.param({}, "/models/other", {"content-type": "audio/flac"}, 404, id="model"),
        pytest.param({}, "/nowhere", {}, 404, id="no such path"),
        pytest.param({}, "/live", {}, 405, id="method"),
        pytest.param({"auth_tokens": (f"a:{'0' * 64}",)}, "/", {}, 401, id="token"),
    ],
)
def test_urllib_sees_the_status_of_a_refusal(
    http: Callable[..., Http],
    settings: dict[str, object],
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    server = http(**settings)

    assert refusal_of(server, path, headers) == status


def refusal_of(server: Http, path: str, headers: dict[str, str]) -> int:
    """Return the status with which a large body is refused."""
    request = urllib.request.Request(server.url + path, data=BODY, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=PATIENCE_S)
    assert json.loads(caught.value.read())["error"]
    caught.value.close()
    return caught.value.code


def test_urllib_sees_that_the_server_is_overloaded(http: Callable[..., Http]) -> None:
    server = http(max_requests=1)
    server.model.hold()
    first = server.served.unary(TONE)
    server.model.wait_for_calls(1)

    assert refusal_of(server, "/", {}) == 429

    server.model.release()
    assert first.answer().text == words(10)


def test_the_standard_client_sees_the_status_on_a_connection_that_it_keeps(
    http: Callable[..., Http],
) -> None:
    server = http(max_audio_bytes=1000)
    address = urlsplit(server.url)
    connection = http_client(address.hostname, address.port)
    connection.request("POST", "/", body=BODY)
    response = connection.getresponse()

    assert response.status == 413
    assert response.getheader("connection") == "close"
    assert b"over the limit of 1000 bytes" in response.read()
    connection.close()


def http_client(host: str | None, port: int | None) -> http.client.HTTPConnection:
    assert host is not None
    return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_asked(
    http: Callable[..., Http],
) -> None:
    server = http(max_audio_bytes=1000)
    with Socket(server) as caller:
        caller.send("POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2000")

        answer = caller.receive_all()  # ends: the server does not wait for a body

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in answer


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(server: Http) -> None:
    with Socket(server) as caller:
        caller.send(
            f"POST /?vad=off HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {len(TONE)}"
        )
        assert caller.receive().startswith(b"HTTP/1.1 100 Continue")
        caller.send_raw(TONE)

        assert caller.read() == (200, {"text": words(10)})


@pytest.mark.parametrize(("limit", "value"), [("_MAX_REST_BYTES", 2**20), ("_MAX_REST_S", 0.05)])
def test_the_rest_of_a_body_is_read_within_limits(
    http: Callable[..., Http], monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(middleware, limit, value)
    server = http(max_audio_bytes=1000)
    with Socket(server) as caller:
        caller.send(f"POST / HTTP/1.1\r\ncontent-length: {2**40}")
        assert caller.read()[0] == 413

        wait_until(lambda: not sent_more(caller))


def sent_more(caller: Socket) -> bool:
    try:
        caller.send_raw(bytes(2**16))
    except ConnectionError:
        return False
    return True


def test_after_a_refusal_with_its_whole_body_the_connection_stays(server: Http) -> None:
    with Socket(server) as caller:
        for _ in range(2):
            caller.send("POST /models/other HTTP/1.1\r\ncontent-length: 0")
            assert caller.read()[0] == 404
