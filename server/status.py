"""Engine errors to statuses: one table for gRPC and HTTP."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from google.rpc import code_pb2

from ..engine import (
    AudioTooLong,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    InvalidAudio,
    ModelError,
    Overloaded,
    Refused,
    RequestError,
    TalkmillError,
    UnknownModel,
    UnsupportedOption,
)
from .auth import Unauthenticated


class MalformedBody(RequestError):
    """The body of an HTTP request is not what its type says."""


class UnsupportedMediaType(RequestError):
    """The body of an HTTP request is of a type that is never audio."""


class Status(NamedTuple):
    """How a call ended.

    Attributes:
        grpc: The `google.rpc.Code`.
        http: The status of the response.
    """

    grpc: int
    http: int


# A class without a row takes its base's. TalkmillError has none on purpose: a test asks that every
# other class finds one.
STATUSES: dict[type[TalkmillError], Status] = {
    RequestError: Status(code_pb2.INVALID_ARGUMENT, 422),
    InvalidAudio: Status(code_pb2.INVALID_ARGUMENT, 400),
    MalformedBody: Status(code_pb2.INVALID_ARGUMENT, 400),
    AudioTooLong: Status(code_pb2.INVALID_ARGUMENT, 413),
    UnsupportedMediaType: Status(code_pb2.INVALID_ARGUMENT, 415),
    UnsupportedOption: Status(code_pb2.UNIMPLEMENTED, 422),
    UnknownModel: Status(code_pb2.NOT_FOUND, 404),
    Unauthenticated: Status(code_pb2.UNAUTHENTICATED, 401),
    Refused: Status(code_pb2.UNAVAILABLE, 503),
    Overloaded: Status(code_pb2.RESOURCE_EXHAUSTED, 429),
    DeadlineExceeded: Status(code_pb2.DEADLINE_EXCEEDED, 504),
    Cancelled: Status(code_pb2.CANCELLED, 499),  # nginx's; nobody is there to read it
    ModelError: Status(code_pb2.INTERNAL, 500),
    ConfigError: Status(code_pb2.INTERNAL, 500),
}
OK = Status(code_pb2.OK, 200)
INTERNAL = Status(code_pb2.INTERNAL, 500)


def status_of(error_type: type[BaseException]) -> Status:
    """Return how a call ends that raised an error of this class.

    Raises:
        LookupError: It is one of ours, and neither it nor a base of it has a row.
    """
    if issubclass(error_type, asyncio.CancelledError | GeneratorExit):
        return STATUSES[Cancelled]
    for base in error_type.__mro__:
        if base in STATUSES:
            return STATUSES[base]
    if issubclass(error_type, TalkmillError):
        raise LookupError(f"{error_type.__name__} has no row in STATUSES. This is a bug.")
    return INTERNAL


def field_of(error: BaseException) -> str | None:
    """Return the field at fault, where there is one."""
    return error.field if isinstance(error, RequestError) else None
