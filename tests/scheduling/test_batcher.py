"""Batches: what they hold, when they are due, and which chunks are dropped."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import KEY, OTHER_KEY, all_batches, chunk, put, put_all
from pending import new_request
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.batcher import Batcher
from talkmill.engine.scheduling.pending_chunk import PendingChunk


def test_empty_queue_gives_no_batch() -> None:
    batcher = Batcher(4, 2)
    assert batcher.next_batch(0.0).batch == []
    assert batcher.wait_s(0.0) is None


def test_batch_is_what_waits() -> None:
    batcher = Batcher(4, 2)
    items = [chunk(new_request()) for _ in range(3)]
    put_all(batcher, items)
    assert len(batcher) == 3
    assert batcher.next_batch(0.0).batch == items
    assert len(batcher) == 0


def test_batch_is_never_larger_than_the_limit_and_the_oldest_go_first() -> None:
    batcher = Batcher(4, 2)
    items = [chunk(new_request()) for _ in range(10)]
    put_all(batcher, items)
    assert all_batches(batcher) == [items[:4], items[4:8], items[8:]]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(BatchKey(DecodePlan(num_beams=5), 4), id="beams"),
        pytest.param(BatchKey(DecodePlan(max_new_tokens=5), 4), id="length"),
        pytest.param(BatchKey(DecodePlan(timestamps=True), 4), id="timestamps"),
        pytest.param(BatchKey(DecodePlan(), 5), id="prompt length"),
    ],
)
def test_batch_holds_one_key(key: BatchKey) -> None:
    batcher = Batcher(4, 2)
    items = [chunk(new_request(), key=key if i % 2 else KEY) for i in range(6)]
    put_all(batcher, items)
    assert all_batches(batcher) == [items[::2], items[1::2]]


def test_equal_keys_made_apart_share_a_batch() -> None:
    batcher = Batcher(4, 2)
    for _ in range(2):
        batcher.put(chunk(new_request(), key=BatchKey(DecodePlan(num_beams=2), 7)))
    assert len(batcher.next_batch(0.0).batch) == 2


def test_given_up_chunk_leaves_before_it_costs_anything() -> None:
    batcher = Batcher(4, 2)
    gone, stays = chunk(new_request()), chunk(new_request())
    batcher.put(gone)
    batcher.put(stays)
    gone.request.cancel()
    turn = batcher.next_batch(0.0)
    assert (turn.batch, turn.dropped) == ([stays], [gone])
    assert len(batcher) == 0


def test_expired_chunk_leaves_before_it_costs_anything() -> None:
    batcher = Batcher(4, 2)
    late, early = chunk(new_request(deadline_s=10.0)), chunk(new_request(deadline_s=10.1))
    batcher.put(late)
    batcher.put(early)
    turn = batcher.next_batch(10.0)
    assert (turn.batch, turn.dropped) == ([early], [late])
    assert not late.request.is_done  # the owner of the queue fails it, outside its lock


def test_expired_chunk_leaves_though_no_batch_is_due() -> None:
    batcher = Batcher(4, 2, max_wait_s=60.0)
    late = chunk(new_request(deadline_s=10.0))
    batcher.put(late)
    turn = batcher.next_batch(10.0)
    assert (turn.batch, turn.dropped) == ([], [late])
    assert len(batcher) == 0


def test_long_windows_make_smaller_batches() -> None:
    batcher = Batcher(8, 8, max_batch_positions=6_000)
    for positions, size in ((1500, 4), (500, 8), (10_000, 1)):
        put(batcher, new_request(), 9, BatchKey(DecodePlan(), 4, positions))
        assert len(batcher.next_batch(0.0).batch) == size
        batcher.drain()


def test_workers_share_what_waits() -> None:
    batcher = Batcher(4, 4, num_sharing=2)
    put(batcher, new_request(), 11)
    assert [len(batch) for batch in all_batches(batcher)] == [4, 4, 2, 1]


def test_wait_window_holds_a_batch_back_until_it_is_due() -> None:
    batcher = Batcher(4, 4, max_wait_s=0.5)
    item = chunk(new_request(), put_s=10.0)
    batcher.put(item)
    assert batcher.next_batch(10.4).batch == []
    assert batcher.wait_s(10.4) == pytest.approx(0.1)
    assert batcher.wait_s(11.0) == 0.0
    assert batcher.next_batch(10.5).batch == [item]


def test_wait_window_counts_from_the_oldest() -> None:
    batcher = Batcher(4, 4, max_wait_s=0.5)
    items = [chunk(new_request(), put_s=10.0), chunk(new_request(), put_s=10.4)]
    put_all(batcher, items)
    assert batcher.next_batch(10.5).batch == items


def test_full_batch_does_not_wait_for_its_window() -> None:
    batcher = Batcher(2, 2, max_wait_s=60.0)
    items = [chunk(new_request()) for _ in range(3)]
    put_all(batcher, items)
    assert batcher.next_batch(0.0).batch == items[:2]
    assert batcher.next_batch(0.0).batch == []


def test_chunks_of_two_keys_together_fill_no_batch() -> None:
    batcher = Batcher(2, 2, max_wait_s=60.0)
    batcher.put(chunk(new_request()))
    batcher.put(chunk(new_request(), key=OTHER_KEY))
    assert batcher.next_batch(0.0).batch == []


def test_drain_returns_every_chunk_and_empties_the_queue() -> None:
    batcher = Batcher(4, 2)
    items = put(batcher, new_request(), 10)
    assert batcher.drain() == items
    assert len(batcher) == 0
    assert batcher.next_batch(0.0).batch == []


def test_memory_does_not_grow_with_past_requests() -> None:
    batcher = Batcher(4, 2)

    def serve(count: int) -> None:
        for _ in range(count):
            put(batcher, new_request(), 3)
            while batcher.next_batch(0.0).batch:
                pass

    serve(10)
    tracemalloc.start()
    serve(2000)
    grown_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown_bytes < 50_000  # an entry for each would take 400 kB


actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("pass"), st.integers(1, 3)),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(actions, st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.0, 2.0]))
def test_every_chunk_comes_out_once_or_is_dropped(
    steps: list[tuple[str, int]], max_batch_size: int, share: int, max_wait_s: float
) -> None:
    batcher = Batcher(max_batch_size, min(share, max_batch_size), max_wait_s)
    owners = [new_request(deadline_s=8.0 if i == 0 else None) for i in range(6)]
    keys = [KEY, OTHER_KEY]
    now_s = 0.0
    queued: list[PendingChunk] = []
    taken: list[PendingChunk] = []
    dropped: list[PendingChunk] = []

    def take() -> bool:
        turn = batcher.next_batch(now_s)
        batch = turn.batch
        dropped.extend(turn.dropped)
        assert len(batch) <= max_batch_size
        assert len({item.key for item in batch}) <= 1
        assert all(item.request.is_wanted(now_s) for item in batch)
        assert not any(item.request.is_wanted(now_s) for item in turn.dropped)
        taken.extend(batch)
        return bool(batch)

    for action, value in steps:
        if action == "put":
            item = chunk(owners[value], len(queued), key=keys[value % 2], put_s=now_s)
            queued.append(item)
            batcher.put(item)
        elif action == "take":
            take()
        elif action == "cancel":
            owners[value].cancel()
        else:
            now_s += value
    now_s += max_wait_s
    while take():
        pass
    assert len(batcher) == 0
    out = [*taken, *dropped]
    assert len(out) == len(set(map(id, out))) == len(queued)
    for owner in owners:  # a request's chunks leave in their order
        indexes = [item.index for item in taken if item.request is owner]
        assert indexes == sorted(indexes)
