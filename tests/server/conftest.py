"""The two RPCs, as one fixture."""

from __future__ import annotations

import pytest

from served import Call, Send, Served


@pytest.fixture(params=["unary", "stream"])
def send(request: pytest.FixtureRequest) -> Send:
    """Sends audio to a server, by each of the two RPCs."""
    name = request.param

    def through(served: Served, audio: bytes, **options: object) -> Call:
        call: Call = getattr(served, name)(audio, **options)
        return call

    return through
