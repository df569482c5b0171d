"""How long an upload may take."""

from __future__ import annotations

import re

import pytest

from talkmill.server.status import SlowUpload
from talkmill.server.upload import UploadPace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which stands still unless a test changes it."""
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    return now_s


def test_an_upload_that_keeps_its_rate_may_pause_for_long(clock: list[float]) -> None:
    pace = UploadPace(pause_s=60, min_bytes_per_s=1000)

    pace.count(5_000_000)
    clock[0] += 1000

    assert pace.wait_s == 60


def test_a_slow_upload_may_lag_by_one_pause(clock: list[float]) -> None:
    pace = UploadPace(pause_s=60, min_bytes_per_s=1000)

    pace.count(20_000)
    clock[0] += 50

    assert pace.wait_s == 30


def test_an_upload_of_single_bytes_has_no_time_left(clock: list[float]) -> None:
    pace = UploadPace(pause_s=60, min_bytes_per_s=1000)
    for _ in range(40):
        clock[0] += 2
        pace.count(1)

    assert pace.wait_s == 0
    with pytest.raises(SlowUpload, match=re.escape("40 bytes of audio arrived in 80.0 s")):
        pace.fail()
