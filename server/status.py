"""Engine errors to gRPC statuses: one table, with `google.rpc` details that name the field."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from talkmill.engine import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    ModelError,
    Overloaded,
    Refused,
    RequestError,
    TalkmillError,
    UnknownModel,
    UnsupportedOption,
)

Context = grpc.aio.ServicerContext[Any, Any]

# A class without a row takes its base's. TalkmillError has none on purpose: a test asks that every
# other class finds one.
STATUS_CODES: dict[type[TalkmillError], int] = {
    RequestError: code_pb2.INVALID_ARGUMENT,
    UnsupportedOption: code_pb2.UNIMPLEMENTED,
    UnknownModel: code_pb2.NOT_FOUND,
    Refused: code_pb2.UNAVAILABLE,
    Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    Cancelled: code_pb2.CANCELLED,
    ModelError: code_pb2.INTERNAL,
    ConfigError: code_pb2.INTERNAL,
}

_log = logging.getLogger(__name__)


def status_code(error_type: type[TalkmillError]) -> int:
    """Return the `google.rpc.Code` of an error class.

    Raises:
        LookupError: Neither it nor a base of it has a row.
    """
    for base in error_type.__mro__:
        if base in STATUS_CODES:
            return STATUS_CODES[base]
    raise LookupError(f"{error_type.__name__} has no row in STATUS_CODES. This is a bug.")


def to_status(error: TalkmillError) -> status_pb2.Status:
    """Return the status that tells a caller of an error, naming the field at fault."""
    status = status_pb2.Status(code=status_code(type(error)), message=str(error))
    if isinstance(error, RequestError):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error)
        )
        detail = AnyMessage()
        detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
        status.details.append(detail)
    return status


@asynccontextmanager
async def errors_as_status(context: Context) -> AsyncIterator[None]:
    """End the RPC with the right status when the body raises."""
    try:
        yield
    except TalkmillError as error:
        await _abort(context, to_status(error))
    except grpc.aio.AbortError:
        raise
    except Exception:  # the edge: a fault of ours is logged whole and told in general terms
        _log.exception("an RPC failed")
        await _abort(context, status_pb2.Status(code=code_pb2.INTERNAL, message="internal error"))


async def _abort(context: Context, status: status_pb2.Status) -> NoReturn:
    call_status = rpc_status.to_status(status)
    await context.abort(call_status.code, call_status.details, call_status.trailing_metadata)
    raise AssertionError("abort raises. This is a bug.")
