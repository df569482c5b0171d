"""Times in a chunk as times in its utterance."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from talkmill.engine.audio.chunking import ChunkClock
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.types import Span

spans = st.lists(
    st.tuples(st.integers(0, 50_000), st.integers(1, 100_000)), min_size=1, max_size=8
).map(
    lambda pairs: tuple(
        Span(end - length, end)
        for (_, length), end in zip(
            pairs, itertools.accumulate(gap + length for gap, length in pairs), strict=True
        )
    )
)
times_s = st.lists(st.floats(0, 40), min_size=2, max_size=20)


@settings(deadline=None)
@given(spans, times_s)
def test_times_in_the_utterance_are_monotonic_and_inside_its_spans(
    spans: tuple[Span, ...], times: list[float]
) -> None:
    clock = ChunkClock(spans)
    times = sorted(times)
    starts = [clock.start_s(time) for time in times]
    ends = [clock.end_s(time) for time in times]
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    for time in [*starts, *ends]:
        sample = time * SAMPLE_RATE
        assert any(span.start - 1e-6 <= sample <= span.end + 1e-6 for span in spans)
    assert all(end <= start for start, end in zip(starts, ends, strict=True))


@settings(deadline=None)
@given(spans, st.data())
def test_times_inside_a_span_are_exact(spans: tuple[Span, ...], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(spans) - 1))
    span = spans[index]
    assume(span.end - span.start > 2)
    sample = data.draw(st.integers(span.start + 1, span.end - 1))
    in_chunk = sum(s.end - s.start for s in spans[:index]) + sample - span.start
    clock = ChunkClock(spans)
    assert clock.start_s(in_chunk / SAMPLE_RATE) == pytest.approx(sample / SAMPLE_RATE, abs=1e-9)
    assert clock.end_s(in_chunk / SAMPLE_RATE) == pytest.approx(sample / SAMPLE_RATE, abs=1e-9)


def test_on_a_cut_the_end_is_before_it_and_the_start_after_it() -> None:
    clock = ChunkClock((Span(16_000, 32_000), Span(80_000, 96_000)))
    assert clock.end_s(1.0) == 2.0
    assert clock.start_s(1.0) == 5.0
    assert (clock.start_s(0.0), clock.end_s(2.0)) == (1.0, 6.0)
