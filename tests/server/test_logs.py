"""What is kept out of the log when a fault repeats."""

from __future__ import annotations

import logging

import pytest

from talkmill.server.logs import LogLimit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which stands still unless a test changes it."""
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    return now_s


def passed(limit: LogLimit, message: str, count: int, level: int = logging.ERROR) -> list[str]:
    """Log a message several times; return the lines that pass."""
    records = [
        logging.LogRecord("asyncio", level, "a.py", 7, message, (number,), None)
        for number in range(count)
    ]
    return [record.getMessage() for record in records if limit.filter(record)]


def test_a_line_that_repeats_is_logged_a_few_times(clock: list[float]) -> None:
    assert passed(LogLimit(most=2), "no file %d left", 100) == ["no file 0 left", "no file 1 left"]


def test_other_lines_are_not_held_back(clock: list[float]) -> None:
    limit = LogLimit(most=1)
    passed(limit, "no file %d left", 100)

    assert passed(limit, "port %d is closed", 1) == ["port 0 is closed"]


def test_a_minute_later_the_line_is_logged_again_with_the_number(clock: list[float]) -> None:
    limit = LogLimit(most=1)
    passed(limit, "no file %d left", 100)

    clock[0] += 60

    assert passed(limit, "no file %d left", 2) == ["no file 0 left (and 99 more like it before)"]


def test_what_is_no_warning_is_never_held_back(clock: list[float]) -> None:
    assert len(passed(LogLimit(most=1), "call %d", 100, logging.INFO)) == 100


def test_lines_of_many_kinds_do_not_fill_memory(clock: list[float]) -> None:
    limit = LogLimit(most=1)
    for number in range(5_000):
        passed(limit, f"kind {number} of %d", 1)

    assert len(limit._counts) <= 1_000
