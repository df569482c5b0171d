from __future__ import annotations

from collections.abc import Iterator

import av
import pytest


@pytest.fixture
def quiet_ffmpeg() -> Iterator[None]:
    """Silence FFmpeg's log, which damaged files would fill."""
    av.logging.set_level(av.logging.PANIC)
    yield
    av.logging.set_level(None)
