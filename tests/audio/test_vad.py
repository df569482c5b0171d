from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from talkmill.engine.audio.decode import decode_audio
from talkmill.engine.audio.silero import WINDOW_SAMPLES
from talkmill.engine.audio.vad import SpeechDetector
from talkmill.engine.types import Samples, Span

DIGITS = Path(__file__).parents[3] / "shared" / "speech" / "fsdd"
MAX_SPAN = 473_600


def level(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first sample of each window as its probability: a test sets them."""
    return windows[:, 0]


def planned(*probabilities: float) -> Samples:
    """Return audio whose windows `level` judges as given."""
    return np.repeat(np.array(probabilities, np.float32), WINDOW_SAMPLES)


def windows(spans: list[Span]) -> list[tuple[int, int]]:
    return [(span.start // WINDOW_SAMPLES, span.end // WINDOW_SAMPLES) for span in spans]


def find(audio: Samples, max_windows: int = 925, threshold: float = 0.5) -> list[Span]:
    detector = SpeechDetector(max_windows * WINDOW_SAMPLES, level, threshold)
    return [*detector.feed(audio), *detector.finish()]


SAY, HUSH, UNSURE = 0.9, 0.1, 0.4


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param([HUSH] * 50, [], id="silence"),
        pytest.param([SAY] * 10, [(0, 10)], id="speech throughout"),
        pytest.param([HUSH] * 5 + [SAY] * 5 + [HUSH] * 5, [(5, 10)], id="speech in silence"),
        pytest.param([SAY] * 5 + [HUSH] * 2 + [SAY] * 5, [(0, 12)], id="64 ms are no pause"),
        pytest.param([SAY] * 5 + [HUSH] * 3 + [SAY] * 5, [(0, 5), (8, 13)], id="96 ms are one"),
        pytest.param([SAY] * 5 + [HUSH] * 2, [(0, 5)], id="silence at the end is cut off"),
        pytest.param([HUSH] * 3 + [SAY] * 2 + [HUSH] * 5, [], id="a click is no speech"),
        pytest.param([UNSURE] * 20, [], id="uncertainty does not begin speech"),
        pytest.param([SAY] * 5 + [UNSURE] * 9 + [SAY] * 5, [(0, 19)], id="nor ends it"),
        pytest.param([SAY] * 5 + [UNSURE] * 9 + [HUSH] * 9, [(0, 14)], id="its tail is speech"),
        pytest.param([0.5] * 5, [(0, 5)], id="on the threshold"),
    ],
)
def test_probabilities_become_spans(
    probabilities: list[float], expected: list[tuple[int, int]]
) -> None:
    assert windows(find(planned(*probabilities))) == expected


def test_last_span_ends_with_the_audio() -> None:
    audio = planned(*[SAY] * 10)[:-100]
    assert find(audio) == [Span(0, len(audio))]


def test_speech_that_is_too_long_is_split_where_it_is_least_like_speech() -> None:
    probabilities = [SAY] * 30
    probabilities[16] = 0.6
    assert windows(find(planned(*probabilities), max_windows=20)) == [(0, 16), (16, 30)]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([SAY, 0.6, UNSURE, HUSH]), max_size=120),
    st.integers(6, 30),
)
def test_spans_are_in_order_apart_and_no_longer_than_the_limit(
    probabilities: list[float], max_windows: int
) -> None:
    spans = find(planned(*probabilities), max_windows)
    assert all(0 < span.end - span.start <= max_windows * WINDOW_SAMPLES for span in spans)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    covered = {window for start, end in windows(spans) for window in range(start, end)}
    # Three windows of speech in a row are never lost, unless a split leaves them as a crumb.
    if len(probabilities) < max_windows:
        for i in range(len(probabilities) - 2):
            if min(probabilities[i : i + 3]) >= 0.5:
                assert {i, i + 1, i + 2} <= covered


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([SAY, 0.6, UNSURE, HUSH]), max_size=80),
    st.lists(st.integers(1, 3 * WINDOW_SAMPLES), min_size=1, max_size=8),
    st.integers(0, WINDOW_SAMPLES - 1),
)
def test_size_of_the_blocks_changes_nothing(
    probabilities: list[float], sizes: list[int], cut: int
) -> None:
    audio = planned(*probabilities)
    audio = audio[: len(audio) - cut]
    detector = SpeechDetector(20 * WINDOW_SAMPLES, level)
    found: list[Span] = []
    start = turn = 0
    while start < len(audio):
        size = sizes[turn % len(sizes)]
        found.extend(detector.feed(audio[start : start + size]))
        start, turn = start + size, turn + 1
    found.extend(detector.finish())
    assert found == find(audio, max_windows=20)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        pytest.param(0.3, [(0, 20)], id="what was unsure is speech"),
        pytest.param(0.5, [(0, 5)], id="the default"),
        pytest.param(0.95, [], id="nothing is sure enough"),
        pytest.param(0.0, [(0, 25)], id="everything is speech"),
        pytest.param(1.0, [], id="nothing is"),
    ],
)
def test_speech_starts_at_the_threshold_and_ends_below(
    threshold: float, expected: list[tuple[int, int]]
) -> None:
    audio = planned(*[SAY] * 5, *[0.34] * 15, *[HUSH] * 5)

    assert windows(find(audio, threshold=threshold)) == expected


@pytest.mark.parametrize("size", [160, 4_000, 100_000])
def test_size_of_the_blocks_changes_nothing_for_real_speech(speech: Samples, size: int) -> None:
    whole = SpeechDetector(MAX_SPAN)
    expected = [*whole.feed(speech), *whole.finish()]
    detector = SpeechDetector(MAX_SPAN)
    found = [
        span
        for start in range(0, len(speech), size)
        for span in detector.feed(speech[start : start + size])
    ]
    assert [*found, *detector.finish()] == expected
    assert len(expected) > 1


def test_nothing_before_the_position_is_still_to_come() -> None:
    audio = planned(*([HUSH] * 5 + [SAY] * 5 + [HUSH] * 9 + [SAY] * 4))
    detector = SpeechDetector(MAX_SPAN, level)
    quiet_until = 0
    for start in range(0, len(audio), WINDOW_SAMPLES):
        for span in detector.feed(audio[start : start + WINDOW_SAMPLES]):
            assert span.start >= quiet_until
        start_of_speech = detector.open_start
        quiet_until = detector.position if start_of_speech is None else start_of_speech
    assert detector.open_start == 19 * WINDOW_SAMPLES


def speech_s(samples: Samples) -> float:
    detector = SpeechDetector(MAX_SPAN)
    spans = [*detector.feed(samples), *detector.finish()]
    return sum(span.end - span.start for span in spans) / 16_000


def test_real_speech_is_found(speech: Samples) -> None:
    assert 7.0 < speech_s(speech) < len(speech) / 16_000


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(160_000, np.float32), id="digital silence"),
        pytest.param(
            np.random.default_rng(0).normal(0, 0.003, 160_000).astype(np.float32), id="hiss"
        ),
    ],
)
def test_silence_is_no_speech(samples: Samples) -> None:
    assert speech_s(samples) == 0


def test_two_utterances_do_not_affect_each_other(speech: Samples) -> None:
    first, second = SpeechDetector(MAX_SPAN), SpeechDetector(MAX_SPAN)
    found: dict[str, list[Span]] = {"first": [], "second": []}
    for start in range(0, len(speech), 16_000):
        found["first"].extend(first.feed(speech[start : start + 16_000]))
        found["second"].extend(second.feed(np.zeros(16_000, np.float32)))
    assert [*found["second"], *second.finish()] == []
    alone = SpeechDetector(MAX_SPAN)
    assert found["first"] == [*alone.feed(speech)]


@pytest.mark.skipif(not DIGITS.is_dir(), reason="../shared/speech is not here")
def test_words_that_fill_their_recording_are_found() -> None:
    # Recordings of one word without silence around it: the worst case for a cold start.
    paths = sorted(DIGITS.glob("*_[0-9].wav"))[:60]
    missed = []
    for path in paths:
        with path.open("rb") as file:
            samples = np.concatenate(list(decode_audio(file, 30, lambda _: None)))
        if speech_s(samples) == 0:
            missed.append(path.name)
    assert len(paths) >= 30
    assert len(missed) <= len(paths) // 30, missed
