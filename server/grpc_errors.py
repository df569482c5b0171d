"""Ends an RPC with the status of an error, with the field at fault or the time of a retry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from ..engine import Refused, TalkmillError
from .auth import wait_if_failed
from .grpc_messages import Context
from .status import INTERNAL, field_of, status_of

# A status stands in the trailers twice, once in percent-encoding, which makes three bytes of one.
# gRPC's clients take 8 KiB of trailers, and beyond them lose the status.
MAX_MESSAGE_BYTES = 1000
RETRY_PUSHBACK = (
    "grpc-retry-pushback-ms"  # gRPC's proposal A6: when a client's retry policy retries
)

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


def to_status(error: TalkmillError) -> status_pb2.Status:
    """Return the status of an error, with the field at fault or the time of a retry."""
    text = _cut(str(error))
    status = status_pb2.Status(code=status_of(type(error)).grpc, message=text)
    if (field := field_of(error)) is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
        _add(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Refused):
        delay = Duration()
        delay.FromMilliseconds(_retry_ms(error))
        _add(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


async def answer_or_status(context: Context, answer: Awaitable[Answer]) -> Answer:
    """Return the answer, or end the RPC with the status of the error that it raises.

    gRPC keeps what it raises itself in a reference cycle with the call. That holds none of the
    answer's frames, and so no audio, since it is raised here and after the error is gone.
    """
    metadata: tuple[tuple[str, str], ...] = ()
    try:
        return await answer
    except TalkmillError as error:
        await wait_if_failed(error)
        error.__traceback__ = None  # a request's future keeps the error, and its frames the request
        status = to_status(error)
        if isinstance(error, Refused):
            metadata = ((RETRY_PUSHBACK, f"{_retry_ms(error)}"),)
    except Exception:  # a bug of ours: its trace is logged, the caller learns only that it failed
        _log.exception("an RPC failed")
        status = status_pb2.Status(code=INTERNAL.grpc, message="internal error")
    call_status = rpc_status.to_status(status)
    trailing = (*call_status.trailing_metadata, *metadata)
    try:
        await context.abort(call_status.code, call_status.details, trailing)
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:  # the client left at this moment: nobody is there to be told
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises. This is a bug.")


def _retry_ms(error: Refused) -> int:
    return round(1000 * error.retry_after_s)


def _add(status: status_pb2.Status, message: Message) -> None:
    detail = AnyMessage()
    detail.Pack(message)
    status.details.append(detail)


def _cut(text: str) -> str:
    """Return a text as UTF-8 can have it, and no longer than `MAX_MESSAGE_BYTES`."""
    data = text.encode("utf-8", "replace")
    if len(data) <= MAX_MESSAGE_BYTES:
        return data.decode("utf-8")
    end = " [...]"
    return data[: MAX_MESSAGE_BYTES - len(end)].decode("utf-8", "ignore") + end
