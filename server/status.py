"""The gRPC and HTTP status of each error: one table for both protocols."""

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
    NoSpace,
    Overloaded,
    Refused,
    RequestError,
    TalkmillError,
    UnsupportedOption,
)
from .auth import Unauthenticated


class UnknownModel(RequestError):
    """The request names a model that is not served here."""


class MalformedBody(RequestError):
    """The body of an HTTP request does not match its content-type, or a message its contract."""


class ForbiddenOrigin(RequestError):
    """A page of another site opens a WebSocket."""


class SlowUpload(RequestError):
    """The audio stopped arriving, or arrives more slowly than is allowed."""


class TooLarge(RequestError):
    """The body of an HTTP request holds too much beside the audio."""


class UnsupportedMediaType(RequestError):
    """The content-type of an HTTP request is not accepted at this path."""


class Status(NamedTuple):
    """The status with which a call ends.

    Attributes:
        grpc: A `google.rpc.Code`.
        http: An HTTP status code.
    """

    grpc: int
    http: int


# A class without a row has the status of its nearest base class. TalkmillError has no row on
# purpose: a test checks that every subclass finds one.
STATUSES: dict[type[TalkmillError], Status] = {
    RequestError: Status(code_pb2.INVALID_ARGUMENT, 422),
    InvalidAudio: Status(code_pb2.INVALID_ARGUMENT, 400),
    MalformedBody: Status(code_pb2.INVALID_ARGUMENT, 400),
    ForbiddenOrigin: Status(code_pb2.PERMISSION_DENIED, 403),
    SlowUpload: Status(code_pb2.ABORTED, 408),
    AudioTooLong: Status(code_pb2.INVALID_ARGUMENT, 413),
    TooLarge: Status(code_pb2.INVALID_ARGUMENT, 413),
    UnsupportedMediaType: Status(code_pb2.INVALID_ARGUMENT, 415),
    UnsupportedOption: Status(code_pb2.UNIMPLEMENTED, 422),
    UnknownModel: Status(code_pb2.NOT_FOUND, 404),
    Unauthenticated: Status(code_pb2.UNAUTHENTICATED, 401),
    Refused: Status(code_pb2.UNAVAILABLE, 503),
    NoSpace: Status(code_pb2.UNAVAILABLE, 503),
    Overloaded: Status(code_pb2.RESOURCE_EXHAUSTED, 429),
    DeadlineExceeded: Status(code_pb2.DEADLINE_EXCEEDED, 504),
    Cancelled: Status(code_pb2.CANCELLED, 499),  # nginx's code for a client that disconnected
    ModelError: Status(code_pb2.INTERNAL, 500),
    ConfigError: Status(code_pb2.INTERNAL, 500),
}
OK = Status(code_pb2.OK, 200)
INTERNAL = Status(code_pb2.INTERNAL, 500)


def status_of(error_type: type[BaseException]) -> Status:
    """Return the status of a call that raised an error of this class.

    Raises:
        LookupError: `error_type` is a TalkmillError without a row in `STATUSES`.
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
    """Return the request field at fault; None if the error is not about one field."""
    return error.field if isinstance(error, RequestError) else None
