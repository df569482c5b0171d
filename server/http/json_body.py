"""Reads a JSON body as it arrives: one long string of base64, and beside it a small rest.

The long string never stands in memory as a whole. What is beside it is parsed by `json`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..status import MalformedBody, TooLarge
from .base64_text import Base64Text

MAX_REST_BYTES = 2**16  # of the JSON beside the audio
_MAX_DEPTH = 32  # of arrays and objects in each other
_MAX_ESCAPE = len(rb"\u0000")

# Up to the quote that ends a string, or an escape that is cut off or invalid (RFC 8259, 7).
_STRING = re.compile(rb'[^"\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*+', re.DOTALL)
_STRUCTURE = re.compile(rb'["{}\[\]:,]')
_OPENING, _CLOSING = b"{[", b"}]"


class JsonBody:
    """Takes the audio out of a JSON object, piece by piece.

    Attributes:
        content: The object after `finish`, without the audio.
    """

    def __init__(self, field: str, max_audio_bytes: int) -> None:
        """Expect a body.

        Args:
            field: The name of the object's member that holds the audio.
            max_audio_bytes: Most bytes of audio after decoding.
        """
        self.content: Any = None
        self._field = field
        self._audio = Base64Text(field, max_audio_bytes)
        self._rest = bytearray()  # of the body; the audio in it is an empty string
        self._held = b""  # an escape that the end of the piece has cut
        self._depth = 0
        self._is_in_string = False
        self._is_in_audio = False
        self._has_audio = False
        self._string_start = 0  # of the last string in `_rest`
        self._is_after_string = False
        self._is_field_next = False  # whether the value that follows is that of the field

    def feed(self, piece: bytes) -> bytes:
        """Return the audio in the next piece of the body.

        Raises:
            MalformedBody: The body is not valid JSON, or the audio is not valid base64.
            AudioTooLong: The audio is over its limit.
            TooLarge: The rest is over its limit.
        """
        piece = self._held + piece
        self._held = b""
        audio = []
        start = 0
        while start < len(piece):
            if not self._is_in_string:
                start = self._read_structure(piece, start)
                continue
            end = _find_end(piece, start)
            audio.append(self._take(piece[start:end]))
            start = self._end_string(piece, end)
        return b"".join(audio)

    def finish(self) -> bytes:
        """Return the rest of the audio; the body is complete.

        Raises:
            MalformedBody: The body is not valid JSON, has a name twice in one object, or has no
                audio.
        """
        try:
            self.content = json.loads(self._rest + self._held, object_pairs_hook=_refuse_twice)
        except (ValueError, RecursionError) as error:
            raise MalformedBody(f"the body is not valid JSON: {error}", "body") from None
        if not isinstance(self.content, dict):
            raise MalformedBody("body is not a JSON object", "body")
        text = self.content.pop(self._field, None)
        if not isinstance(text, str):
            raise MalformedBody(
                f"{self._field} must be the audio file as a string of base64", self._field
            )
        if self._has_audio:
            return self._audio.finish()
        # In an encoding other than UTF-8 `feed` has not found it. Then it is small.
        return self._audio.feed(text.encode(errors="replace")) + self._audio.finish()

    def _take(self, text: bytes) -> bytes:
        """Return a part of a string decoded if it is audio; keep it otherwise."""
        if not self._is_in_audio:
            self._keep(text)
            return b""
        if b"\\" in text:  # PHP writes "/" as "\/"
            try:
                text = json.loads(b'"%b"' % text).encode(errors="replace")
            except ValueError as error:
                raise MalformedBody(f"the body is not valid JSON: {error}", "body") from None
        return self._audio.feed(text)

    def _keep(self, text: bytes) -> None:
        self._rest += text
        if len(self._rest) > MAX_REST_BYTES:
            raise TooLarge(
                f"the JSON beside {self._field} is over the limit of {MAX_REST_BYTES} bytes", "body"
            )

    def _read_structure(self, piece: bytes, start: int) -> int:
        """Read up to the next string, or to a bracket, colon or comma; return where that ends."""
        match = _STRUCTURE.search(piece, start)
        end = len(piece) if match is None else match.end()
        self._keep(piece[start:end])
        if match is None:
            return end
        mark = match.group()
        if mark == b'"':
            self._is_in_string = True
            self._string_start = len(self._rest) - 1
            self._is_in_audio = self._is_field_next
            if self._is_in_audio and self._has_audio:
                raise _given_twice(self._field)
            self._has_audio |= self._is_in_audio
        elif mark in _OPENING:
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise MalformedBody(f"the JSON is nested deeper than {_MAX_DEPTH}", "body")
        elif mark in _CLOSING:
            self._depth -= 1
        is_key = mark == b":" and self._is_after_string and self._depth == 1
        self._is_field_next = is_key and self._is_field(self._rest[self._string_start : -1])
        self._is_after_string = False
        return end

    def _end_string(self, piece: bytes, end: int) -> int:
        """Return where to read on after a part of a string."""
        if end == len(piece):
            return end
        if piece[end : end + 1] == b'"':
            self._is_in_string = self._is_in_audio = False
            self._is_after_string = True
            self._keep(b'"')
            return end + 1
        if len(piece) - end >= _MAX_ESCAPE:
            raise MalformedBody("the body is not valid JSON: invalid \\escape", "body")
        self._held = piece[end:]
        return len(piece)

    def _is_field(self, name: bytearray) -> bool:
        try:
            return bool(json.loads(name.decode()) == self._field)
        except ValueError:
            return False


def _find_end(piece: bytes, start: int) -> int:
    """Return where a string ends, or the part of it that is whole."""
    quote = piece.find(b'"', start)
    end = len(piece) if quote < 0 else quote
    if piece.find(b"\\", start, end) < 0:  # base64 as most write it; the expression takes longer
        return end
    match = _STRING.match(piece, start)
    assert match is not None  # it matches no text too
    return match.end()


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise _given_twice(name)
        content[name] = value
    return content


def _given_twice(name: str) -> MalformedBody:
    return MalformedBody(f"{name} is given twice in one JSON object", name)
