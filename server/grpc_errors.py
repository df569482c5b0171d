"""Ends an RPC with the status of an error, with the field at fault or the time of a retry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

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


@asynccontextmanager
async def errors_as_status(context: Context) -> AsyncIterator[None]:
    """End the RPC with the status of the error that the body raises."""
    try:
        yield
    except TalkmillError as error:
        await wait_if_failed(error)
        if context.done():  # by its deadline or its caller: nobody is left to be told
            raise asyncio.CancelledError from error
        retry = ((RETRY_PUSHBACK, f"{_retry_ms(error)}"),) if isinstance(error, Refused) else ()
        await _abort(context, to_status(error), retry)
    except Exception:  # a bug of ours: its trace is logged, the caller learns only that it failed
        _log.exception("an RPC failed")
        await _abort(context, status_pb2.Status(code=INTERNAL.grpc, message="internal error"))


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


async def _abort(
    context: Context, status: status_pb2.Status, metadata: tuple[tuple[str, str], ...] = ()
) -> NoReturn:
    call_status = rpc_status.to_status(status)
    trailing = (*call_status.trailing_metadata, *metadata)
    await context.abort(call_status.code, call_status.details, trailing)
    raise AssertionError("abort raises. This is a bug.")
