"""Uploads as they come in: counted, stored, and perhaps begun with before their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO

from ..engine import (
    HEAD_BYTES,
    AudioTooLong,
    Cancelled,
    GrowingFile,
    ModelError,
    Permit,
    TalkmillError,
    can_follow,
)
from .spool import Spool, storing

EARLY_S = 1.0  # an upload that takes longer is decoded as it comes

Store = Callable[[Callable[[bytes], None]], Awaitable[None]]
"""Takes an upload and gives its pieces to a function."""


async def store(
    pieces: AsyncIterator[bytes],
    permit: Permit,
    write: Callable[[bytes], None],
    max_bytes: int,
    announced_bytes: int,
) -> None:
    """Give the pieces of an upload to a function, and count them.

    Args:
        pieces: The audio as it arrives.
        permit: Where they are counted.
        write: Stores a piece.
        max_bytes: Limit on all of them.
        announced_bytes: Their number if it is known; counted before the first piece.

    Raises:
        AudioTooLong: The upload is over the limit.
        Overloaded: The uploads of all requests in flight are over the limit.
        NoSpace: It cannot be stored.
    """
    num_bytes, num_reserved = 0, announced_bytes
    permit.reserve(announced_bytes)
    async for piece in pieces:
        num_bytes += len(piece)
        if num_bytes > max_bytes:
            raise AudioTooLong(f"audio is over the limit of {max_bytes} bytes")
        if num_bytes > num_reserved:
            permit.reserve(num_bytes - num_reserved)
            num_reserved = num_bytes
        write(piece)


@asynccontextmanager
async def growing_upload(receive: Store) -> AsyncIterator[BinaryIO | GrowingFile]:
    """Store an upload on the side, and give it to the block, which closes it.

    It is whole if it came within `EARLY_S` seconds, or is in a format that only the whole file can
    be decoded of. Otherwise it is still coming, and what fails of it, fails for its reader.

    Raises:
        TalkmillError: The upload failed before it was given.
    """
    with Spool() as spool:
        body = GrowingFile(spool.file)

        def write(piece: bytes) -> None:
            with storing():
                body.write(piece)

        uploading = asyncio.ensure_future(receive(write))
        uploading.add_done_callback(lambda task: body.end(_error_of(task)))
        try:
            while not uploading.done() and not await _is_long(uploading, body):
                pass
            if not uploading.done() and can_follow(body.read_at(0, HEAD_BYTES)):
                spool.give_away()
                yield body
            else:
                await uploading
                yield spool.take()
        finally:
            uploading.cancel()


async def _is_long(uploading: asyncio.Future[None], body: GrowingFile) -> bool:
    """Wait for `EARLY_S`; return whether enough has come to tell the format."""
    await asyncio.wait({uploading}, timeout=EARLY_S)
    return body.num_bytes >= HEAD_BYTES


def _error_of(uploading: asyncio.Future[None]) -> TalkmillError | None:
    if uploading.cancelled():
        return Cancelled("the upload was cancelled")
    error = uploading.exception()
    if error is None or isinstance(error, TalkmillError):
        return error
    return ModelError("the upload failed")
