"""Reads the messages of a call one by one, when they are asked for.

A unary handler gets its request received and decoded before its first line runs: before the caller
has shown a token. The handlers here are of the streaming kind, which on the wire is no difference,
and read what they need themselves, once the call is admitted.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from .status import MalformedBody

Context = grpc.aio.ServicerContext[Any, Any]
M = TypeVar("M", bound=Message)

MAX_BYTES_BESIDE_AUDIO = 2**16  # the longest valid options take less
_MAX_FIELDS = 16  # of one message at its top level; the contract has three
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # protobuf's wire types


def metadata_of(context: Context) -> dict[str, str]:
    """Return the metadata of a call that is text, names in lower case."""
    pairs = context.invocation_metadata() or ()
    return {name: value for name, value in pairs if isinstance(value, str)}


class Messages(Generic[M]):
    """The messages that the caller of one RPC sends."""

    def __init__(self, context: Context, kind: type[M], audio_field: int) -> None:
        """Take the call.

        Args:
            context: Of a handler without deserializer.
            kind: What every message is.
            audio_field: Number of its field that may be large.
        """
        self._context = context
        self._kind = kind
        self._audio_field = audio_field

    async def next(self, wait_s: float) -> M | None:
        """Return the next message; None after the last one.

        Raises:
            TimeoutError: It is not there whole in `wait_s`.
            MalformedBody: It cannot be decoded, or is large for another reason than its audio.
        """
        async with asyncio.timeout(wait_s):
            data = await self._context.read()
        if data is grpc.aio.EOF:
            return None
        name = self._kind.DESCRIPTOR.full_name
        try:
            num_bytes = _bytes_beside(data, self._audio_field)
            if num_bytes > MAX_BYTES_BESIDE_AUDIO:
                raise MalformedBody(
                    f"{num_bytes} bytes of the {name} are not audio: the limit is "
                    f"{MAX_BYTES_BESIDE_AUDIO}",
                    "options",
                )
            return self._kind.FromString(data)
        except (DecodeError, ValueError, IndexError):
            raise MalformedBody(f"the message is not a valid {name}", "message") from None


def _bytes_beside(data: bytes, field: int) -> int:
    """Return how many bytes of a message are not of the field.

    To decode 32 MB of short fields would hold the event loop for half a second.

    Raises:
        ValueError: There are too many fields, or a wire type that protobuf no longer has.
        IndexError: The message is cut off.
    """
    at = large = 0
    for _ in range(_MAX_FIELDS):
        if at >= len(data):
            return len(data) - large
        tag, at = _varint(data, at)
        start = at
        if (wire_type := tag & 7) == _BYTES:
            length, start = _varint(data, at)
            at = start + length
        elif wire_type == _VARINT:
            _, at = _varint(data, at)
        elif wire_type in (_FIXED_32, _FIXED_64):
            at += 4 if wire_type == _FIXED_32 else 8
        else:
            raise ValueError(wire_type)
        if tag >> 3 == field:
            large += at - start
    if at < len(data):
        raise ValueError(f"more than {_MAX_FIELDS} fields")
    return len(data) - large


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")
