"""JSON of any length that lets other threads run while it is written."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class LongJson(JSONResponse):
    """An object, whose lists may be long. Made on a thread, it does not hold the event loop.

    One call of `json` holds the interpreter until it returns: a second for twelve hours.
    """

    def render(self, content: Any) -> bytes:
        """Return what `JSONResponse` does, written one member of a list at a time."""
        members = [f"{_encode(name)}:{_of_member(value)}" for name, value in content.items()]
        return f"{{{','.join(members)}}}".encode()


def _of_member(value: Any) -> str:
    if not isinstance(value, list):
        return _encode(value)
    return f"[{','.join([_encode(item) for item in value])}]"
