"""A chunk for another attempt: the same audio in the full window, or the rest of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import N_MELS
from pending import new_request, pending_chunk
from talkmill.engine import EncoderWindow, Segment
from talkmill.engine.audio.features import CHUNK_FRAMES, HOP_SAMPLES, log_mel
from talkmill.engine.audio.windows import FULL_WINDOW, Window, Windows
from talkmill.engine.decoding.parameters import MAX_POSITIONS
from talkmill.engine.model.previous_text import PreviousText
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.types import Samples, Span

FITTED = EncoderWindow.FITTED
START = 48_000  # of the chunk in the utterance
DECLARED = Window(EncoderWindow.DECLARED, 1200, 600)


def noise(num_samples: int) -> Samples:
    """Return noise that gets louder, so that no two frames are alike."""
    rng = np.random.default_rng(0)
    return (np.linspace(0.01, 0.5, num_samples) * rng.uniform(-1, 1, num_samples)).astype(
        np.float32
    )


def prepared(samples: Samples, window: Window | None = None) -> PendingChunk:
    """Return a chunk of these samples, in its fitted window unless another is given."""
    window = window or Windows(FITTED).of(FITTED, len(samples))
    span = Span(START, START + len(samples))
    features = log_mel(samples, N_MELS, window.num_frames)
    return pending_chunk(
        new_request(), 3, features=features, span=span, speech=(span,), window=window
    )


@pytest.mark.parametrize("num_samples", [1, 160, 7_999, 16_000, 100_123, 460_000])
def test_full_window_holds_the_features_of_the_audio_padded_to_30_s(num_samples: int) -> None:
    samples = noise(num_samples)
    item = prepared(samples)
    again = item.in_full_window()
    assert item.window.kind is FITTED
    assert again.features.shape == (N_MELS, CHUNK_FRAMES)
    np.testing.assert_allclose(again.features, log_mel(samples, N_MELS), rtol=0, atol=1e-6)


def test_full_window_keeps_all_else_of_the_chunk() -> None:
    item = replace(prepared(noise(16_000)), num_attempts=1, put_s=5.0)
    again = item.in_full_window()
    assert again.window is FULL_WINDOW
    assert again.num_attempts == 2
    assert again.key == replace(item.key, num_positions=FULL_WINDOW.num_positions)
    same = ("request", "index", "spans", "speech", "put_s", "accepted")
    assert [getattr(again, name) for name in same] == [getattr(item, name) for name in same]


def test_full_window_of_a_declared_one_has_the_positions_of_full_windows() -> None:
    again = prepared(noise(16_000), DECLARED).in_full_window()
    assert again.key.num_positions == FULL_WINDOW.num_positions
    np.testing.assert_allclose(again.features, log_mel(noise(16_000), N_MELS), rtol=0, atol=1e-6)


@settings(deadline=None)
@given(start=st.integers(0, 159_999))
def test_rest_starts_at_the_frame_in_which_the_sample_is(start: int) -> None:
    item = prepared(noise(160_000))
    rest = item.rest(START + start, ())
    first = start // HOP_SAMPLES
    (span,) = rest.spans
    assert span == Span(START + first * HOP_SAMPLES, START + 160_000)
    num_frames = min(rest.window.num_frames, item.window.num_frames - first)
    np.testing.assert_array_equal(
        rest.features[:, :num_frames], item.features[:, first : first + num_frames]
    )


@settings(deadline=None)
@given(start=st.integers(0, 159_999))
def test_rest_is_in_a_fitted_window_of_its_own_length(start: int) -> None:
    rest = prepared(noise(160_000)).rest(START + start, ())
    (span,) = rest.spans
    assert rest.window.kind is FITTED
    assert rest.features.shape == (N_MELS, rest.window.num_frames)
    assert rest.window.num_frames * HOP_SAMPLES >= span.end - span.start + 0.5 * 16_000
    assert rest.window.num_frames * HOP_SAMPLES <= span.end - span.start + 0.8 * 16_000


@pytest.mark.parametrize("window", [None, FULL_WINDOW, DECLARED])
def test_rest_is_padded_with_the_silence_of_its_chunk(window: Window | None) -> None:
    item = prepared(noise(160_000), window)
    rest = item.rest(START + 80_000, ())
    after = rest.features[:, 500 + 3 :]  # a frame reaches a little beyond the audio
    assert after.shape[1] > 50
    assert np.all(after == item.features[:, -1:])


@pytest.mark.parametrize("window", [FULL_WINDOW, DECLARED])
def test_rest_of_another_window_stays_in_a_window_of_that_length(window: Window) -> None:
    rest = prepared(noise(160_000), window).rest(START + 80_000, ())
    assert rest.window is window
    assert rest.features.shape == (N_MELS, window.num_frames)
    assert rest.key.num_positions == window.num_positions


def test_rest_keeps_what_was_accepted_and_all_else_of_the_chunk() -> None:
    accepted = (Segment(" one", 3.0, 4.0),)
    item = prepared(noise(160_000))
    rest = item.rest(START + 16_000, accepted)
    assert rest.accepted == accepted
    assert rest.num_attempts == 1
    same = ("request", "index", "speech", "key", "put_s")
    assert [getattr(rest, name) for name in same] == [getattr(item, name) for name in same]


def test_rest_has_the_positions_of_its_own_window() -> None:
    item = prepared(noise(320_000))
    rest = item.rest(START + 240_000, ())
    assert rest.window.num_positions < item.window.num_positions
    assert rest.key == replace(item.key, num_positions=rest.window.num_positions)


def test_other_text_before_a_chunk_gives_it_another_batch_and_less_room() -> None:
    item = prepared(noise(160_000))
    assert item.after(PreviousText()) is item
    again = item.after(PreviousText((), (1,) * 200))
    assert again.key.prompt_length == 201
    assert again.plan.max_new_tokens == MAX_POSITIONS - 201
    assert again.key.plan == again.plan
    assert again.key.num_positions == item.key.num_positions


def test_rest_of_a_rest_starts_at_the_right_frame_too() -> None:
    item = prepared(noise(160_000))
    rest = item.rest(START + 16_100, ()).rest(START + 64_100, ())
    assert rest.spans == (Span(START + 64_000, START + 160_000),)
    assert rest.num_attempts == 2
    num_frames = item.window.num_frames - 400
    assert rest.window.num_frames >= num_frames
    np.testing.assert_array_equal(rest.features[:, :num_frames], item.features[:, 400:])


def test_length_of_the_audio_is_that_of_what_is_left() -> None:
    item = prepared(noise(160_000))
    assert item.audio_s == 10.0
    assert item.in_full_window().audio_s == 10.0
    assert item.rest(START + 64_000, ()).audio_s == 6.0
