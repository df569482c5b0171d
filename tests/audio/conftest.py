from __future__ import annotations

from collections.abc import Iterator

import av
import pytest


@pytest.fixture
def quiet_ffmpeg() -> Iterator[None]:
    """Damaged files make FFmpeg talk."""
    av.logging.set_level(av.logging.PANIC)
    yield
    av.logging.set_level(None)
