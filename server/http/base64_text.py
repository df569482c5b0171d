"""Decodes base64 as it arrives, a piece of text at a time."""

from __future__ import annotations

import binascii

from ...engine import AudioTooLong
from ..status import MalformedBody

_URI = b"data:"  # RFC 2397
_MAX_URI_HEAD = 1024  # bytes before the comma


class Base64Text:
    """One text of base64, which may be a `data:` URI. Holds no more than the last few letters."""

    def __init__(self, field: str, max_bytes: int) -> None:
        """Expect the text of a field.

        Args:
            field: Its name, for errors.
            max_bytes: Most bytes after decoding.
        """
        self._field = field
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._held = b""  # the head of a URI, or up to three letters that do not make a byte yet
        self._is_in_head = True
        self._has_ended = False  # with padding

    def feed(self, text: bytes) -> bytes:
        """Return what the next piece of the text decodes to.

        Raises:
            MalformedBody: It is not valid base64.
            AudioTooLong: All that was decoded is over the limit.
        """
        text = self._held + text
        if self._is_in_head:
            text = self._skip_head(text)
        length = 0 if self._is_in_head else len(text) - len(text) % 4
        self._held = text[length:]
        return self._decode(text[:length]) if length else b""

    def finish(self) -> bytes:
        """Return what is left at the end of the text.

        Raises:
            MalformedBody: The text ends too early.
        """
        self._is_in_head = self._is_in_head and self._is_uri(self._held)
        rest = self.feed(b"")
        if self._held:
            raise self._malformed()
        return rest

    def _skip_head(self, text: bytes) -> bytes:
        """Return what follows the head of a `data:` URI; all of the text if it is none."""
        if len(text) < len(_URI):
            return text
        if self._is_uri(text):
            head, comma, rest = text[:_MAX_URI_HEAD].partition(b",")
            if not comma and len(text) < _MAX_URI_HEAD:
                return text
            if not (comma and head.lower().endswith(b";base64")):
                raise MalformedBody(f"{self._field} is a data: URI, but not in base64", self._field)
            text = rest + text[_MAX_URI_HEAD:]
        self._is_in_head = False
        return text

    def _is_uri(self, text: bytes) -> bool:
        return text[: len(_URI)].lower() == _URI

    def _decode(self, text: bytes) -> bytes:
        if self._has_ended:
            raise self._malformed()
        try:
            audio = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            raise self._malformed() from None
        self._has_ended = text.endswith(b"=")
        self._num_bytes += len(audio)
        if self._num_bytes > self._max_bytes:
            raise AudioTooLong(
                f"{self._field} is over the inline limit of {self._max_bytes} bytes; send the "
                "file itself as the body"
            )
        return audio

    def _malformed(self) -> MalformedBody:
        return MalformedBody(f"{self._field} is not valid base64", self._field)
