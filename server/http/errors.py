"""Error responses in the format of each schema, with the statuses of `STATUSES`."""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse

from ...engine import Overloaded, Refused, RequestError, TalkmillError
from ..auth import Unauthenticated
from ..call import Loading
from ..status import field_of, status_of

_MAX_TEXT = 1_000  # characters of a message, which may quote what the client sent
_OPENAI_TYPES = {
    RequestError: "invalid_request_error",
    Unauthenticated: "invalid_request_error",
    Overloaded: "rate_limit_error",
}


def huggingface_error(error: BaseException) -> JSONResponse:
    """Return `{"error": ..., "field": ..., "estimated_time": ...}`.

    `field` is the field at fault, if any; `estimated_time`, in seconds, is given while loading.
    """
    body: dict[str, Any] = {"error": _message(error)}
    if (field := _field(error)) is not None:
        body["field"] = field
    if isinstance(error, Loading):
        body["estimated_time"] = round(error.retry_after_s, 1)
    return _respond(error, body)


def openai_error(error: BaseException) -> JSONResponse:
    """Return `{"error": {"message", "type", "param", "code"}}`."""
    return _respond(error, {"error": openai_details(error)})


def openai_details(error: BaseException) -> dict[str, Any]:
    """Return the content of OpenAI's `error` object."""
    kinds = (kind for base, kind in _OPENAI_TYPES.items() if isinstance(error, base))
    return openai_content(_message(error), next(kinds, "server_error"), _field(error))


def openai_content(
    message: str, kind: str = "invalid_request_error", field: str | None = None
) -> dict[str, Any]:
    """Return OpenAI's `error` object for a message."""
    return {"message": message, "type": kind, "param": field, "code": None}


def _message(error: BaseException) -> str:
    return printable(str(error)) if isinstance(error, TalkmillError) else "internal error"


def _field(error: BaseException) -> str | None:
    field = field_of(error)
    return None if field is None else printable(field)


def printable(text: str) -> str:
    """Return a text that may hold what the client sent, cut to a sane length, as valid Unicode."""
    if len(text) > _MAX_TEXT:
        text = f"{text[: _MAX_TEXT // 2]} ... {text[-_MAX_TEXT // 2 :]}"
    # JSON allows lone surrogates, UTF-8 does not.
    return text.encode(errors="backslashreplace").decode()


def _respond(error: BaseException, body: dict[str, Any]) -> JSONResponse:
    headers = {}
    if isinstance(error, Refused):
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body, status_of(type(error)).http, headers)
