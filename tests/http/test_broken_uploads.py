"""Uploads that stall, and clients that disconnect during the upload or before the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fakes import tones_file, words
from http_calls import Http, Socket, form_of, json_of

TONE = tones_file(10)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param("POST / HTTP/1.1\r\ncontent-length: 1000", TONE[:100], id="raw"),
        pytest.param("POST / HTTP/1.1\r\ncontent-length: 1000", b"", id="nothing"),
        pytest.param("POST / HTTP/1.1\r\ntransfer-encoding: chunked", b"5\r\nabc", id="chunked"),
        pytest.param(
            "POST / HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 1000",
            b'{"inputs": "',
            id="json",
        ),
        pytest.param(
            "POST /v1/audio/transcriptions HTTP/1.1\r\ncontent-length: 1000\r\n"
            "content-type: multipart/form-data; boundary=x",
            b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
            id="form",
        ),
    ],
)
def test_an_upload_that_stalls_is_refused(
    http: Callable[..., Http], head: str, body: bytes
) -> None:
    with Socket(http(upload_timeout_s=0.1)) as caller:
        caller.send(head, body)

        status, answer = caller.read()

    assert status == 408
    assert "a pause may last 0.1 s" in str(answer["error"])
    assert "audio" in (answer.get("field"), answer["error"]["param"] if "v1" in head else None)


def test_an_upload_that_trickles_is_cut_off_in_the_end(http: Callable[..., Http]) -> None:
    with Socket(http(http_timeout_s=0.3)) as caller:
        caller.send("POST / HTTP/1.1\r\ncontent-length: 1000", b"abc")

        status, answer = caller.read()

    assert status == 504
    assert "deadline" in str(answer["error"])


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("how", ["json", "form"])
def test_a_client_that_disconnects_cancels_its_request(
    http: Callable[..., Http], how: str, is_streamed: bool
) -> None:
    server = http(max_requests=1)
    server.model.hold()
    if how == "json":
        path, (body, headers) = "/", json_of(TONE)
    else:
        stream = "true" if is_streamed else "false"
        path, (body, headers) = "/v1/audio/transcriptions", form_of(TONE, vad="off", stream=stream)
    caller = Socket(server)
    kind = headers["content-type"]
    caller.send(
        f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\ncontent-type: {kind}", body
    )
    server.model.wait_for_calls(1)

    caller.close()

    engine = server.served.background.server.engine
    while engine.num_requests:  # the test's own timeout ends a wait in vain
        server.get("/live")
    server.model.release()
    assert server.ask(tones_file(20)).json() == {"text": words(20)}


def test_a_client_that_disconnects_during_the_upload_frees_its_place(
    http: Callable[..., Http],
) -> None:
    server = http(max_requests=1)
    engine = server.served.background.server.engine
    for path in ("/", "/v1/audio/transcriptions"):
        caller = Socket(server)
        kind = "audio/flac" if path == "/" else "multipart/form-data; boundary=x"
        caller.send(
            f"POST {path} HTTP/1.1\r\ncontent-length: 1000\r\ncontent-type: {kind}",
            b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
        )
        while engine.num_requests < 1:
            server.get("/live")
        caller.close()
        while engine.num_requests:
            server.get("/live")
    assert server.ask(TONE).json() == {"text": words(10)}
