"""The rule for the event loop: no request holds it for long, whatever its body holds.

What grows with a body is done on a thread, a piece at a time: a call of C code holds the
interpreter, and with it the loop, on any thread.
"""

from __future__ import annotations

import binascii
import json
import threading
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from python_multipart.multipart import MultipartParser
from starlette.responses import JSONResponse

from fakes import tones_file
from http_calls import Http, form_of
from talkmill.server.http import form_body, json_body, long_json
from talkmill.server.http.long_json import LongJson

LOOP = "talkmill-server"  # the name of the thread that runs it
MAX_ON_LOOP = 2**16
MAX_AT_ONCE = 2**19
LARGE = 4 * 2**20


class Work(NamedTuple):
    """One call that takes time in proportion to its bytes."""

    name: str
    is_on_loop: bool
    num_bytes: int


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """What is parsed and decoded during the test."""
    done: list[Work] = []

    def watch(owner: Any, name: str, argument: int = 0) -> None:
        original = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            is_on_loop = threading.current_thread().name == LOOP
            done.append(Work(name, is_on_loop, len(arguments[argument])))
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, watched)

    watch(json, "loads")
    watch(binascii, "a2b_base64")
    watch(MultipartParser, "write", argument=1)
    return done


def largest_json() -> tuple[bytes, dict[str, str]]:
    inputs = b64encode(bytes(LARGE)).decode()
    body = {"inputs": inputs, "parameters": {"suppress_tokens": [1] * (2**16 // 3 - 100)}}
    return json.dumps(body, separators=(", ", ":")).encode(), {"content-type": "application/json"}


def largest_form() -> tuple[bytes, dict[str, str]]:
    numbers = "[" + "1," * 30_000 + "1]"
    return form_of(bytes(LARGE), suppress_tokens=numbers)


@pytest.mark.parametrize(
    ("path", "body_of"),
    [
        pytest.param("/", largest_json, id="json"),
        pytest.param("/v1/audio/transcriptions", largest_form, id="form"),
    ],
)
def test_the_largest_body_does_not_hold_the_loop(
    http: Callable[..., Http],
    work: list[Work],
    path: str,
    body_of: Callable[[], tuple[bytes, dict[str, str]]],
) -> None:
    server = http(max_inline_bytes=LARGE, max_audio_bytes=LARGE)
    body, headers = body_of()

    response = server.post(path, data=body, headers=headers)

    assert response.status_code == 422  # all was read: too many tokens to suppress
    assert sum(each.num_bytes for each in work) > LARGE
    assert [each for each in work if each.is_on_loop and each.num_bytes > MAX_ON_LOOP] == []
    assert [each for each in work if each.num_bytes > MAX_AT_ONCE] == []


def test_what_is_beside_the_audio_is_no_more_than_the_loop_may_parse() -> None:
    assert json_body.MAX_REST_BYTES <= MAX_ON_LOOP
    assert form_body.MAX_REST_BYTES <= MAX_ON_LOOP


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/", "application/json", b"[" * LARGE),
        ("/", "application/json", b'{"inputs":"' + b"\\/" * (LARGE // 2)),
        ("/", "application/json", b'{"a":"' + b"x" * LARGE),
        (
            "/v1/audio/transcriptions",
            "multipart/form-data; boundary=x",
            b"--x\r\na:" * (LARGE // 8),
        ),
        ("/v1/audio/transcriptions", "multipart/form-data; boundary=x", b"\r\n" * (LARGE // 2)),
    ],
)
def test_a_hostile_body_does_not_hold_the_loop(
    http: Callable[..., Http], work: list[Work], path: str, kind: str, body: bytes
) -> None:
    server = http(max_inline_bytes=LARGE, max_audio_bytes=LARGE)

    response = server.post(path, data=body, headers={"content-type": kind})

    assert response.status_code in {400, 413}
    assert [each for each in work if each.is_on_loop] == []
    assert [each for each in work if each.num_bytes > MAX_AT_ONCE] == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/?vad=off&return_timestamps=true", {}),
        ("/v1/audio/transcriptions", {"response_format": "verbose_json", "vad": "off"}),
    ],
)
def test_a_long_answer_is_written_on_a_thread_a_segment_at_a_time(
    server: Http, monkeypatch: pytest.MonkeyPatch, path: str, fields: dict[str, str]
) -> None:
    encoded: list[tuple[str, object]] = []
    encode = long_json._encode

    def watched(value: object) -> str:
        encoded.append((threading.current_thread().name, value))
        return encode(value)

    monkeypatch.setattr(long_json, "_encode", watched)
    body, headers = (
        form_of(tones_file(10, 11, 12), **fields) if fields else (tones_file(10, 11, 12), {})
    )

    answer = server.post(path, data=body, headers=headers).json()

    segments = answer.get("segments") or answer["chunks"]
    assert len(segments) == 3
    assert [value for _, value in encoded if isinstance(value, list)] == []
    assert [value for _, value in encoded if value in segments] == segments
    assert LOOP not in {thread for thread, _ in encoded}


def test_long_json_is_the_same_as_any_other() -> None:
    content = {"text": 'é \u2028 "', "list": [{"a": [1, 2.5]}, None], "none": [], "d": {"x": True}}

    assert json.loads(bytes(LongJson(content).body)) == content
    assert LongJson(content).body == JSONResponse(content).body
