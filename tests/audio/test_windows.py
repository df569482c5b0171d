from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkmill.engine.audio.features import CHUNK_SAMPLES, HOP_SAMPLES
from talkmill.engine.audio.windows import FULL_WINDOW, GRID_FRAMES, MARGIN_FRAMES, Windows
from talkmill.engine.types import EncoderWindow

FITTED, FULL, DECLARED = EncoderWindow.FITTED, EncoderWindow.FULL, EncoderWindow.DECLARED


@given(st.integers(1, CHUNK_SAMPLES))
def test_fitted_window_holds_the_chunk_and_a_margin_and_little_more(num_samples: int) -> None:
    window = Windows(FITTED).of(FITTED, num_samples)
    wanted = num_samples / HOP_SAMPLES + MARGIN_FRAMES
    if window is FULL_WINDOW:
        assert wanted > FULL_WINDOW.num_frames - GRID_FRAMES
        return
    assert window.kind is FITTED
    assert wanted <= window.num_frames < wanted + GRID_FRAMES + 1
    assert window.num_frames % 2 == 0


@given(st.integers(1, CHUNK_SAMPLES))
def test_silence_follows_a_fitted_window_and_few_lengths_share_batches(num_samples: int) -> None:
    window = Windows(FITTED).of(FITTED, num_samples)

    assert window.num_positions in (900, FULL_WINDOW.num_positions)
    assert window.num_positions - window.num_frames // 2 >= 300 or window.num_positions == 1500


def test_short_chunks_cost_the_decoder_less() -> None:
    windows = Windows(FITTED)

    assert windows.of(FITTED, 11 * 16_000).num_positions == 900
    assert windows.of(FITTED, 13 * 16_000).num_positions == FULL_WINDOW.num_positions


def test_declared_window_is_the_shortest_that_holds_the_chunk() -> None:
    windows = Windows(DECLARED, (300, 500))
    for num_samples, frames in [(1, 300), (48_000, 300), (48_001, 500), (80_000, 500)]:
        window = windows.of(DECLARED, num_samples)
        assert (window.num_frames, window.num_positions) == (frames, frames // 2)


@pytest.mark.parametrize("kind", list(EncoderWindow))
def test_full_window_is_always_available(kind: EncoderWindow) -> None:
    windows = Windows(kind, (500,))
    assert windows.available == {kind, FULL}
    assert windows.of(FULL, 16_000) is FULL_WINDOW


def test_longest_chunk_is_that_of_the_longest_window() -> None:
    windows = Windows(DECLARED, (300, 500))
    assert windows.max_samples(DECLARED) == 80_000
    assert windows.max_samples(FULL) == CHUNK_SAMPLES
    assert Windows(FITTED).max_samples(FITTED) == CHUNK_SAMPLES


@pytest.mark.parametrize("windows", [Windows(FITTED), Windows(FULL), Windows(DECLARED, (300,))])
def test_typical_windows_are_windows_of_the_model(windows: Windows) -> None:
    for frames in windows.typical_frames:
        window = windows.of_frames(frames)
        assert (window.num_frames, window.kind) == (frames, windows.kind)
        assert window.num_positions >= frames // 2
