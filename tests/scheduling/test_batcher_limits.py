"""Limits on a batch: rows of the exact lane, and what the device's memory turned out to hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batches import KEY, OTHER_KEY, all_batches, chunk, put, put_all
from pending import new_request, pending_chunk
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.batcher import MAX_EXACT_ROWS, Batcher
from talkmill.engine.scheduling.pending_chunk import PendingChunk


def sizes(batcher: Batcher) -> list[int]:
    """Return the size of every batch until nothing waits."""
    return [len(batch) for batch in all_batches(batcher)]


def chunk_of(plan: DecodePlan, prompt_length: int = 4) -> PendingChunk:
    return chunk(new_request(plan=plan), key=BatchKey.of(plan, prompt_length))


def exact_chunk(num_rows: int, prompt_length: int = 4, **changes: Any) -> PendingChunk:
    plan = DecodePlan(strategy=Strategy.BEAM, is_exact=True, num_beams=num_rows, **changes)
    return chunk_of(plan, prompt_length)


def rows_of(batch: Sequence[PendingChunk]) -> int:
    return sum(item.request.plan.num_rows for item in batch)


def test_exact_chunks_share_a_batch_whatever_their_plans_and_prompts() -> None:
    batcher = Batcher(8, 8)
    items = [exact_chunk(4), exact_chunk(2, 90, early_stopping=True), exact_chunk(3)]
    put_all(batcher, items)
    assert all_batches(batcher) == [items]


def test_exact_and_native_chunks_never_share_a_batch() -> None:
    batcher = Batcher(8, 8)
    items = [exact_chunk(2) if i % 2 else chunk_of(DecodePlan()) for i in range(6)]
    put_all(batcher, items)
    assert all_batches(batcher) == [items[::2], items[1::2]]


def test_native_chunks_are_not_counted_in_rows() -> None:
    batcher = Batcher(8, 8, max_exact_rows=8)
    plan = DecodePlan(strategy=Strategy.BEAM, num_beams=5)
    put_all(batcher, [chunk_of(plan) for _ in range(8)])
    assert sizes(batcher) == [8]


def test_chunk_with_more_rows_than_a_batch_may_have_goes_alone() -> None:
    batcher = Batcher(8, 8, max_exact_rows=8)
    items = [exact_chunk(num_rows) for num_rows in (2, 16, 2, 6)]
    put_all(batcher, items)
    assert all_batches(batcher) == [items[:1], items[1:2], items[2:]]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_batch_of_exact_chunks_never_has_more_rows_than_the_limit(widths: list[int]) -> None:
    batcher = Batcher(32, 32)
    items = [exact_chunk(width) for width in widths]
    put_all(batcher, items)
    batches = all_batches(batcher)
    assert all(rows_of(batch) <= MAX_EXACT_ROWS for batch in batches)
    assert [item for batch in batches for item in batch] == items
    for batch, following in pairwise(batches):
        is_full = len(batch) == 32 or rows_of([*batch, following[0]]) > MAX_EXACT_ROWS
        assert is_full, "a chunk was left for the next batch that this one had room for"


def test_exact_chunks_join_live_ones_as_far_as_there_is_room() -> None:
    batcher = Batcher(8, 8, max_exact_rows=10)
    items = [exact_chunk(3) for _ in range(4)]
    put_all(batcher, items)
    assert batcher.next_batch(0.0, num_live_rows=3).batch == items[:2]
    assert batcher.next_batch(0.0, num_live_rows=9).batch == []
    assert batcher.next_batch(0.0, num_live_rows=0).batch == items[2:]


def test_exact_chunk_does_not_overtake_one_that_has_no_room() -> None:
    batcher = Batcher(8, 8, max_exact_rows=10)
    large, small, native = exact_chunk(9), exact_chunk(1), pending_chunk(new_request())
    put_all(batcher, [large, small, native])
    assert batcher.next_batch(0.0, num_live_rows=4).batch == [native]
    assert batcher.next_batch(0.0, num_live_rows=4).batch == []
    assert batcher.next_batch(0.0, num_live_rows=1).batch == [large]
    assert batcher.next_batch(0.0, num_live_rows=10).batch == []
    assert batcher.next_batch(0.0).batch == [small]


def test_chunk_that_needs_more_rows_than_there_are_waits_until_none_is_live() -> None:
    batcher = Batcher(8, 8, max_exact_rows=10)
    huge, small = exact_chunk(12), exact_chunk(1)
    put_all(batcher, [huge, small])
    assert batcher.next_batch(0.0, num_live_rows=1).batch == []
    assert batcher.next_batch(0.0).batch == [huge]
    assert batcher.next_batch(0.0).batch == [small]


def test_native_batch_between_exact_steps_comes_at_its_turn() -> None:
    batcher = Batcher(8, 8)
    first, native, last = exact_chunk(1), pending_chunk(new_request()), exact_chunk(1)
    put_all(batcher, [first, native, last])
    found = [batcher.next_batch(0.0, num_live_rows=1).batch for _ in range(3)]
    assert found == [[first, last], [native], []]


def test_batch_out_of_memory_halves_those_of_its_kind_and_no_others() -> None:
    batcher = Batcher(8, 8)
    assert batcher.shrink_after_oom(KEY, 8) == 4
    longer = BatchKey(DecodePlan(max_new_tokens=5), 7)  # needs as much memory
    short_window = BatchKey(DecodePlan(), 4, num_positions=250)
    for key, expected in [
        (KEY, [4, 4, 1]),
        (longer, [4, 4, 1]),
        (OTHER_KEY, [8, 1]),
        (short_window, [8, 1]),
    ]:
        put(batcher, new_request(), 9, key)
        assert sizes(batcher) == expected


def test_limit_only_goes_down_and_is_reported_when_it_does() -> None:
    batcher = Batcher(8, 8)
    assert batcher.shrink_after_oom(KEY, 5) == 2
    assert batcher.shrink_after_oom(KEY, 8) is None  # was under way already
    put(batcher, new_request(), 4, KEY)
    assert sizes(batcher) == [2, 2]
    assert batcher.shrink_after_oom(KEY, 2) == 1
    assert batcher.shrink_after_oom(KEY, 1) is None


def test_full_batch_is_one_that_fits_and_does_not_wait() -> None:
    batcher = Batcher(8, 8, max_wait_s=1.0)
    batcher.shrink_after_oom(KEY, 8)
    put(batcher, new_request(), 4, KEY)
    assert len(batcher.next_batch(0.0).batch) == 4


def test_exact_lane_out_of_memory_takes_half_the_rows() -> None:
    batcher = Batcher(8, 8)
    exact = DecodePlan(is_exact=True, num_beams=4)
    key = BatchKey.of(exact, 4)
    assert batcher.shrink_after_oom(key, 16) == 8
    owners = [new_request(plan=exact) for _ in range(5)]
    for owner in owners:
        batcher.put(pending_chunk(owner))
    assert sizes(batcher) == [2, 2, 1]
    put(batcher, new_request(), 9, KEY)
    assert sizes(batcher) == [8, 1]
