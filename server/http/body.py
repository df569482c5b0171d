"""Reads request bodies within limits on size, pace and number: raw bytes, JSON and forms.

A body is never in memory as a whole: its audio goes on to the gateway piece by piece. JSON and
forms are parsed on a thread, since a large piece of them takes milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Protocol

from starlette.requests import Request

from ...engine import AudioTooLong, Cancelled, Overloaded
from ..config import ServerConfig
from ..status import UnsupportedMediaType
from ..upload import UploadPace
from .form_body import MAX_REST_BYTES as MAX_FORM_REST_BYTES
from .form_body import FormBody
from .json_body import MAX_REST_BYTES as MAX_JSON_REST_BYTES
from .json_body import JsonBody

# Types that clients send when they do not know a file's type; the last is that of curl's
# --data-binary.
_UNSPECIFIC_TYPES = {"", "application/octet-stream", "application/x-www-form-urlencoded"}
_NOT_AUDIO = ("text/", "image/", "multipart/", "font/", "model/")
_ESCAPED = 2  # bytes of JSON for a letter of base64, at most: PHP writes "/" as "\/"


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


class Envelope(Protocol):
    """What the audio in a body is found with: `JsonBody` or `FormBody`."""

    def feed(self, piece: bytes) -> bytes:
        """Return the audio in the next piece of the body."""

    def finish(self) -> bytes:
        """Return the rest of the audio; the body is complete."""


class BodyReader:
    """Reads bodies; raises if one is over a limit, or arrives too slowly."""

    def __init__(self, config: ServerConfig) -> None:
        """Take the limits from the settings."""
        self._max_bytes = config.max_audio_bytes
        self._max_inline_bytes = config.max_inline_bytes
        self._pause_s = config.upload_timeout_s
        self._min_bytes_per_s = config.min_upload_bytes_per_s
        self._max_uploads = config.max_uploads
        self._num_uploads = 0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count an upload while it is open.

        Raises:
            Overloaded: `max_uploads` are open.
        """
        if self._num_uploads >= self._max_uploads:
            raise Overloaded(f"over the limit of {self._max_uploads} open uploads over HTTP")
        self._num_uploads += 1
        try:
            yield
        finally:
            self._num_uploads -= 1

    def json(self, field: str) -> JsonBody:
        """Return what reads JSON with audio in the field of this name."""
        return JsonBody(field, self._max_inline_bytes)

    def form(self, request: Request) -> FormBody:
        """Return what reads the form of a request.

        Raises:
            UnsupportedMediaType: The content-type is not multipart/form-data.
            MalformedBody: The content-type has no boundary.
        """
        if (kind := media_type(request)) != "multipart/form-data":
            raise UnsupportedMediaType(
                f"content-type {kind!r} is not multipart/form-data", "content-type"
            )
        return FormBody(request.headers["content-type"])

    def audio(self, request: Request, envelope: Envelope | None) -> AsyncGenerator[bytes, None]:
        """Yield the audio in a body as it arrives.

        Args:
            request: The request; its body must not have been read.
            envelope: What finds the audio in the body; None if the body is audio.

        Raises:
            AudioTooLong: The body is over the limit; at once if its length is announced.
        """
        limit = self._limit(envelope)
        if (length := announced_bytes(request)) > limit:
            raise AudioTooLong(f"the body of {length} bytes is over the limit of {limit} bytes")
        pieces = self._pieces(request, limit)
        return pieces if envelope is None else _parsed(pieces, envelope)

    def _limit(self, envelope: Envelope | None) -> int:
        if isinstance(envelope, JsonBody):
            return self._max_inline_bytes * 4 // 3 * _ESCAPED + MAX_JSON_REST_BYTES
        return self._max_bytes + (0 if envelope is None else MAX_FORM_REST_BYTES)

    async def _pieces(self, request: Request, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives.

        Raises:
            AudioTooLong: The body is over the limit.
            SlowUpload: It arrives too slowly, or not at all.
            Cancelled: The client disconnects.
        """
        pace = UploadPace(self._pause_s, self._min_bytes_per_s)
        num_bytes = 0
        is_complete = False
        while not is_complete:
            try:
                message = await asyncio.wait_for(request.receive(), pace.wait_s)
            except TimeoutError:
                pace.fail()
            if message["type"] == "http.disconnect":
                raise Cancelled("the client disconnected")
            piece: bytes = message.get("body", b"")
            is_complete = not message.get("more_body", False)
            pace.count(len(piece))
            num_bytes += len(piece)
            if num_bytes > limit:
                raise AudioTooLong(f"the body is over the limit of {limit} bytes")
            yield piece


def announced_bytes(request: Request) -> int:
    """Return the length of the body as its headers say; 0 if they do not."""
    return int(request.headers.get("content-length", 0))


async def _parsed(
    pieces: AsyncGenerator[bytes, None], envelope: Envelope
) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        yield await asyncio.to_thread(envelope.feed, piece)
    yield await asyncio.to_thread(envelope.finish)
