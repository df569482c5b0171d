from __future__ import annotations

import logging

import pytest

from talkmill.engine.audio.windows import FULL_WINDOW, Windows
from talkmill.engine.scheduling.window_guard import MIN_CHUNKS, WindowGuard
from talkmill.engine.types import EncoderWindow

FITTED = EncoderWindow.FITTED


def guard_after(num_fallbacks: int, num_others: int) -> WindowGuard:
    guard = WindowGuard(Windows(FITTED))
    for _ in range(num_others):
        guard.count(has_failed=False)
    for _ in range(num_fallbacks):
        guard.count_fallback()
        guard.count(has_failed=True)
    return guard


def test_few_fallbacks_change_nothing() -> None:
    guard = guard_after(num_fallbacks=15, num_others=85)
    assert guard.num_fallbacks == 15
    assert guard.choose(FITTED, 16_000).kind is FITTED


def test_many_fallbacks_give_fitted_windows_up_and_say_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        guard = guard_after(num_fallbacks=20, num_others=95)
    assert guard.choose(FITTED, 16_000) is FULL_WINDOW
    assert len([text for text in caplog.messages if "full windows from now on" in text]) == 1


def test_first_chunks_say_too_little() -> None:
    guard = guard_after(num_fallbacks=MIN_CHUNKS - 1, num_others=0)
    assert guard.choose(FITTED, 16_000).kind is FITTED


def test_other_windows_are_chosen_as_asked_for() -> None:
    guard = guard_after(num_fallbacks=20, num_others=95)
    assert guard.choose(EncoderWindow.FULL, 16_000) is FULL_WINDOW
