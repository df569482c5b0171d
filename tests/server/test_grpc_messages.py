"""What gRPC says to messages that are malformed, compressed or long."""

from __future__ import annotations

import logging
import threading
from typing import Any

import grpc
import pytest

from fakes import FakeModel, tones_file, words
from served import (
    HEALTH_CHECK,
    STREAM_CONFIG,
    TRANSCRIBE,
    TRANSCRIBE_STREAM,
    Refusal,
    Serve,
)

Code = grpc.StatusCode


def field(number: int, data: bytes) -> bytes:
    """Return a field of protobuf's wire type 2, of less than 2 MB."""
    size = len(data)
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    return bytes([number << 3 | 2]) + length + data


UNDECODABLE = [
    pytest.param(b"\xff" * 40, "message", id="no field"),
    pytest.param(b"\x0a\xff\xff\x7f", "message", id="cut off"),
    pytest.param(b"\x0a", "message", id="only a tag"),
    pytest.param(b"\x0b" * 4, "message", id="groups"),
    pytest.param(b"\x1a\x00" * 1000, "message", id="many fields"),
    pytest.param(field(3, b"\x42\x00" * 50_000), "options", id="many languages"),
    pytest.param(field(15, b"x" * 70_000), "options", id="large unknown field"),
    pytest.param(field(2, b"x" * 70_000 + b"\xff"), "options", id="large model"),
    pytest.param(field(2, b"\xff\xff"), "message", id="a text that is not UTF-8"),
]


@pytest.mark.parametrize(("data", "at_fault"), UNDECODABLE)
def test_a_message_that_cannot_be_decoded_is_the_callers_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture, data: bytes, at_fault: str
) -> None:
    served = serve()
    with caplog.at_level(logging.WARNING):
        refusal = served.raw(TRANSCRIBE, iter([data])).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, at_fault)
    assert caplog.records == []
    assert served.unary(tones_file(10)).answer().text == words(10)


@pytest.mark.parametrize("first", [(), (STREAM_CONFIG,)], ids=["as config", "as audio"])
def test_a_streamed_message_that_cannot_be_decoded_is_the_callers_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture, first: tuple[bytes, ...]
) -> None:
    served = serve()
    with caplog.at_level(logging.WARNING):
        refusal = served.raw(TRANSCRIBE_STREAM, iter([*first, b"\xff" * 40])).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, "message")
    assert caplog.records == []


def test_a_call_without_message_is_refused(serve: Serve) -> None:
    refusal = serve().raw(TRANSCRIBE, iter([])).refusal()

    assert refusal == (Code.INVALID_ARGUMENT, "message")


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("method", [TRANSCRIBE, TRANSCRIBE_STREAM, HEALTH_CHECK])
def test_compressed_messages_are_refused(
    serve: Serve, compression: grpc.Compression, method: str
) -> None:
    call = serve().raw(method, iter([bytes(100_000)]), compression=compression)

    assert call.refusal().code == Code.UNIMPLEMENTED
    assert "is disabled" in call.details()


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_a_model_name_of_kilobytes_is_refused_in_a_few_words(serve: Serve, kind: str) -> None:
    call = getattr(serve(), kind)(tones_file(10), model="é" * 4096)

    assert call.refusal() == (Code.NOT_FOUND, "model")
    assert call.details() == "model: a name of 4096 characters is over the limit of 256"


@pytest.mark.parametrize("kind", ["unary", "stream"])
@pytest.mark.parametrize(
    ("options", "at_fault"),
    [
        ({"prompt": "x" * 4097}, "prompt"),
        ({"languages": ["en"] * 129}, "languages"),
        ({"generation_parameters": {"suppress_tokens": [5] * 4097}}, "suppress_tokens"),
        ({"generation_parameters": {"temperatures": [0.5] * 4097}}, "temperature"),
        ({"prompt": "x" * 70_000}, "options"),
    ],
)
def test_a_long_option_is_refused(
    serve: Serve, kind: str, options: dict[str, Any], at_fault: str
) -> None:
    served = serve()

    refusal = getattr(served, kind)(tones_file(10), **options).refusal()

    assert refusal == Refusal(Code.INVALID_ARGUMENT, at_fault)


def test_texts_are_tokenized_off_the_event_loop(
    serve: Serve, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    threads = []
    encode = type(model.tokenizer).encode

    def watched(self: Any, text: str) -> tuple[int, ...]:
        threads.append(threading.current_thread().name)
        return encode(self, text)

    monkeypatch.setattr(type(model.tokenizer), "encode", watched)

    served.unary(tones_file(10), prompt="call emma", hotwords=["talkmill"]).answer()

    assert threads
    assert "talkmill-server" not in threads
