"""JSON as it arrives: in pieces of any size, with what clients write into it."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b64encode
from typing import Any

import pytest

from talkmill.engine import AudioTooLong, RequestError
from talkmill.server.http.json_body import MAX_REST_BYTES, JsonBody
from talkmill.server.status import MalformedBody, TooLarge

AUDIO = bytes(range(256)) * 2
TEXT = b64encode(AUDIO).decode()


def read(body: bytes, size: int = 2**16, max_audio_bytes: int = 2**20) -> tuple[bytes, Any]:
    """Return the audio in a body that arrives in pieces of `size`, and what is beside it."""
    reader = JsonBody("inputs", max_audio_bytes)
    pieces = [reader.feed(body[start : start + size]) for start in range(0, len(body), size)]
    return b"".join([*pieces, reader.finish()]), reader.content


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 2**16])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps({"inputs": TEXT, "x": {"y": [1]}}), id="plain"),
        pytest.param(json.dumps({"x": {"y": [1]}, "inputs": TEXT}, indent=2), id="indented"),
        pytest.param(json.dumps({"inputs": TEXT, "x": {"y": [1]}}).replace("/", "\\/"), id="PHP"),
        pytest.param(
            json.dumps({"inputs": TEXT, "x": {"y": [1]}}).replace("A", "\\u0041"), id="escaped"
        ),
        pytest.param(
            json.dumps({"inputs": f"data:audio/flac;base64,{TEXT}", "x": {"y": [1]}}), id="URI"
        ),
        pytest.param(f'{{"\\u0069nputs" : "{TEXT}", "x": {{"y": [1]}}}}', id="escaped name"),
    ],
)
def test_the_pieces_of_a_body_may_end_anywhere(body: str, size: int) -> None:
    assert read(body.encode(), size) == (AUDIO, {"x": {"y": [1]}})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_small_body_may_be_in_any_encoding_of_unicode(encoding: str) -> None:
    assert read(json.dumps({"inputs": TEXT, "x": "é"}).encode(encoding)) == (AUDIO, {"x": "é"})


def test_a_name_that_stands_elsewhere_is_not_the_audio() -> None:
    body = {"a": {"inputs": "b"}, "b": "inputs", "c": ["inputs", "d"], "inputs": TEXT}

    assert read(json.dumps(body).encode(), 1) == (
        AUDIO,
        {"a": {"inputs": "b"}, "b": "inputs", "c": ["inputs", "d"]},
    )


@pytest.mark.parametrize("size", [1, 2**16])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "not valid JSON"),
        ('{"inputs": "', "not valid JSON"),
        (f'{{"inputs": "{TEXT}', "not valid JSON"),
        (f'{{"inputs": "{TEXT}"', "not valid JSON"),
        (f'{{"inputs": "{TEXT}"}}}}', "not valid JSON"),
        (f'{{"inputs": "{TEXT}\\x1234"}}', "not valid JSON"),
        (f'{{"inputs": "{TEXT}\\u12g4"}}', "not valid JSON"),
        (f'{{"inputs": "{TEXT}", "inputs": "{TEXT}"}}', "given twice"),
        (f'{{"inputs": "{TEXT}", "inputs": null}}', "given twice"),
        (f'["{TEXT}"]', "not a JSON object"),
        (f'"{TEXT}"', "not a JSON object"),
        ("{}", "must be the audio file as a string"),
        ('{"inputs": null}', "must be the audio file as a string"),
        (f'{{"inputs": ["{TEXT}"]}}', "must be the audio file as a string"),
        (f'{{"inputs": "{TEXT}A"}}', "not valid base64"),
        (f'{{"inputs": "{TEXT}===="}}', "not valid base64"),
        ('{"inputs": "AA==AAAA"}', "not valid base64"),
        ('{"inputs": "AAAA AAA"}', "not valid base64"),
        ('{"inputs": "ÄÄÄÄ"}', "not valid base64"),
        ('{"inputs": "\\ud800AAA"}', "not valid base64"),
        (f'{{"inputs": "data:audio/flac,{TEXT}"}}', "not in base64"),
        (f'{{"inputs": "data:{TEXT * 3}"}}', "not in base64"),
        ("[" * 33, "nested deeper than 32"),
    ],
)
def test_a_malformed_body_is_refused(body: str, why: str, size: int) -> None:
    with pytest.raises(MalformedBody, match=why):
        read(body.encode(), size)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps({"inputs": TEXT, "x": "y" * MAX_REST_BYTES}), id="text"),
        pytest.param(json.dumps({"x": "y" * MAX_REST_BYTES}), id="text in front"),
        pytest.param(json.dumps({"x": [0] * MAX_REST_BYTES}), id="list"),
        pytest.param(" " * MAX_REST_BYTES + "{}", id="space"),
        pytest.param('"' + "y" * MAX_REST_BYTES, id="no object"),
        pytest.param(":" * (MAX_REST_BYTES + 1), id="colons"),
    ],
)
def test_what_is_beside_the_audio_must_be_small(body: str) -> None:
    with pytest.raises(TooLarge, match=f"limit of {MAX_REST_BYTES} bytes"):
        read(body.encode(), 1000)


def test_audio_over_the_limit_is_refused_before_the_rest_has_arrived() -> None:
    reader = JsonBody("inputs", max_audio_bytes=100)

    with pytest.raises(AudioTooLong, match="inputs is over the inline limit of 100 bytes"):
        reader.feed(b'{"inputs": "' + b"AAAA" * 34)


def test_the_audio_is_never_in_memory_as_a_whole() -> None:
    piece = b"AAAA" * 2**14
    reader = JsonBody("inputs", max_audio_bytes=2**30)
    reader.feed(b'{"inputs": "')

    tracemalloc.start()
    num_bytes = sum(len(reader.feed(piece)) for _ in range(256))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert num_bytes == 256 * len(piece) * 3 // 4
    assert peak_bytes < 8 * len(piece)


def test_what_is_not_json_raises_no_other_error() -> None:
    body = f'{{"inputs": "{TEXT}", "x": [{{"y": "\\n"}}]}}'.encode()
    for position in range(len(body)):
        for letter in b'"\\{}[]:,\x00\xff':
            broken = body[:position] + bytes([letter]) + body[position + 1 :]
            try:
                read(broken, 100)
            except RequestError:
                continue
