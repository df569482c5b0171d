"""The chunks of all channels of an utterance as one stream, in the order of their starts.

A chunk waits until no other channel can have one that starts before it. That takes at most the
length of a chunk, so that memory stays bounded however long the audio is.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace

from ..types import Chunk, VadMode, VadOptions
from .chunking import Splitter, new_splitter
from .cuts import CUT_PAUSE
from .features import CHUNK_SAMPLES
from .resample import Planes
from .vad import SpeechDetector

_DEFAULTS = VadOptions()


def split_chunks(
    blocks: Iterable[Planes],
    mode: VadMode,
    on_speech: Callable[[int, int], None],
    new_detector: Callable[[], SpeechDetector] | None = None,
    max_samples: int = CHUNK_SAMPLES,
    options: VadOptions = _DEFAULTS,
    max_pause: int = CUT_PAUSE,
) -> Generator[Chunk | None]:
    """Yield the chunks of an utterance by their start, then their channel.

    None is yielded after each block without a chunk, so that hours of silence do not hold up other
    requests.

    Args:
        blocks: The audio, float32 of shape (num_channels, num_samples) each.
        mode: Whether speech is detected; see `new_splitter`.
        on_speech: Called with the channel and the number of samples of each span of speech.
        new_detector: Creates a speech detector; see `new_splitter`.
        max_samples: Length of the longest chunk, in samples.
        options: How speech is detected and cut.
        max_pause: A pause that ends a chunk of any length; see `new_splitter`.
    """
    splitters: list[Splitter] = []
    waiting: list[tuple[int, int, int, Chunk]] = []  # a heap; start, channel, index in the channel
    num_yielded = 0
    for block in itertools.chain(blocks, [None]):
        if block is not None and not splitters:
            splitters = [
                new_splitter(
                    mode,
                    functools.partial(on_speech, channel),
                    new_detector,
                    max_samples,
                    options,
                    max_pause,
                )
                for channel in range(len(block))
            ]
        for channel, splitter in enumerate(splitters):
            for chunk in splitter.feed(None if block is None else block[channel]):
                entry = (chunk.spans[0].start, channel, chunk.index, chunk)
                heapq.heappush(waiting, entry)
        is_last = block is None
        next_start = math.inf if is_last else min(one.next_start for one in splitters)
        if not (waiting and waiting[0][0] < next_start):
            yield None
        while waiting and waiting[0][0] < next_start:
            _, channel, _, chunk = heapq.heappop(waiting)
            yield replace(chunk, index=num_yielded, channel=channel)
            num_yielded += 1
