"""Batches of the exact lane: their size is counted in rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talkmill.engine import (
    Request,
    TranscribeOptions,
)
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.batcher import MAX_EXACT_ROWS, Batcher
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.types import Span


def chunk(plan: DecodePlan, prompt_length: int = 4) -> PendingChunk:
    request = Request(TranscribeOptions(), plan=plan, language="en")
    key = BatchKey.of(plan, prompt_length)
    return PendingChunk(request, 0, (Span(0, 1),), np.zeros((1, 1), np.float32), key, 0.0)


def rows_of(batch: Sequence[PendingChunk]) -> int:
    return sum(item.request.plan.num_rows for item in batch)


def beams(num_beams: int, **changes: Any) -> DecodePlan:
    return DecodePlan(strategy=Strategy.BEAM, is_exact=True, num_beams=num_beams, **changes)


def all_batches(batcher: Batcher) -> list[list[PendingChunk]]:
    found = []
    while batch := batcher.next_batch(0.0):
        found.append(batch)
    return found


def test_exact_chunks_share_a_batch_whatever_their_plans_and_prompts() -> None:
    batcher = Batcher(8, 8)
    items = [chunk(beams(4)), chunk(beams(2, early_stopping=True), 90), chunk(beams(3))]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items]


def test_exact_and_native_chunks_never_share_a_batch() -> None:
    batcher = Batcher(8, 8)
    items = [chunk(beams(2)) if i % 2 else chunk(DecodePlan()) for i in range(6)]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items[::2], items[1::2]]


def test_native_chunks_are_not_counted_in_rows() -> None:
    batcher = Batcher(8, 8, max_exact_rows=8)
    plan = DecodePlan(strategy=Strategy.BEAM, num_beams=5)
    for _ in range(8):
        batcher.put(chunk(plan))
    assert [len(batch) for batch in all_batches(batcher)] == [8]


def test_a_chunk_with_more_rows_than_a_batch_may_have_goes_alone() -> None:
    batcher = Batcher(8, 8, max_exact_rows=8)
    items = [chunk(beams(2)), chunk(beams(16)), chunk(beams(2)), chunk(beams(6))]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items[:1], items[1:2], items[2:]]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_batch_of_exact_chunks_never_has_more_rows_than_the_cap(widths: list[int]) -> None:
    batcher = Batcher(32, 32)
    items = [chunk(beams(width)) for width in widths]
    for item in items:
        batcher.put(item)
    batches = all_batches(batcher)
    assert all(rows_of(batch) <= MAX_EXACT_ROWS for batch in batches)
    assert [item for batch in batches for item in batch] == items
    for batch, following in pairwise(batches):
        is_full = len(batch) == 32 or rows_of([*batch, following[0]]) > MAX_EXACT_ROWS
        assert is_full, "a chunk was left for the next batch that this one had room for"
