from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkmill.engine import Segment
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.transcript.segments import to_segments, with_confidence
from talkmill.engine.types import Span

WHOLE = (Span(0, 480_000),)  # 30 s from the start
LATER = (Span(160_000, 320_000),)  # 10 to 20 s


def tokens(tokenizer: WhisperTokenizer, *parts: str | float) -> list[int]:
    """Return the tokens of texts and of times in seconds."""
    found: list[int] = []
    for part in parts:
        if isinstance(part, str):
            found.extend(tokenizer.encode(part) if part.strip() else [])
        else:
            found.append(tokenizer.timestamp_begin + round(part / 0.02))
    return found


def bounds(segments: list[Segment]) -> list[tuple[str, float, float | None]]:
    return [(one.text, one.start_s, one.end_s) for one in segments]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([0.0, "one", 2.0], [(" one", 0.0, 2.0)], id="one segment"),
        pytest.param(
            [0.0, "one", 2.0, 2.5, "two", 4.0],
            [(" one", 0.0, 2.0), (" two", 2.5, 4.0)],
            id="two segments",
        ),
        pytest.param(
            [0.0, "one", 2.0, 2.0, "two", 4.0],
            [(" one", 0.0, 2.0), (" two", 2.0, 4.0)],
            id="repeated time",
        ),
        pytest.param(
            [0.0, "one", 2.0, "two", 4.0],
            [(" one", 0.0, 2.0), (" two", 2.0, 4.0)],
            id="one time for end and start",
        ),
        pytest.param([1.0, "one"], [(" one", 1.0, None)], id="not closed"),
        pytest.param(["one", 2.0], [(" one", 0.0, 2.0)], id="not opened"),
        pytest.param(["one"], [(" one", 0.0, None)], id="no time at all"),
        pytest.param([], [], id="nothing"),
        pytest.param([0.0, 30.0], [], id="times without text"),
        pytest.param([0.0, 0.0, 0.0, "one", 2.0], [(" one", 0.0, 2.0)], id="stuttering"),
        pytest.param([3.0, "one", 1.0], [(" one", 3.0, 3.0)], id="end before start"),
        pytest.param(
            [5.0, "one", 8.0, 2.0, "two", 4.0],
            [(" one", 5.0, 8.0), (" two", 8.0, 8.0)],
            id="second before the first",
        ),
        pytest.param(
            [5.0, "one", 8.0, 2.0, "two"],
            [(" one", 5.0, 8.0), (" two", 8.0, None)],
            id="second before the first and not closed",
        ),
    ],
)
def test_times_bound_segments(
    tokenizer: WhisperTokenizer,
    parts: list[str | float],
    expected: list[tuple[str, float, float | None]],
) -> None:
    found = to_segments(tokens(tokenizer, *parts), WHOLE, tokenizer, timestamps=True)
    assert bounds(found) == expected


def test_times_beyond_the_audio_are_its_end(tokenizer: WhisperTokenizer) -> None:
    spans = (Span(0, 80_000),)
    found = to_segments(tokens(tokenizer, 4.0, "one", 29.0), spans, tokenizer, timestamps=True)
    assert bounds(found) == [(" one", 4.0, 5.0)]


def test_times_are_those_of_the_utterance(tokenizer: WhisperTokenizer) -> None:
    parts = tokens(tokenizer, 0.0, "one", 3.0, 3.0, "two", 5.0)
    found = to_segments(parts, LATER, tokenizer, timestamps=True)
    assert bounds(found) == [(" one", 10.0, 13.0), (" two", 13.0, 15.0)]


def test_without_timestamps_the_segment_has_the_bounds_of_the_chunk(
    tokenizer: WhisperTokenizer,
) -> None:
    found = to_segments(tokens(tokenizer, "one two"), LATER, tokenizer, timestamps=False)
    assert bounds(found) == [(" one two", 10.0, 20.0)]


def test_a_segment_has_the_ids_of_its_own_tokens(tokenizer: WhisperTokenizer) -> None:
    parts = tokens(tokenizer, 0.0, "one", 3.0, 3.0, "two", 5.0)
    said = [tuple(tokenizer.encode(word)) for word in ("one", "two")]
    assert [one.tokens for one in to_segments(parts, WHOLE, tokenizer, timestamps=True)] == said
    (whole,) = to_segments(parts, WHOLE, tokenizer, timestamps=False)
    assert whole.tokens == said[0] + said[1]


def test_segments_have_the_confidence_of_their_answer_and_where_its_audio_starts() -> None:
    answer = Hypothesis((1, 2), avg_logprob=-0.5, no_speech_prob=0.25, temperature=0.4)
    (segment,) = with_confidence([Segment(" one", 11.0, 12.0)], answer, LATER[0], 1.5)
    assert (segment.avg_logprob, segment.no_speech_prob, segment.temperature) == (-0.5, 0.25, 0.4)
    assert (segment.compression_ratio, segment.seek) == (1.5, 1000)


@pytest.mark.parametrize("timestamps", [True, False])
def test_blank_text_is_no_segment(tokenizer: WhisperTokenizer, timestamps: bool) -> None:
    space = next(
        token for token in range(tokenizer.end_of_text) if tokenizer.decode([token]) == " "
    )
    assert to_segments([space, space], WHOLE, tokenizer, timestamps=timestamps) == []


@settings(deadline=None)
@given(data=st.data())
def test_whatever_the_model_says_times_go_forward_inside_the_audio(
    data: st.DataObject, tokenizer: WhisperTokenizer
) -> None:
    begin = tokenizer.timestamp_begin
    answer = data.draw(
        st.lists(
            st.one_of(st.integers(0, tokenizer.end_of_text - 1), st.integers(begin, begin + 1500)),
            max_size=40,
        )
    )
    spans = data.draw(st.sampled_from([WHOLE, LATER, (Span(5, 6),)]))
    segments = to_segments(answer, spans, tokenizer, timestamps=True)
    times = [
        time
        for segment in segments
        for time in (segment.start_s, segment.end_s)
        if time is not None
    ]
    assert times == sorted(times)
    assert all(spans[0].start / 16_000 <= time <= spans[-1].end / 16_000 for time in times)
    assert all(segment.text.strip() for segment in segments)
    for before, after in itertools.pairwise(segments):
        assert before.start_s <= after.start_s
