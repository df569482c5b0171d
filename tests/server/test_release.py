"""What a call leaves behind on the server: no request, however it ended."""

from __future__ import annotations

import functools
import gc
import logging
import weakref
from collections.abc import Iterator

import pytest

from fakes import tones_file
from served import Send, Serve
from talkmill.engine import Request
from waiting import wait_until


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Request]]]:
    """References to every request that is made, while there is no garbage collector."""
    made: list[weakref.ref[Request]] = []
    original = Request.__init__

    def init(self: Request, *args: object, **options: object) -> None:
        made.append(weakref.ref(self))
        original(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Request, "__init__", init)
    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps what is logged, with its traceback
    yield made
    logging.disable(logging.NOTSET)
    gc.enable()


def has_come(requests: list[weakref.ref[Request]], number: int) -> bool:
    return len(requests) == number


@pytest.mark.parametrize("how", ["answered", "broken audio", "cancelled"])
def test_request_is_freed_with_its_call(
    how: str, serve: Serve, send: Send, requests: list[weakref.ref[Request]]
) -> None:
    served = serve()
    audio = b"no audio" if how == "broken audio" else tones_file(3)
    if how == "cancelled":
        served.model.hold()
    for number in range(1, 6):
        call = send(served, audio)
        if how == "answered":
            call.answer()
        elif how == "broken audio":
            call.refusal()
        else:
            wait_until(functools.partial(has_come, requests, number))
            call.cancel()
        del call
    served.model.release()
    wait_until(lambda: all(one() is None for one in requests))
    assert len(requests) == 5
