"""Times in a chunk as times in its utterance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkmill.engine.audio.chunking import ChunkClock
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.types import Span

spans = st.tuples(st.integers(0, 50_000_000), st.integers(1, 480_000)).map(
    lambda pair: Span(pair[0], pair[0] + pair[1])
)


@settings(deadline=None)
@given(spans, st.lists(st.floats(-1, 40), min_size=2, max_size=20))
def test_times_in_the_utterance_are_monotonic_and_inside_the_chunk(
    span: Span, times: list[float]
) -> None:
    clock = ChunkClock((span,))
    starts = [clock.start_s(time) for time in sorted(times)]
    assert starts == sorted(starts)
    assert starts == [clock.end_s(time) for time in sorted(times)]
    assert all(span.start / SAMPLE_RATE <= time <= span.end / SAMPLE_RATE for time in starts)


@settings(deadline=None)
@given(spans, st.data())
def test_times_inside_a_chunk_are_exact(span: Span, data: st.DataObject) -> None:
    sample = data.draw(st.integers(span.start, span.end))
    time_s = ChunkClock((span,)).start_s((sample - span.start) / SAMPLE_RATE)
    assert time_s == pytest.approx(sample / SAMPLE_RATE, abs=1e-9)


def test_a_pause_in_the_chunk_counts() -> None:
    clock = ChunkClock((Span(16_000, 96_000),))
    assert (clock.start_s(0.0), clock.start_s(2.5), clock.end_s(5.0)) == (1.0, 3.5, 6.0)
