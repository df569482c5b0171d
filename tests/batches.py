"""Chunks that tests of the batcher's rules put in, and the batches that they take out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pending import pending_chunk
from talkmill.engine import Request
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.batcher import Batcher
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.types import Span

KEY = BatchKey(DecodePlan(), 4)
OTHER_KEY = BatchKey(DecodePlan(num_beams=5), 4)
_FEATURES = np.zeros((1, 1), np.float32)  # small: some tests put thousands


def chunk(
    owner: Request, index: int = 0, *, key: BatchKey = KEY, put_s: float = 0.0
) -> PendingChunk:
    span = Span(index * CHUNK_SAMPLES, (index + 1) * CHUNK_SAMPLES)
    return pending_chunk(owner, index, features=_FEATURES, span=span, key=key, put_s=put_s)


def put(batcher: Batcher, owner: Request, count: int, key: BatchKey = KEY) -> list[PendingChunk]:
    """Put the chunks of one request, and return them."""
    items = [chunk(owner, index, key=key) for index in range(count)]
    put_all(batcher, items)
    return items


def put_all(batcher: Batcher, items: Iterable[PendingChunk]) -> None:
    for item in items:
        batcher.put(item)


def all_batches(batcher: Batcher) -> list[list[PendingChunk]]:
    """Return every batch until nothing waits."""
    found = []
    while batch := batcher.next_batch(0.0).batch:
        found.append(batch)
    return found
