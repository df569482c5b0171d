"""Ends an RPC with the status of an error, and `google.rpc` details that name the field."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from ..engine import TalkmillError
from .auth import wait_if_failed
from .status import INTERNAL, field_of, status_of

Context = grpc.aio.ServicerContext[Any, Any]

_log = logging.getLogger(__name__)


def to_status(error: TalkmillError) -> status_pb2.Status:
    """Return the status of an error, with the field at fault if there is one."""
    status = status_pb2.Status(code=status_of(type(error)).grpc, message=str(error))
    if (field := field_of(error)) is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=str(error))
        detail = AnyMessage()
        detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
        status.details.append(detail)
    return status


@asynccontextmanager
async def errors_as_status(context: Context) -> AsyncIterator[None]:
    """End the RPC with the status of the error that the body raises."""
    try:
        yield
    except TalkmillError as error:
        await wait_if_failed(error)
        await _abort(context, to_status(error))
    except grpc.aio.AbortError:
        raise
    except Exception:  # a bug of ours: its trace is logged, the caller learns only that it failed
        _log.exception("an RPC failed")
        await _abort(context, status_pb2.Status(code=INTERNAL.grpc, message="internal error"))


async def _abort(context: Context, status: status_pb2.Status) -> NoReturn:
    call_status = rpc_status.to_status(status)
    await context.abort(call_status.code, call_status.details, call_status.trailing_metadata)
    raise AssertionError("abort raises. This is a bug.")
