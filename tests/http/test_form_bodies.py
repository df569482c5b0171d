"""Forms as they arrive: in pieces of any size, and none too large beside the file."""

from __future__ import annotations

import pytest

from http_calls import form_of
from talkmill.server.http.form_body import MAX_REST_BYTES, FormBody
from talkmill.server.status import MalformedBody, TooLarge

AUDIO = b"\r\n--\r\n" + bytes(range(256)) * 4 + b"\r\n"


def read(body: bytes, content_type: str, size: int) -> tuple[bytes, list[tuple[str, str | None]]]:
    """Return the file in a form that arrives in pieces of `size`, and the fields."""
    form = FormBody(content_type)
    pieces = [form.feed(body[start : start + size]) for start in range(0, len(body), size)]
    form.finish()
    return b"".join(pieces), form.items


def part(name: str, value: str, *, is_file: bool = False) -> str:
    file = '; filename="a"' if is_file else ""
    return f'--x\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 2**16])
def test_the_pieces_of_a_form_may_end_anywhere(size: int) -> None:
    body, headers = form_of(AUDIO, language="en", prompt="é")

    assert read(body, headers["content-type"], size) == (
        AUDIO,
        [("language", "en"), ("prompt", "é"), ("file", None)],
    )


@pytest.mark.parametrize("size", [1, 2**16])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (part("file", "abc", is_file=True), "closing boundary"),
        ("", "closing boundary"),
        ("--y--\r\n", "malformed"),
        (part("a", "", is_file=True) + part("b", "", is_file=True), "more than one file"),
        ("".join(part(f"a{i}", "") for i in range(102)), "more than 100 fields"),
        ("--x\r\ncontent-disposition: form-data\r\n\r\n1\r\n--x--\r\n", 'with a "name"'),
        ("--x\r\n\r\n1\r\n--x--\r\n", 'with a "name"'),
    ],
)
def test_a_malformed_form_is_refused(body: str, why: str, size: int) -> None:
    with pytest.raises(MalformedBody, match=why):
        read(body.encode(), "multipart/form-data; boundary=x", size)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", f"multipart/form-data; boundary={'x' * 1000}"],
)
def test_a_form_without_a_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedBody, match="oundary"):
        FormBody(content_type)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(part("prompt", "x" * MAX_REST_BYTES), id="field"),
        pytest.param(
            "".join(part(f"a{i}", "x" * (MAX_REST_BYTES // 50)) for i in range(60)), id="fields"
        ),
        pytest.param("\r\n" * MAX_REST_BYTES, id="in front"),
        pytest.param("--x--\r\n" + "y" * MAX_REST_BYTES, id="at the end"),
    ],
)
def test_what_is_beside_the_file_must_be_small(body: str) -> None:
    with pytest.raises(TooLarge, match=f"limit of {MAX_REST_BYTES} bytes"):
        read(body.encode(), "multipart/form-data; boundary=x", 1000)
