from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from talkmill.engine import (
    AudioTooLong,
    DeviceLost,
    InvalidAudio,
    InvalidOption,
    NotReady,
    Overloaded,
    RequestError,
    TalkmillError,
    UnsupportedOption,
)
from talkmill.server.grpc_errors import answer_or_status, to_status
from talkmill.server.status import STATUSES, UnknownModel, status_of


def subclasses(error_type: type[TalkmillError]) -> Iterator[type[TalkmillError]]:
    for subclass in error_type.__subclasses__():
        # Tests may have made some of their own.
        if subclass.__module__.startswith("talkmill."):
            yield subclass
        yield from subclasses(subclass)


@pytest.mark.parametrize("error_type", list(subclasses(TalkmillError)))
def test_every_error_has_a_code_that_is_not_ok_or_unknown(error_type: type[TalkmillError]) -> None:
    assert status_of(error_type).grpc in set(code_pb2.Code.values()) - {
        code_pb2.OK,
        code_pb2.UNKNOWN,
    }


def test_an_error_outside_the_table_is_called_a_bug() -> None:
    with pytest.raises(LookupError):
        status_of(TalkmillError)


def test_the_table_holds_errors_of_the_tree_only() -> None:
    assert set(STATUSES) <= set(subclasses(TalkmillError))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(InvalidAudio("no stream"), code_pb2.INVALID_ARGUMENT, id="audio"),
        pytest.param(AudioTooLong("9 s"), code_pb2.INVALID_ARGUMENT, id="too long"),
        pytest.param(InvalidOption("xx", "language"), code_pb2.INVALID_ARGUMENT, id="option"),
        pytest.param(UnsupportedOption("no", "top_k"), code_pb2.UNIMPLEMENTED, id="unsupported"),
        pytest.param(UnknownModel("tiny", "model"), code_pb2.NOT_FOUND, id="model"),
    ],
)
def test_a_request_error_names_its_field(error: RequestError, code: int) -> None:
    status = to_status(error)

    detail = error_details_pb2.BadRequest()
    assert status.code == code
    assert len(status.details) == 1
    assert status.details[0].Unpack(detail)
    assert [violation.field for violation in detail.field_violations] == [error.field]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(Overloaded("full"), code_pb2.RESOURCE_EXHAUSTED, id="overloaded"),
        pytest.param(NotReady("loading"), code_pb2.UNAVAILABLE, id="not ready"),
        pytest.param(DeviceLost("gone"), code_pb2.INTERNAL, id="a base's row"),
    ],
)
def test_what_is_not_the_callers_fault_names_no_field(error: TalkmillError, code: int) -> None:
    status = to_status(error)

    assert status.code == code
    assert not any(detail.Is(error_details_pb2.BadRequest.DESCRIPTOR) for detail in status.details)


def test_a_refusal_says_when_to_retry() -> None:
    (detail,) = to_status(Overloaded("full", retry_after_s=2.5)).details

    info = error_details_pb2.RetryInfo()
    assert detail.Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2500


@pytest.mark.parametrize("character", ["x", "é", "語", "🙂", "\ud800"])
def test_a_long_message_fits_the_trailers_as_valid_text(character: str) -> None:
    status = to_status(InvalidOption(f"first {character * 5000} last", "model"))

    assert status.message.startswith("first ")
    assert status.message.endswith(" [...]")
    # As gRPC sends it: once percent-encoded, once in base64.
    sent = len(quote(status.message)) + len(b64encode(status.SerializeToString()))
    assert 1000 < sent < 7000


@pytest.mark.parametrize("error_type", list(subclasses(TalkmillError)))
def test_an_error_is_4xx_over_http_where_it_is_the_callers_over_grpc(
    error_type: type[TalkmillError],
) -> None:
    status = status_of(error_type)
    callers = {
        code_pb2.INVALID_ARGUMENT,
        code_pb2.UNIMPLEMENTED,
        code_pb2.NOT_FOUND,
        code_pb2.UNAUTHENTICATED,
        code_pb2.PERMISSION_DENIED,
        code_pb2.RESOURCE_EXHAUSTED,
        code_pb2.CANCELLED,
        code_pb2.ABORTED,
    }
    assert (400 <= status.http < 500) is (status.grpc in callers)


class GoneClient:
    """Stands where a call does whose client has left."""

    async def abort(self, *_: object) -> None:
        raise grpc.aio.InternalError("the call is over")


def test_a_refusal_whose_client_has_left_is_no_fault() -> None:
    gone: Any = GoneClient()

    async def refuse() -> None:
        raise NotReady("draining")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(answer_or_status(gone, refuse()))
