"""Reads request bodies within limits on size and time: raw bytes, JSON and multipart forms."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from ...engine import AudioTooLong, Cancelled
from ..spool import SPOOL_BYTES, storing
from ..status import MalformedBody, UnsupportedMediaType

# Types that clients send when they do not know a file's type; the last is that of curl's
# --data-binary.
_UNSPECIFIC_TYPES = {"", "application/octet-stream", "application/x-www-form-urlencoded"}
_NOT_AUDIO = ("text/", "image/", "multipart/", "font/", "model/")
_OTHER_FIELDS_BYTES = 2**20  # allowance for what surrounds the audio in a form or in JSON


def media_type(request: Request) -> str:
    """Return the media type of the body in lower case, without parameters; empty if absent."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_audio_type(request: Request) -> None:
    """Check that the content-type can be audio. Otherwise it is ignored: FFmpeg detects the format.

    Raises:
        UnsupportedMediaType: The content-type is one of text, image, multipart, font or model.
    """
    kind = media_type(request)
    if kind not in _UNSPECIFIC_TYPES and kind.startswith(_NOT_AUDIO):
        raise UnsupportedMediaType(f"content-type {kind!r} is not audio", "content-type")


class BodyReader:
    """Reads bodies; raises if one is over a size limit or stops arriving."""

    def __init__(self, max_bytes: int, max_inline_bytes: int, timeout_s: float) -> None:
        """Set the limits.

        Args:
            max_bytes: Largest body that is audio, and largest file in a form.
            max_inline_bytes: Largest audio in base64, after decoding.
            timeout_s: Longest wait for the next bytes.
        """
        self._max_bytes = max_bytes
        self._max_inline_bytes = max_inline_bytes
        self._timeout_s = timeout_s

    async def pieces(
        self, request: Request, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives.

        Args:
            request: The request; its body must not have been read.
            max_bytes: Largest body; None for the limit on audio.

        Raises:
            AudioTooLong: The body is over the limit.
            MalformedBody: No byte arrives within the timeout.
            Cancelled: The client disconnects.
        """
        limit = self._max_bytes if max_bytes is None else max_bytes
        stream = request.stream().__aiter__()
        num_bytes = 0
        while True:
            try:
                piece = await asyncio.wait_for(anext(stream, b""), self._timeout_s)
            except TimeoutError:
                raise MalformedBody(f"no byte arrived in {self._timeout_s:g} s", "body") from None
            except ClientDisconnect:
                raise Cancelled("the client disconnected") from None
            if not piece:
                return
            num_bytes += len(piece)
            if num_bytes > limit:
                raise AudioTooLong(f"the body is over the limit of {limit} bytes")
            yield piece

    async def json(self, request: Request) -> Any:
        """Return the body parsed as JSON.

        Raises:
            AudioTooLong: The body is larger than JSON with the largest inline audio.
            MalformedBody: The body is not valid JSON, or an object in it has a name twice.
        """
        limit = self._max_inline_bytes * 4 // 3 + _OTHER_FIELDS_BYTES
        body = bytearray()
        async for piece in self.pieces(request, limit):
            body += piece
        try:
            return json.loads(body, object_pairs_hook=_refuse_duplicates)
        except (ValueError, RecursionError) as error:
            raise MalformedBody(f"the body is not valid JSON: {error}", "body") from None

    def base64(self, text: object, field: str) -> bytes:
        """Return the audio in `text`, decoded from base64.

        Args:
            text: The value of the field; it may be a `data:` URI.
            field: Its name, for errors.

        Raises:
            MalformedBody: `text` is not a string or not valid base64.
            AudioTooLong: The decoded audio is over the inline limit.
        """
        if not isinstance(text, str):
            raise MalformedBody(f"{field} must be the audio file as a string of base64", field)
        if text[:5].lower() == "data:":  # RFC 2397
            head, comma, text = text.partition(",")
            if not (comma and head.lower().endswith(";base64")):
                raise MalformedBody(f"{field} is a data: URI, but not in base64", field)
        try:
            if len(text) % 4:  # Python accepts excess padding
                raise ValueError
            audio = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise MalformedBody(f"{field} is not valid base64", field) from None
        if len(audio) > self._max_inline_bytes:
            raise AudioTooLong(
                f"{field} of {len(audio)} bytes is over the inline limit of "
                f"{self._max_inline_bytes} bytes; send the file itself as the body"
            )
        return audio

    async def form(self, request: Request) -> FormData:
        """Return a multipart form. Its files are spooled; the caller must close them.

        Raises:
            UnsupportedMediaType: The content-type is not multipart/form-data.
            MalformedBody: The form is malformed or incomplete.
            AudioTooLong: The form is over the limit.
            NoSpace: A file in it cannot be stored.
        """
        if (kind := media_type(request)) != "multipart/form-data":
            raise UnsupportedMediaType(
                f"content-type {kind!r} is not multipart/form-data", "content-type"
            )

        async def complete_body() -> AsyncGenerator[bytes, None]:
            async for piece in self.pieces(request, self._max_bytes + _OTHER_FIELDS_BYTES):
                yield piece
            if not parser.has_ended:
                raise MultiPartException("it ends before its closing boundary")

        parser = _FormParser(
            request.headers,
            complete_body(),
            max_files=1,
            max_fields=100,
            max_part_size=_OTHER_FIELDS_BYTES,
        )
        try:
            with storing():
                return await parser.parse()
        except MultiPartException as error:
            raise MalformedBody(f"the form is malformed: {error.message}", "body") from None
        except (KeyError, UnicodeError, AssertionError) as error:
            raise MalformedBody(f"the form is malformed: {error!r}", "body") from None


class _FormParser(MultiPartParser):
    """Records whether the closing boundary was read: Starlette accepts a form that is cut off."""

    has_ended = False
    spool_max_size = SPOOL_BYTES

    def on_end(self) -> None:
        self.has_ended = True


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise MalformedBody(f"{name} is given twice in one JSON object", name)
        content[name] = value
    return content
