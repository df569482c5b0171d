from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from fakes import PATIENCE_S


@pytest.fixture
def stalled() -> Iterator[Callable[..., Iterator[bytes]]]:
    """Makes messages after which a client neither sends nor ends."""
    may_end = threading.Event()

    def messages(*first: bytes) -> Iterator[bytes]:
        yield from first
        may_end.wait(PATIENCE_S)

    yield messages
    may_end.set()
