"""Chunks while the audio is read: when they are yielded, in which order, how much is held."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from planned_audio import audio_of, detector, split, split_channels
from talkmill.engine import VadMode
from talkmill.engine.audio.chunk_stream import split_chunks
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.resample import Planes


def ignore(channel: int, num_samples: int) -> None:
    """Take the report of a span of speech."""


@pytest.mark.parametrize(
    ("num_windows", "num_blocks"),
    [
        pytest.param(100, 16, id="after 3.2 s of speech 1.536 s"),
        pytest.param(190, 11, id="after 6.1 s of speech 1.056 s"),
        pytest.param(320, 6, id="after 10.2 s of speech 0.576 s"),
    ],
)
def test_a_chunk_is_yielded_once_the_pause_after_it_is_long_enough(
    num_windows: int, num_blocks: int
) -> None:
    # Silence comes in blocks of 0.096 s.
    speech = audio_of([(num_windows, 0)])
    blocks = itertools.chain([speech[None]], itertools.repeat(audio_of([(0, 3)])[None]))
    steps = split_chunks(blocks, VadMode.AUTO, ignore, detector)
    is_chunk = [step is not None for step in itertools.islice(steps, num_blocks + 3)]
    assert is_chunk == [False] * num_blocks + [True, False, False]


@pytest.mark.parametrize("mode", [VadMode.AUTO, VadMode.ON])
def test_chunks_are_yielded_before_the_rest_is_read(mode: VadMode) -> None:
    num_read = 0

    def blocks() -> Iterator[Planes]:
        nonlocal num_read
        while True:  # for ever
            num_read += 1
            yield audio_of([(100, 50)])[None]

    steps = split_chunks(blocks(), mode, ignore, detector)
    chunks = (chunk for chunk in steps if chunk is not None)
    for _ in range(5):
        next(chunks)
    assert num_read == 5


def test_hours_of_silence_give_way_after_every_block() -> None:
    silence = itertools.repeat(np.full((1, 4 * SAMPLE_RATE), -1.0, np.float32))  # for ever
    steps = split_chunks(silence, VadMode.ON, ignore, detector)
    assert [next(steps) for _ in range(50)] == [None] * 50


@pytest.mark.parametrize(
    ("mode", "stretches"),
    [
        pytest.param(VadMode.AUTO, [(0, 125)], id="silence"),
        pytest.param(VadMode.AUTO, [(125, 0)], id="speech"),
        pytest.param(VadMode.AUTO, [(95, 30)], id="short phrases"),
        pytest.param(VadMode.AUTO, [(120, 5)], id="no pause that ends a phrase"),
        pytest.param(VadMode.OFF, [(0, 125)], id="off"),
        pytest.param(VadMode.AUTO, [(0, 125), (125, 0)], id="one channel silent, one not"),
        pytest.param(VadMode.AUTO, [(95, 30), (120, 5)], id="two that speak"),
    ],
)
def test_memory_stays_bounded_however_long_the_audio(
    mode: VadMode, stretches: list[tuple[int, int]]
) -> None:
    block = np.stack([audio_of([stretch]) for stretch in stretches])
    blocks = (block.copy() for _ in range(900))  # an hour: 230 MB a channel
    tracemalloc.start()
    try:
        for _ in split_chunks(blocks, mode, ignore, detector):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25e6 * len(stretches)


# Speech and silence of three channels, in windows of 32 ms: a dialogue, with one who says nothing.
TALK = [
    [(100, 300), (50, 150), (900, 60), (40, 400)],
    [(0, 120), (60, 100), (30, 500), (200, 300), (130, 560)],
    [(0, 2000)],
]


def talk() -> Planes:
    return np.stack([audio_of(plan) for plan in TALK])


def test_chunks_of_all_channels_come_by_their_start() -> None:
    chunks, _ = split_channels(talk())

    places = [(chunk.spans[0].start, chunk.channel) for chunk in chunks]
    assert places == sorted(places)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert {chunk.channel for chunk in chunks} == {0, 1}


@pytest.mark.parametrize("mode", list(VadMode))
def test_each_channel_has_the_chunks_that_it_has_alone(mode: VadMode) -> None:
    chunks, speech = split_channels(talk(), mode)

    for channel, plan in enumerate(TALK):
        alone, speech_alone = split(audio_of(plan), mode)
        own = [chunk for chunk in chunks if chunk.channel == channel]
        assert [(one.spans, one.speech) for one in own] == [
            (one.spans, one.speech) for one in alone
        ]
        for found, expected in zip(own, alone, strict=True):
            np.testing.assert_array_equal(found.samples, expected.samples)
        assert [length for of, length in speech if of == channel] == speech_alone


@pytest.mark.parametrize("sizes", [[512], [64_000], [1_000_000], [100_003, 17]])
def test_order_of_chunks_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    expected, _ = split_channels(talk())

    found, _ = split_channels(talk(), sizes=sizes)

    assert [(one.channel, one.spans) for one in found] == [
        (one.channel, one.spans) for one in expected
    ]


def test_a_channel_that_is_silent_for_ever_holds_no_other_up() -> None:
    pair = np.stack([audio_of([(100, 50)]), audio_of([(0, 150)])])
    steps = split_chunks(itertools.repeat(pair), VadMode.AUTO, ignore, detector)
    chunks = [chunk for chunk in itertools.islice(steps, 7) if chunk is not None]
    assert len(chunks) >= 5


def test_a_chunk_waits_for_one_of_another_channel_that_starts_before_it() -> None:
    # In windows of 32 ms: channel 0 has spoken after 70, and paused for long enough after 120.
    pair = np.stack([audio_of([(0, 20), (50, 430)]), audio_of([(300, 200)])])
    blocks = (pair[:, start : start + 51_200] for start in range(0, pair.shape[1], 51_200))

    steps = list(split_chunks(blocks, VadMode.AUTO, ignore, detector))

    assert [step and step.channel for step in steps[:6]] == [None, None, None, 1, 0, None]
