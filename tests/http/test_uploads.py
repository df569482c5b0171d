"""Uploads that are refused before or while they arrive: by their bytes, number and pace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fakes import tones_file, words
from http_calls import Http, Socket, form_of, json_of
from waiting import wait_until

TONE = tones_file(10)
HEADS = {
    "raw": "/ HTTP/1.1\r\ncontent-type: audio/flac",
    "json": "/ HTTP/1.1\r\ncontent-type: application/json",
    "form": "/v1/audio/transcriptions HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=x",
}


def num_requests(server: Http) -> int:
    return server.served.background.server.engine.num_requests


@pytest.fixture(params=list(HEADS))
def head(request: pytest.FixtureRequest) -> str:
    """The head of a request, through each way into the server."""
    return f"POST {HEADS[request.param]}"


def test_memory_is_counted_before_an_upload(http: Callable[..., Http], head: str) -> None:
    server = http(max_inflight_bytes=10_000)
    with Socket(server) as first, Socket(server) as second:
        first.send(f"{head}\r\ncontent-length: 6000")  # of which nothing arrives
        wait_until(lambda: num_requests(server) == 1)

        second.send(f"{head}\r\ncontent-length: 6000")

        status, answer = second.read()
    assert status == 429
    assert "10000 bytes in flight" in str(answer["error"])


def test_memory_is_counted_as_it_arrives_if_its_amount_is_unknown(
    http: Callable[..., Http],
) -> None:
    server = http(max_inflight_bytes=10_000)
    with Socket(server) as caller:
        caller.send("POST / HTTP/1.1\r\ntransfer-encoding: chunked", b"1771\r\n" + bytes(6001))
        wait_until(lambda: num_requests(server) == 1)
        assert not caller.has_answer(within_s=0.05)
        caller.send_raw(b"\r\n1771\r\n" + bytes(6001))

        assert caller.read()[0] == 429
    wait_until(lambda: num_requests(server) == 0)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("raw", 1000), ("json", 1000 * 4 // 3 * 2 + 2**16), ("form", 1000 + 2**16)],
)
def test_an_upload_that_says_it_is_too_long_is_refused_before_it(
    http: Callable[..., Http], kind: str, limit: int
) -> None:
    server = http(max_audio_bytes=1000, max_inline_bytes=1000)
    with Socket(server) as caller:
        caller.send(f"POST {HEADS[kind]}\r\ncontent-length: {limit + 1}")

        status, answer = caller.read()

    assert status == 413
    assert f"over the limit of {limit} bytes" in str(answer["error"])


def test_open_uploads_are_limited_and_their_end_makes_room(
    http: Callable[..., Http], head: str
) -> None:
    server = http(max_uploads=1)
    with Socket(server) as first, Socket(server) as second:
        first.send(f"{head}\r\ncontent-length: 1000")
        wait_until(lambda: num_requests(server) == 1)
        second.send(f"{head}\r\ncontent-length: 1000")

        status, answer = second.read()
    assert status == 429
    assert "limit of 1 open uploads" in str(answer["error"])
    wait_until(lambda: num_requests(server) == 0)
    assert server.ask(TONE).json() == {"text": words(10)}


def test_requests_that_have_arrived_are_no_open_uploads(http: Callable[..., Http]) -> None:
    server = http(max_uploads=1)
    server.model.hold()
    callers = [Socket(server) for _ in range(3)]
    for number, caller in enumerate(callers, 1):
        body, headers = [json_of(TONE), form_of(TONE, vad="off")][number % 2]
        path = ["/", "/v1/audio/transcriptions"][number % 2]
        caller.send(
            f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n"
            f"content-type: {headers['content-type']}",
            body,
        )
        wait_until(lambda count=number: num_requests(server) == count)  # type: ignore[misc]
        wait_until(lambda: num_open_uploads(server) == 0)
    server.model.release()

    assert [caller.read()[0] for caller in callers] == [200, 200, 200]
    for caller in callers:
        caller.close()


def num_open_uploads(server: Http) -> int:
    listener = server.served.background.server._http
    assert listener is not None
    app = listener._server.config.app
    endpoint = next(route.endpoint for route in app.routes if "POST" in (route.methods or ()))  # type: ignore[union-attr]
    number: int = endpoint._bodies._num_uploads
    return number


def test_an_upload_of_single_bytes_is_refused(http: Callable[..., Http], head: str) -> None:
    server = http(upload_timeout_s=0.2, min_upload_bytes_per_s=10_000)
    with Socket(server) as caller:
        caller.send(f"{head}\r\ntransfer-encoding: chunked")
        wait_until(lambda: has_answer_after(caller, b"1\r\n\n\r\n"))

        assert caller.read()[0] == 408


def has_answer_after(caller: Socket, chunk: bytes) -> bool:
    """Send a chunk; return whether an answer arrives within 10 ms."""
    caller.send_raw(chunk)
    return caller.has_answer(within_s=0.01)
