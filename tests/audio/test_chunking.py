from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from talkmill.engine import VadMode
from talkmill.engine.audio.chunking import PAD_SAMPLES, split_chunks
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.audio.silero import WINDOW_SAMPLES
from talkmill.engine.audio.vad import SpeechDetector
from talkmill.engine.types import Chunk, Samples, Span

WINDOWS_PER_S = SAMPLE_RATE / WINDOW_SAMPLES

MAX_SPAN_SAMPLES = CHUNK_SAMPLES - 2 * PAD_SAMPLES


def loud(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take what is above zero for speech; the audio of these tests counts up from 1 in speech."""
    return np.where(windows[:, 0] > 0, 0.9, 0.1).astype(np.float32)


def audio_of(stretches: list[tuple[int, int]]) -> Samples:
    """Return (windows of speech, windows of silence after it)..., each sample telling its place.

    Speech counts up, silence counts down: a sample out of place is a wrong number.
    """
    num_samples = sum(speech + silence for speech, silence in stretches) * WINDOW_SAMPLES
    place = np.arange(1, num_samples + 1, dtype=np.float32)
    start = 0
    for speech, silence in stretches:
        start += speech * WINDOW_SAMPLES
        place[start : start + silence * WINDOW_SAMPLES] *= -1
        start += silence * WINDOW_SAMPLES
    return place


def spans_of(stretches: list[tuple[int, int]]) -> list[Span]:
    """Return the speech in `audio_of`, its stretches joined where no silence is between."""
    spans: list[Span] = []
    start = 0
    for speech, silence in stretches:
        if speech:
            span = Span(start * WINDOW_SAMPLES, (start + speech) * WINDOW_SAMPLES)
            spans.append(span)
        start += speech + silence
    return spans


def detector() -> SpeechDetector:
    return SpeechDetector(MAX_SPAN_SAMPLES, loud)


def split(
    audio: Samples, mode: VadMode, sizes: tuple[int, ...] = (64_000,)
) -> tuple[list[Chunk], list[int]]:
    def blocks() -> Iterator[Samples]:
        start = 0
        for size in itertools.cycle(sizes):
            if start >= len(audio):
                return
            yield audio[start : start + size]
            start += size

    speech: list[int] = []
    return given_out(split_chunks(blocks(), mode, speech.append, detector)), speech


def given_out(chunks: Iterator[Chunk | None]) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk is not None]


def check_chunks(chunks: list[Chunk], audio: Samples) -> None:
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    spans = [span for chunk in chunks for span in chunk.spans]
    assert all(span.start < span.end for span in spans)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    for chunk in chunks:
        assert 1 <= len(chunk.samples) <= CHUNK_SAMPLES
        parts = [audio[span.start : span.end] for span in chunk.spans]
        np.testing.assert_array_equal(chunk.samples, np.concatenate(parts))


# Silences of 3 windows or more: shorter ones are speech to the detector.
stretches = st.lists(
    st.tuples(
        st.one_of(st.integers(3, 60), st.integers(300, 1200)),
        st.one_of(st.integers(3, 30), st.integers(100, 900)),
    ),
    min_size=1,
    max_size=14,
)


@settings(deadline=None, max_examples=40)
@given(
    stretches,
    st.integers(0, 500),
    st.sampled_from(list(VadMode)),
    st.lists(st.integers(500, 100_000), min_size=1, max_size=3),
)
def test_every_sample_of_speech_is_in_exactly_one_chunk_in_order(
    plan: list[tuple[int, int]], lead_in: int, mode: VadMode, sizes: list[int]
) -> None:
    plan = [(0, lead_in), *plan]
    audio = audio_of(plan)
    chunks, speech_samples = split(audio, mode, tuple(sizes))
    check_chunks(chunks, audio)
    held = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_array_equal(held[held > 0], audio[audio > 0])
    assert sum(speech_samples) == (len(audio) if mode is VadMode.OFF else int((audio > 0).sum()))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(3, 900), st.integers(3, 60)), min_size=2, max_size=10))
def test_a_cut_is_in_silence_while_speech_fits_a_chunk(plan: list[tuple[int, int]]) -> None:
    audio = audio_of(plan)
    chunks, _ = split(audio, VadMode.ON)
    check_chunks(chunks, audio)
    speech = spans_of(plan)
    for before, after in itertools.pairwise(chunks):
        end, start = before.spans[-1].end, after.spans[0].start
        assert not any(span.start < end < span.end for span in speech)
        assert not any(span.start < start < span.end for span in speech)


def test_speech_without_a_pause_is_cut_at_29_6_s() -> None:
    audio = audio_of([(3000, 10)])
    chunks, _ = split(audio, VadMode.ON)
    check_chunks(chunks, audio)
    assert sum(len(chunk.samples) for chunk in chunks) >= 3000 * WINDOW_SAMPLES
    assert all(len(chunk.samples) > CHUNK_SAMPLES * 0.6 for chunk in chunks[:-1])


def test_chunks_are_full_to_four_fifths_where_pauses_allow() -> None:
    audio = audio_of([(40, 5)] * 100)
    chunks, _ = split(audio, VadMode.AUTO)
    check_chunks(chunks, audio)
    assert len(chunks) > 3
    assert all(len(chunk.samples) >= CHUNK_SAMPLES * 0.8 for chunk in chunks[:-1])


def test_a_full_chunk_is_cut_at_its_longest_late_pause() -> None:
    plan = [(90, 4)] * 4 + [(90, 10)] + [(90, 4)] * 5 + [(90, 30)] + [(90, 4)] * 5
    audio = audio_of(plan)
    chunks, _ = split(audio, VadMode.ON)
    check_chunks(chunks, audio)
    long_pause = spans_of(plan)[10].end
    ends = [chunk.spans[-1].end for chunk in chunks]
    late = [
        span.end
        for span in spans_of(plan)
        if CHUNK_SAMPLES * 0.8 <= span.end < CHUNK_SAMPLES * 0.97
    ]
    expected = long_pause if long_pause in late else max(late)
    assert abs(ends[0] - expected) <= SAMPLE_RATE // 5


@pytest.mark.parametrize("num_samples", [1, 512 * 40, CHUNK_SAMPLES])
def test_auto_leaves_audio_that_fits_a_chunk_uncut(num_samples: int) -> None:
    audio = audio_of([(20, 200), (20, 700)])[:num_samples]
    chunks, _ = split(audio, VadMode.AUTO)
    check_chunks(chunks, audio)
    if num_samples == 1:  # too little to be speech
        assert chunks == []
    else:
        assert [chunk.spans for chunk in chunks] == [(Span(0, num_samples),)]


def test_auto_cuts_audio_that_is_one_sample_too_long() -> None:
    audio = audio_of([(20, 300), (20, 700)])[: CHUNK_SAMPLES + 1]
    chunks, speech_samples = split(audio, VadMode.AUTO)
    check_chunks(chunks, audio)
    assert len(chunks) == 1
    assert len(chunks[0].samples) < CHUNK_SAMPLES / 2
    assert sum(speech_samples) == 40 * WINDOW_SAMPLES


def test_on_cuts_silence_out_of_short_audio_too() -> None:
    audio = audio_of([(0, 100), (20, 300), (20, 100)])
    chunks, _ = split(audio, VadMode.ON)
    check_chunks(chunks, audio)
    assert len(chunks) == 1
    assert len(chunks[0].spans) == 2
    assert len(chunks[0].samples) <= 40 * WINDOW_SAMPLES + 4 * SAMPLE_RATE // 5


@pytest.mark.parametrize("mode", [VadMode.AUTO, VadMode.ON])
@pytest.mark.parametrize("seconds", [0, 1, 29, 31, 300])
def test_silence_gives_no_chunk(mode: VadMode, seconds: int) -> None:
    chunks, speech_samples = split(-np.ones(seconds * SAMPLE_RATE, np.float32), mode)
    assert chunks == []
    assert speech_samples == []


@pytest.mark.parametrize("num_samples", [0, 1, CHUNK_SAMPLES - 1, CHUNK_SAMPLES, 1_500_000])
def test_off_gives_fixed_windows_over_everything(num_samples: int) -> None:
    audio = -np.arange(1, num_samples + 1, dtype=np.float32)
    chunks, speech_samples = split(audio, VadMode.OFF, (70_001,))
    if chunks:
        check_chunks(chunks, audio)
    lengths = [len(chunk.samples) for chunk in chunks]
    assert sum(lengths) == sum(speech_samples) == num_samples
    assert all(length == CHUNK_SAMPLES for length in lengths[:-1])


def test_a_chunk_is_given_out_before_the_rest_is_read() -> None:
    num_read = 0

    def blocks() -> Iterator[Samples]:
        nonlocal num_read
        while True:  # for ever
            num_read += 1
            yield audio_of([(100, 25)])

    steps = split_chunks(blocks(), VadMode.AUTO, lambda _: None, detector)
    chunks = (chunk for chunk in steps if chunk is not None)
    for _ in range(5):
        next(chunks)
    assert num_read * 4 < 5 * 30 * 2


@pytest.mark.parametrize("mode", VadMode)
def test_no_chunk_is_longer_than_the_model_takes(mode: VadMode) -> None:
    audio = audio_of([(30, 10), (100, 20), (400, 5), (50, 60)])
    max_samples = 5 * SAMPLE_RATE
    steps = split_chunks(
        [audio], mode, lambda _: None, lambda: SpeechDetector(4 * SAMPLE_RATE, loud), max_samples
    )
    lengths = [len(chunk.samples) for chunk in given_out(steps)]
    assert len(lengths) > 3
    assert max(lengths) <= max_samples


def test_hours_of_silence_give_way_after_every_block() -> None:
    silence = itertools.repeat(np.full(4 * SAMPLE_RATE, -1.0, np.float32))  # for ever
    steps = split_chunks(silence, VadMode.ON, lambda _: None, detector)
    assert [next(steps) for _ in range(50)] == [None] * 50


@pytest.mark.parametrize(
    ("mode", "value"),
    [(VadMode.AUTO, -1.0), (VadMode.ON, -1.0), (VadMode.OFF, -1.0), (VadMode.ON, 1.0)],
    ids=["auto-silence", "on-silence", "off-silence", "on-speech"],
)
def test_memory_stays_bounded_however_long_the_audio(mode: VadMode, value: float) -> None:
    block = np.full(4 * SAMPLE_RATE, value, np.float32)
    blocks = (block.copy() for _ in range(900))  # an hour: 230 MB
    tracemalloc.start()
    try:
        for _ in split_chunks(blocks, mode, lambda _: None, detector):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25e6


def test_speech_with_silero_is_in_the_chunks(speech: Samples) -> None:
    # The real detector: speech, a long pause, speech; more than a chunk of it.
    pause = np.zeros(8 * SAMPLE_RATE, np.float32)
    audio = np.concatenate([speech, pause, speech, pause, speech])
    speech_samples: list[int] = []
    chunks = given_out(split_chunks([audio], VadMode.AUTO, speech_samples.append))
    check_chunks(chunks, audio)
    num_given_out = sum(len(chunk.samples) for chunk in chunks)
    assert sum(speech_samples) <= num_given_out < len(audio) - 2 * len(pause) / 2
    assert sum(speech_samples) > 3 * 6 * SAMPLE_RATE
