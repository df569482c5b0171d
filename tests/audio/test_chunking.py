from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planned_audio import Plan, audio_of, check_chunks, detector, spans_of, split
from talkmill.engine import VadMode
from talkmill.engine.audio.chunk_stream import split_chunks
from talkmill.engine.audio.cuts import AFTER_SAMPLES, BEFORE_SAMPLES, TURN_PAUSE
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.audio.silero import WINDOW_SAMPLES
from talkmill.engine.types import Samples, Span

DETECTING = (VadMode.AUTO, VadMode.ON)

# Silences of 3 windows or more: shorter ones are speech to the detector. Pauses that end no chunk,
# that end a long one, and that end every one.
plans = st.lists(
    st.tuples(
        st.one_of(st.integers(3, 60), st.integers(300, 1200)),
        st.one_of(st.integers(3, 40), st.integers(10, 20), st.integers(100, 400)),
    ),
    min_size=1,
    max_size=14,
)
lead_ins = st.integers(0, 500)
block_sizes = st.lists(st.integers(500, 100_000), min_size=1, max_size=3)
limits = st.sampled_from([CHUNK_SAMPLES, 5 * SAMPLE_RATE])


@settings(deadline=None, max_examples=40)
@given(plans, lead_ins, block_sizes, limits)
def test_every_span_of_speech_is_in_exactly_one_chunk_in_order(
    plan: Plan, lead_in: int, sizes: list[int], limit: int
) -> None:
    audio = audio_of([(0, lead_in), *plan])
    chunks, speech_samples = split(audio, VadMode.AUTO, sizes, limit)
    check_chunks(chunks, audio, limit)
    speech = [span for chunk in chunks for span in chunk.speech]
    assert speech_samples == [span.end - span.start for span in speech]
    places = np.concatenate([np.arange(span.start, span.end) for span in speech])
    np.testing.assert_array_equal(places, np.flatnonzero(audio > 0))


@settings(deadline=None, max_examples=40)
@given(plans, lead_ins, limits)
def test_a_chunk_reaches_from_its_first_to_its_last_speech_with_padding(
    plan: Plan, lead_in: int, limit: int
) -> None:
    audio = audio_of([(0, lead_in), *plan])
    chunks, _ = split(audio, max_samples=limit)
    check_chunks(chunks, audio, limit)
    for before, chunk, after in zip([None, *chunks], chunks, [*chunks[1:], None], strict=False):
        first, last = chunk.speech[0].start, chunk.speech[-1].end
        least = 0 if before is None else before.spans[-1].end
        most = len(audio) if after is None else (last + after.speech[0].start) // 2
        assert chunk.spans == (
            Span(max(least, first - BEFORE_SAMPLES), min(most, last + AFTER_SAMPLES)),
        )


def cut_pause(speech: int) -> float:
    """Return the pause that ends a chunk which is so long from its first to its last speech."""
    seconds = speech / SAMPLE_RATE
    return SAMPLE_RATE * (1.5 if seconds < 6 else 1.0 if seconds < 10 else 0.5)


@settings(deadline=None, max_examples=60)
@given(plans, limits)
def test_the_longer_a_chunk_the_shorter_the_pause_that_ends_it(plan: Plan, limit: int) -> None:
    chunks, _ = split(audio_of(plan), max_samples=limit)
    for chunk in chunks:
        for before, after in itertools.pairwise(chunk.speech):
            speech = before.end - chunk.speech[0].start
            assert after.start - before.end < cut_pause(speech)


short_spans = st.lists(st.tuples(st.integers(3, 60), st.integers(3, 60)), min_size=1, max_size=14)


@settings(deadline=None, max_examples=60)
@given(short_spans)
def test_nothing_else_cuts_while_the_speech_fits_a_chunk(plan: Plan) -> None:
    chunks, _ = split(audio_of(plan), max_samples=60 * SAMPLE_RATE)  # 14 spans are 54 s at most
    for before, after in itertools.pairwise(chunks):
        speech = before.speech[-1].end - before.speech[0].start
        assert after.speech[0].start - before.speech[-1].end >= cut_pause(speech)


@settings(deadline=None, max_examples=40)
@given(plans, st.sampled_from(VadMode), block_sizes, limits)
def test_the_sizes_of_the_blocks_change_nothing(
    plan: Plan, mode: VadMode, sizes: list[int], limit: int
) -> None:
    audio = audio_of(plan)
    expected, _ = split(audio, mode, [len(audio)], limit)
    chunks, _ = split(audio, mode, sizes, limit)
    check_chunks(chunks, audio, limit)
    assert [(c.spans, c.speech) for c in chunks] == [(c.spans, c.speech) for c in expected]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(3, 900), st.integers(3, 60)), min_size=2, max_size=10))
def test_a_cut_is_in_silence_while_each_span_fits_a_chunk(plan: Plan) -> None:
    audio = audio_of(plan)
    chunks, _ = split(audio)
    check_chunks(chunks, audio)
    assert [span for chunk in chunks for span in chunk.speech] == spans_of(plan)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param([(0, 125), (125, 125)], [(3.6, 8.2)], id="padded"),
        pytest.param([(125, 5), (125, 3)], [(0, 8.256)], id="padding ends with the audio"),
        pytest.param([(187, 46), (125, 0)], [(0, 11.456)], id="under 6 s, 1.47 s end none"),
        pytest.param([(187, 47), (125, 0)], [(0, 6.184), (7.088, 11.488)], id="but 1.5 s"),
        pytest.param([(188, 31), (125, 0)], [(0, 11.008)], id="from 6 s on, 0.99 s end none"),
        pytest.param([(188, 32), (125, 0)], [(0, 6.216), (6.64, 11.04)], id="but 1.02 s"),
        pytest.param([(313, 15), (125, 0)], [(0, 14.496)], id="from 10 s on, 0.48 s end none"),
        pytest.param([(313, 16), (125, 0)], [(0, 10.216), (10.216, 14.528)], id="but 0.51 s"),
    ],
)
@pytest.mark.parametrize("mode", DETECTING)
def test_pauses_end_chunks(plan: Plan, expected: list[tuple[float, float]], mode: VadMode) -> None:
    chunks, _ = split(audio_of(plan), mode)
    spans = [chunk.spans[0] for chunk in chunks]
    assert [(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in spans] == expected


@pytest.mark.parametrize(
    ("pause", "num_chunks"), [(21, 1), (22, 2)], ids=["0.67 s end none", "but 0.70 s"]
)
def test_shorter_pauses_end_chunks_where_speakers_take_turns(pause: int, num_chunks: int) -> None:
    blocks = [audio_of([(40, pause), (40, 0)])[None]]
    found = split_chunks(blocks, VadMode.ON, lambda *_: None, detector, max_pause=TURN_PAUSE)
    assert len([chunk for chunk in found if chunk is not None]) == num_chunks


def num_spans(plan: Plan) -> list[int]:
    """Return how many spans of speech are in each chunk."""
    audio = audio_of(plan)
    chunks, _ = split(audio)
    check_chunks(chunks, audio)
    return [len(chunk.speech) for chunk in chunks]


# Spans of 2.9 s with pauses of 0.1 s: the eighth to the tenth may end a chunk.
@pytest.mark.parametrize(
    ("longer", "expected"),
    [
        pytest.param({}, [9, 3], id="pauses of the same length"),
        pytest.param({8: 6}, [8, 4], id="the longest"),
        pytest.param({8: 6, 9: 6}, [9, 3], id="the last of the longest"),
        pytest.param({5: 14, 8: 6}, [8, 4], id="an earlier one is longer"),
    ],
)
def test_a_chunk_that_is_too_long_is_cut_at_its_longest_late_pause(
    longer: dict[int, int], expected: list[int]
) -> None:
    assert num_spans([(90, longer.get(i, 3)) for i in range(1, 13)]) == expected


def test_without_a_late_pause_the_last_span_is_left_out() -> None:
    assert num_spans([(300, 5), (300, 5), (600, 0)]) == [2, 1]


def test_a_chunk_that_is_too_long_is_cut_at_a_long_pause_first() -> None:
    assert num_spans([(20, 20), (450, 5), (450, 0)]) == [1, 2]


def test_speech_without_a_pause_is_cut_without_a_gap() -> None:
    audio = audio_of([(3000, 10)])
    chunks, _ = split(audio)
    check_chunks(chunks, audio)
    assert all(a.spans[0].end == b.spans[0].start for a, b in itertools.pairwise(chunks))
    assert all(len(chunk.samples) > CHUNK_SAMPLES * 0.6 for chunk in chunks[:-1])
    assert sum(len(chunk.samples) for chunk in chunks) == 3000 * WINDOW_SAMPLES + AFTER_SAMPLES


@pytest.mark.parametrize("mode", DETECTING)
@pytest.mark.parametrize("seconds", [0, 1, 29, 31, 300])
def test_silence_gives_no_chunk(mode: VadMode, seconds: int) -> None:
    assert split(-np.ones(seconds * SAMPLE_RATE, np.float32), mode) == ([], [])


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        pytest.param(0, [], id="nothing"),
        pytest.param(1, [1], id="one sample"),
        pytest.param(479_999, [479_999], id="almost a window"),
        pytest.param(480_000, [480_000], id="a window"),
        pytest.param(480_001, [464_001, 16_000], id="a rest of one sample"),
        pytest.param(484_800, [468_800, 16_000], id="a rest of 0.3 s"),
        pytest.param(487_999, [471_999, 16_000], id="a rest of almost 0.5 s"),
        pytest.param(488_000, [480_000, 8_000], id="a rest of 0.5 s"),
        pytest.param(967_999, [480_000, 471_999, 16_000], id="a rest after two windows"),
    ],
)
def test_off_gives_fixed_windows_over_everything_and_no_rest_under_half_a_second(
    num_samples: int, expected: list[int]
) -> None:
    audio = audio_of([(1000, 1000)])[:num_samples]
    chunks, speech_samples = split(audio, VadMode.OFF, [70_001])
    check_chunks(chunks, audio)
    assert [len(chunk.samples) for chunk in chunks] == speech_samples == expected
    assert sum(speech_samples) == num_samples
    assert all(chunk.speech == () for chunk in chunks)


def test_speech_with_silero_is_in_the_chunks(speech: Samples) -> None:
    # Three times 11 s of speech, with pauses of 8 s.
    pause = np.zeros(8 * SAMPLE_RATE, np.float32)
    audio = np.concatenate([speech, pause, speech, pause, speech])
    speech_samples: list[int] = []
    steps = split_chunks([audio[None]], VadMode.AUTO, lambda _, num: speech_samples.append(num))
    chunks = [chunk for chunk in steps if chunk is not None]
    check_chunks(chunks, audio)
    num_samples = sum(len(chunk.samples) for chunk in chunks)
    assert 3 * 6 * SAMPLE_RATE < sum(speech_samples) <= num_samples < 3 * len(speech)
    period = len(speech) + len(pause)
    for chunk in chunks:
        (span,) = chunk.spans
        assert (span.end - 1) // period == (span.start + BEFORE_SAMPLES) // period
    assert len(chunks) >= 3
