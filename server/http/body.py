"""Bodies of requests, read within limits: bytes to a file, JSON, and multipart forms."""

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
from ..status import MalformedBody, UnsupportedMediaType

# What clients call a file whose type they do not know; curl's --data-binary says the last.
_UNSPOKEN = {"", "application/octet-stream", "application/x-www-form-urlencoded"}
_NEVER_AUDIO = ("text/", "image/", "multipart/", "font/", "model/")
_FORM_SLACK_BYTES = 2**20  # for the other fields of a form, and for JSON around base64


def media_type(request: Request) -> str:
    """Return the type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_audio_type(request: Request) -> None:
    """Refuse a body that cannot be audio; what else it says is not believed, but looked at.

    Raises:
        UnsupportedMediaType: It says so itself.
    """
    kind = media_type(request)
    if kind not in _UNSPOKEN and kind.startswith(_NEVER_AUDIO):
        raise UnsupportedMediaType(f"content-type {kind!r} is never audio", "content-type")


class BodyReader:
    """Reads bodies; gives up on one that is too large, or that stalls."""

    def __init__(self, max_bytes: int, max_inline_bytes: int, timeout_s: float) -> None:
        """Set the limits.

        Args:
            max_bytes: Of a body of audio or a form.
            max_inline_bytes: Of audio in base64.
            timeout_s: How long to wait for the next bytes.
        """
        self._max_bytes = max_bytes
        self._max_inline_bytes = max_inline_bytes
        self._timeout_s = timeout_s

    async def pieces(
        self, request: Request, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives.

        Raises:
            AudioTooLong: It is over the limit.
            MalformedBody: It does not go on.
            Cancelled: The caller went away.
        """
        limit = self._max_bytes if max_bytes is None else max_bytes
        stream = request.stream().__aiter__()
        num_bytes = 0
        while True:
            try:
                piece = await asyncio.wait_for(anext(stream, b""), self._timeout_s)
            except TimeoutError:
                raise MalformedBody(f"no byte came in {self._timeout_s:g} s", "body") from None
            except ClientDisconnect:
                raise Cancelled("the caller went away") from None
            if not piece:
                return
            num_bytes += len(piece)
            if num_bytes > limit:
                raise AudioTooLong(f"the body is over the limit of {limit} bytes")
            yield piece

    async def json(self, request: Request) -> Any:
        """Return the body's JSON.

        Raises:
            AudioTooLong: It is larger than the largest audio makes it.
            MalformedBody: It is no JSON.
        """
        limit = self._max_inline_bytes * 4 // 3 + _FORM_SLACK_BYTES
        body = bytearray()
        async for piece in self.pieces(request, limit):
            body += piece
        try:
            return json.loads(body, object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError) as error:
            raise MalformedBody(f"the body is no JSON: {error}", "body") from None

    def base64(self, text: object, field: str) -> bytes:
        """Return what a field holds as base64.

        Raises:
            MalformedBody: It is none.
            AudioTooLong: It is over the limit.
        """
        if not isinstance(text, str):
            raise MalformedBody(f"{field} is not the audio file in base64", field)
        try:
            if len(text) % 4:  # Python lets too much padding pass
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
        """Return a multipart form; its files are spooled, and closed by who takes them.

        Raises:
            UnsupportedMediaType: The body is no multipart form.
            MalformedBody: It is a broken one.
            AudioTooLong: It is over the limit.
        """
        if media_type(request) != "multipart/form-data":
            raise UnsupportedMediaType("send multipart/form-data", "content-type")

        async def whole() -> AsyncGenerator[bytes, None]:
            async for piece in self.pieces(request, self._max_bytes + _FORM_SLACK_BYTES):
                yield piece
            if not parser.has_ended:
                raise MultiPartException("it ends before its last boundary")

        parser = _FormParser(
            request.headers, whole(), max_files=1, max_fields=100, max_part_size=_FORM_SLACK_BYTES
        )
        try:
            return await parser.parse()
        except MultiPartException as error:
            raise MalformedBody(f"the form is broken: {error.message}", "body") from None
        except (KeyError, UnicodeError, AssertionError) as error:
            raise MalformedBody(f"the form is broken: {error!r}", "body") from None


class _FormParser(MultiPartParser):
    """Tells a whole form from one that was cut short, of which Starlette passes over the rest."""

    has_ended = False

    def on_end(self) -> None:
        self.has_ended = True


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise MalformedBody(f"{name} stands twice in one object", name)
        content[name] = value
    return content
