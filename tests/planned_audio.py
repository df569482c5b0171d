"""Audio with speech where a test wants it, and a detector that finds it there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from talkmill.engine import VadMode, VadOptions
from talkmill.engine.audio.chunk_stream import split_chunks
from talkmill.engine.audio.cuts import AFTER_SAMPLES, BEFORE_SAMPLES
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.audio.resample import Planes
from talkmill.engine.audio.silero import WINDOW_SAMPLES
from talkmill.engine.audio.vad import SpeechDetector
from talkmill.engine.types import Chunk, Samples, Span

Plan = list[tuple[int, int]]
"""Windows of 32 ms with speech, and windows of silence after it, for each stretch."""


def audio_of(plan: Plan) -> Samples:
    """Return audio whose samples tell their places: n is the nth sample, -n if it is silence."""
    num_samples = sum(speech + silence for speech, silence in plan) * WINDOW_SAMPLES
    place = np.arange(1, num_samples + 1, dtype=np.float32)
    start = 0
    for speech, silence in plan:
        start += speech * WINDOW_SAMPLES
        place[start : start + silence * WINDOW_SAMPLES] *= -1
        start += silence * WINDOW_SAMPLES
    return place


def spans_of(plan: Plan) -> list[Span]:
    """Return the speech in `audio_of`."""
    spans: list[Span] = []
    start = 0
    for speech, silence in plan:
        if speech:
            spans.append(Span(start * WINDOW_SAMPLES, (start + speech) * WINDOW_SAMPLES))
        start += speech + silence
    return spans


def detector(max_samples: int = CHUNK_SAMPLES) -> SpeechDetector:
    """Return a detector for `audio_of`: samples above zero are speech."""

    def loud(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(windows[:, 0] > 0, 0.9, 0.1).astype(np.float32)

    return SpeechDetector(max_samples - BEFORE_SAMPLES - AFTER_SAMPLES, loud)


def split(
    audio: Samples,
    mode: VadMode = VadMode.AUTO,
    sizes: list[int] | None = None,
    max_samples: int = CHUNK_SAMPLES,
    options: VadOptions | None = None,
) -> tuple[list[Chunk], list[int]]:
    """Return the chunks of audio that comes in blocks, and the arguments of `on_speech`.

    Args:
        audio: From `audio_of`.
        mode: Whether speech is detected.
        sizes: Lengths of the blocks in samples, repeated until the end; by default 4 s.
        max_samples: Length of the longest chunk.
        options: How speech is cut; by default as without options.
    """

    chunks, speech = split_channels(audio[None], mode, sizes, max_samples, options)
    return chunks, [num_samples for _, num_samples in speech]


def split_channels(
    planes: Planes,
    mode: VadMode = VadMode.AUTO,
    sizes: list[int] | None = None,
    max_samples: int = CHUNK_SAMPLES,
    options: VadOptions | None = None,
) -> tuple[list[Chunk], list[tuple[int, int]]]:
    """Return the chunks of channels, each from `audio_of`; see `split`."""

    def blocks() -> Iterator[Planes]:
        start = 0
        for size in itertools.cycle(sizes or [64_000]):
            if start >= planes.shape[1]:
                return
            yield planes[:, start : start + size]
            start += size

    speech: list[tuple[int, int]] = []
    steps = split_chunks(
        blocks(),
        mode,
        lambda *found: speech.append(found),
        lambda: detector(max_samples),
        max_samples,
        options or VadOptions(),
    )
    return [chunk for chunk in steps if chunk is not None], speech


def check_chunks(chunks: list[Chunk], audio: Samples, max_samples: int = CHUNK_SAMPLES) -> None:
    """Check what holds for the chunks of any audio."""
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert all(len(chunk.spans) == 1 for chunk in chunks)
    spans = [chunk.spans[0] for chunk in chunks]
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    for chunk, span in zip(chunks, spans, strict=True):
        assert 1 <= len(chunk.samples) <= max_samples
        np.testing.assert_array_equal(chunk.samples, audio[span.start : span.end])
