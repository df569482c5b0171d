"""Calls that are refused before their upload: over the limit, or with a wrong option."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import grpc
import pytest

from fakes import PATIENCE_S, tones_file, words
from http_calls import Http, Socket
from served import UNKNOWN_FIELD, Call, Metadata, Served, wire_options
from talkmill.proto import transcription_pb2 as pb

TONE = tones_file(10)
Code = grpc.StatusCode


@contextmanager
def stream_without_upload(
    served: Served, *, model: str = "", metadata: Metadata = (), **options: object
) -> Iterator[Call]:
    """Open a stream that sends its options, and nothing more until the test has ended."""
    has_ended = Event()

    def messages() -> Iterator[pb.TranscribeStreamRequest]:
        config = pb.TranscribeStreamConfig(model=model, options=wire_options(**options))
        yield pb.TranscribeStreamRequest(config=config)
        has_ended.wait(PATIENCE_S)

    try:
        yield served.raw_stream(messages(), metadata=metadata)
    finally:
        has_ended.set()


def answer_to_head(server: Http, head: str) -> tuple[int, dict[str, Any]]:
    """Return the answer to a request whose body of 1000 bytes is never sent."""
    with Socket(server) as caller:
        caller.send(f"POST {head}\r\ncontent-length: 1000")
        return caller.read()


@pytest.fixture
def full(http: Callable[..., Http]) -> Iterator[Http]:
    """A server at its limit of one request, which is answered at the end."""
    server = http(max_requests=1)
    server.model.hold()
    first = server.served.unary(TONE)
    server.model.wait_for_calls(1)
    yield server
    server.model.release()
    assert first.answer().text == words(10)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("/ HTTP/1.1\r\ncontent-type: audio/flac", id="raw"),
        pytest.param("/ HTTP/1.1\r\ncontent-type: application/json", id="json"),
        pytest.param(
            "/v1/audio/transcriptions HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=x",
            id="form",
        ),
    ],
)
def test_over_the_limit_a_call_over_http_is_refused_before_its_upload(
    full: Http, head: str
) -> None:
    status, answer = answer_to_head(full, head)

    assert status == 429
    assert "limit of 1 concurrent requests" in str(answer["error"])


def test_over_the_limit_a_grpc_stream_is_refused_before_its_upload(full: Http) -> None:
    with stream_without_upload(full.served) as call:
        assert call.refusal() == (Code.RESOURCE_EXHAUSTED, None)

    assert "limit of 1 concurrent requests" in call.details()


@pytest.mark.parametrize(
    ("head", "status", "field"),
    [
        pytest.param("/ HTTP/1.1\r\nx-use-cache: perhaps", 422, "x-use-cache", id="header"),
        pytest.param("/models/other HTTP/1.1", 404, "model", id="model"),
        pytest.param("/ HTTP/1.1\r\ncontent-type: image/png", 415, "content-type", id="type"),
    ],
)
def test_a_raw_body_with_a_wrong_option_is_refused_before_its_upload(
    server: Http, head: str, status: int, field: str
) -> None:
    answered, answer = answer_to_head(server, head)

    assert (answered, answer["field"]) == (status, field)


@pytest.mark.parametrize(
    ("request_of", "refusal"),
    [
        pytest.param(
            {"generation_parameters": pb.GenerationParameters(num_beams=99)},
            (Code.INVALID_ARGUMENT, "num_beams"),
            id="parameter out of range",
        ),
        pytest.param(
            {"generation_parameters": pb.GenerationParameters.FromString(UNKNOWN_FIELD)},
            (Code.UNIMPLEMENTED, "generation_parameters"),
            id="unknown parameter",
        ),
        pytest.param({"language": "xx"}, (Code.INVALID_ARGUMENT, "language"), id="language"),
        pytest.param({"model": "other"}, (Code.NOT_FOUND, "model"), id="model"),
        pytest.param(
            {"metadata": (("x-use-cache", "perhaps"),)},
            (Code.INVALID_ARGUMENT, "x-use-cache"),
            id="metadata",
        ),
    ],
)
def test_a_grpc_stream_with_a_wrong_option_is_refused_before_its_upload(
    server: Http, request_of: dict[str, Any], refusal: tuple[Code, str]
) -> None:
    with stream_without_upload(server.served, **request_of) as call:
        assert call.refusal() == refusal
