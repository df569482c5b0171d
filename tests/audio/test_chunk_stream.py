"""Chunks while the audio is read: when they are yielded, and how much audio is held."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from planned_audio import audio_of, detector
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
        pytest.param(130, 11, id="after 4.2 s of speech 1.056 s"),
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
    ("mode", "stretch"),
    [
        pytest.param(VadMode.AUTO, (0, 125), id="silence"),
        pytest.param(VadMode.AUTO, (125, 0), id="speech"),
        pytest.param(VadMode.AUTO, (95, 30), id="short phrases"),
        pytest.param(VadMode.AUTO, (120, 5), id="no pause that ends a phrase"),
        pytest.param(VadMode.OFF, (0, 125), id="off"),
    ],
)
def test_memory_stays_bounded_however_long_the_audio(
    mode: VadMode, stretch: tuple[int, int]
) -> None:
    block = audio_of([stretch])[None]
    blocks = (block.copy() for _ in range(900))  # an hour: 230 MB
    tracemalloc.start()
    try:
        for _ in split_chunks(blocks, mode, ignore, detector):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25e6
