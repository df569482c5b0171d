"""The numbers of OpenAI's `server_vad`: where speech is cut, and how much is kept before it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planned_audio import Plan, audio_of, check_chunks, spans_of, split
from talkmill.engine import VadOptions
from talkmill.engine.audio.cuts import BEFORE_SAMPLES
from talkmill.engine.audio.silero import WINDOW_SAMPLES

SAMPLES_PER_MS = 16
PLAN: Plan = [(0, 40), (20, 8), (20, 20), (20, 60), (20, 40)]
"""Speech of 0.64 s each, with pauses of 0.256, 0.64 and 1.92 s between."""


@pytest.mark.parametrize(
    ("silence_ms", "num_chunks"), [(None, 2), (100, 4), (256, 4), (257, 3), (641, 2), (2000, 1)]
)
def test_a_pause_of_the_given_length_ends_a_chunk(silence_ms: int | None, num_chunks: int) -> None:
    chunks, _ = split(audio_of(PLAN), options=VadOptions(silence_duration_ms=silence_ms))

    assert len(chunks) == num_chunks


@pytest.mark.parametrize("padding_ms", [None, 0, 100, 500])
def test_audio_of_the_given_length_is_kept_before_speech(padding_ms: int | None) -> None:
    chunks, _ = split(audio_of(PLAN), options=VadOptions(prefix_padding_ms=padding_ms))

    padding = BEFORE_SAMPLES if padding_ms is None else padding_ms * SAMPLES_PER_MS
    assert [chunk.speech[0].start - chunk.spans[0].start for chunk in chunks] == [padding] * 2


plans = st.lists(st.tuples(st.integers(3, 60), st.integers(3, 60)), min_size=1, max_size=12)
options = st.builds(
    VadOptions,
    silence_duration_ms=st.none() | st.integers(100, 2_000),
    prefix_padding_ms=st.none() | st.integers(0, 500),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(plan=plans, options=options, size=st.integers(200, 40_000), seconds=st.integers(3, 30))
def test_chunks_hold_all_speech_whatever_the_options_and_blocks(
    plan: Plan, options: VadOptions, size: int, seconds: int
) -> None:
    audio = audio_of(plan)

    chunks, _ = split(audio, max_samples=seconds * 16_000, options=options)
    again, _ = split(audio, sizes=[size], max_samples=seconds * 16_000, options=options)

    check_chunks(chunks, audio, seconds * 16_000)
    assert [chunk.spans for chunk in again] == [chunk.spans for chunk in chunks]
    speech = [span for chunk in chunks for span in chunk.speech]
    assert speech[0].start == spans_of(plan)[0].start
    covered = [span for chunk in chunks for span in chunk.spans]
    assert all(
        any(outer.start <= inner.start and inner.end <= outer.end for outer in covered)
        for inner in speech
    )
    assert all(a.end <= b.start for a, b in itertools.pairwise(speech))
    assert len(audio) >= covered[-1].end >= spans_of(plan)[-1].end - WINDOW_SAMPLES
