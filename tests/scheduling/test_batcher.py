from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkmill.engine import DeadlineExceeded, Request, TranscribeOptions
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.scheduling.batcher import Batcher, BatchKey, PendingChunk
from talkmill.engine.types import Span

KEY = BatchKey(DecodePlan(), 4)
OTHER_KEY = BatchKey(DecodePlan(num_beams=5), 4)
_FEATURES = np.zeros((1, 1), np.float32)


def request(deadline_s: float | None = None) -> Request:
    return Request(TranscribeOptions(), language="en", deadline_s=deadline_s)


def chunk(
    owner: Request, index: int = 0, *, key: BatchKey = KEY, put_s: float = 0.0
) -> PendingChunk:
    return PendingChunk(owner, index, (Span(0, 1),), _FEATURES, key, put_s)


def put(batcher: Batcher, owner: Request, count: int, key: BatchKey = KEY) -> list[PendingChunk]:
    items = [chunk(owner, index, key=key) for index in range(count)]
    for item in items:
        batcher.put(item)
    return items


def batches(batcher: Batcher) -> list[list[PendingChunk]]:
    """Return every batch until nothing waits."""
    found = []
    while batch := batcher.next_batch(0.0):
        found.append(batch)
    return found


def test_empty_queue_gives_no_batch() -> None:
    batcher = Batcher(4, 2)
    assert batcher.next_batch(0.0) == []
    assert batcher.wait_s(0.0) is None


def test_batch_is_what_waits() -> None:
    batcher = Batcher(4, 2)
    items = [chunk(request()) for _ in range(3)]
    for item in items:
        batcher.put(item)
    assert len(batcher) == 3
    assert batcher.next_batch(0.0) == items
    assert len(batcher) == 0


def test_batch_is_never_larger_than_the_limit_and_the_oldest_go_first() -> None:
    batcher = Batcher(4, 2)
    items = [chunk(request()) for _ in range(10)]
    for item in items:
        batcher.put(item)
    assert batches(batcher) == [items[:4], items[4:8], items[8:]]


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
    items = [chunk(request(), key=key if i % 2 else KEY) for i in range(6)]
    for item in items:
        batcher.put(item)
    assert batches(batcher) == [items[::2], items[1::2]]


def test_equal_keys_made_apart_share_a_batch() -> None:
    batcher = Batcher(4, 2)
    for _ in range(2):
        batcher.put(chunk(request(), key=BatchKey(DecodePlan(num_beams=2), 7)))
    assert len(batcher.next_batch(0.0)) == 2


def test_long_file_takes_every_slot_that_nobody_wants() -> None:
    batcher = Batcher(4, 2)
    items = put(batcher, request(), 10)
    assert batches(batcher) == [items[:4], items[4:8], items[8:]]


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
def test_short_command_does_not_wait_for_a_long_file(key: BatchKey) -> None:
    batcher = Batcher(4, 2)
    put(batcher, request(), 1000)
    batcher.next_batch(0.0)
    command = chunk(request(), key=key)
    batcher.put(command)
    soon = [item for _ in range(2) for item in batcher.next_batch(0.0)]
    assert command in soon


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
def test_short_command_does_not_wait_for_a_file_that_had_the_machine_to_itself(
    key: BatchKey,
) -> None:
    batcher = Batcher(4, 2)
    put(batcher, request(), 1000)
    for _ in range(100):
        batcher.next_batch(0.0)
    command = chunk(request(), key=key)
    batcher.put(command)
    soon = [item for _ in range(2) for item in batcher.next_batch(0.0)]
    assert command in soon


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
def test_long_file_is_not_starved_by_short_commands(key: BatchKey) -> None:
    batcher = Batcher(4, 2)
    file = request()
    items = put(batcher, file, 40)
    found: list[PendingChunk] = []
    num_batches = 0
    while len(found) < len(items):
        for _ in range(4):  # enough commands to fill every batch
            batcher.put(chunk(request(), key=key))
        found += [item for item in batcher.next_batch(0.0) if item.request is file]
        num_batches += 1
        assert num_batches <= 80
    assert found == items


def test_two_long_files_share_the_machine() -> None:
    batcher = Batcher(4, 2)
    first, second = request(), request()
    put(batcher, first, 100)
    put(batcher, second, 100)
    taken = [item.request for _ in range(20) for item in batcher.next_batch(0.0)]
    assert abs(taken.count(first) - taken.count(second)) <= 4


def test_request_takes_no_more_than_its_share_while_others_wait() -> None:
    batcher = Batcher(4, 2)
    file = request()
    put(batcher, file, 8)
    for _ in range(8):
        batcher.put(chunk(request()))
    first = [item.request for item in batcher.next_batch(0.0)]
    assert first.count(file) == 2


def test_given_up_chunk_leaves_before_it_costs_anything() -> None:
    batcher = Batcher(4, 2)
    gone, stays = chunk(request()), chunk(request())
    batcher.put(gone)
    batcher.put(stays)
    gone.request.cancel()
    assert batcher.next_batch(0.0) == [stays]
    assert len(batcher) == 0


def test_expired_chunk_leaves_before_it_costs_anything() -> None:
    batcher = Batcher(4, 2)
    late, early = chunk(request(deadline_s=10.0)), chunk(request(deadline_s=10.1))
    batcher.put(late)
    batcher.put(early)
    assert batcher.next_batch(10.0) == [early]
    with pytest.raises(DeadlineExceeded):
        late.request.future.result(0)
    assert not early.request.is_done


def test_expired_chunk_leaves_though_no_batch_is_due() -> None:
    batcher = Batcher(4, 2, max_wait_s=60.0)
    late = chunk(request(deadline_s=10.0))
    batcher.put(late)
    assert batcher.next_batch(10.0) == []
    assert late.request.is_done
    assert len(batcher) == 0


def test_long_windows_make_smaller_batches() -> None:
    batcher = Batcher(8, 8, max_batch_frames=12_000)
    for frames, size in ((3000, 4), (1000, 8), (20_000, 1)):
        put(batcher, request(), 9, BatchKey(DecodePlan(), 4, frames))
        assert len(batcher.next_batch(0.0)) == size
        batcher.drain()


def test_workers_share_what_waits() -> None:
    batcher = Batcher(4, 4, num_sharing=2)
    put(batcher, request(), 11)
    assert [len(batch) for batch in batches(batcher)] == [4, 4, 2, 1]


def test_wait_window_holds_a_batch_back_until_it_is_due() -> None:
    batcher = Batcher(4, 4, max_wait_s=0.5)
    item = chunk(request(), put_s=10.0)
    batcher.put(item)
    assert batcher.next_batch(10.4) == []
    assert batcher.wait_s(10.4) == pytest.approx(0.1)
    assert batcher.wait_s(11.0) == 0.0
    assert batcher.next_batch(10.5) == [item]


def test_wait_window_counts_from_the_oldest() -> None:
    batcher = Batcher(4, 4, max_wait_s=0.5)
    items = [chunk(request(), put_s=10.0), chunk(request(), put_s=10.4)]
    for item in items:
        batcher.put(item)
    assert batcher.next_batch(10.5) == items


def test_full_batch_does_not_wait_for_its_window() -> None:
    batcher = Batcher(2, 2, max_wait_s=60.0)
    items = [chunk(request()) for _ in range(3)]
    for item in items:
        batcher.put(item)
    assert batcher.next_batch(0.0) == items[:2]
    assert batcher.next_batch(0.0) == []


def test_chunks_of_two_keys_together_fill_no_batch() -> None:
    batcher = Batcher(2, 2, max_wait_s=60.0)
    batcher.put(chunk(request()))
    batcher.put(chunk(request(), key=OTHER_KEY))
    assert batcher.next_batch(0.0) == []


def test_drain_gives_everything_and_forgets_it() -> None:
    batcher = Batcher(4, 2)
    items = put(batcher, request(), 10)
    assert batcher.drain() == items
    assert len(batcher) == 0
    assert batcher.next_batch(0.0) == []


def test_what_is_known_of_past_requests_does_not_grow() -> None:
    batcher = Batcher(4, 2)
    for _ in range(200):
        put(batcher, request(), 3)
        batches(batcher)
    assert len(batcher._credit) <= 1


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
def test_every_chunk_comes_out_once_or_its_request_is_done(
    steps: list[tuple[str, int]], max_batch_size: int, share: int, max_wait_s: float
) -> None:
    batcher = Batcher(max_batch_size, min(share, max_batch_size), max_wait_s)
    owners = [request(deadline_s=8.0 if i == 0 else None) for i in range(6)]
    keys = [KEY, OTHER_KEY]
    now_s = 0.0
    queued: list[PendingChunk] = []
    taken: list[PendingChunk] = []

    def take() -> bool:
        batch = batcher.next_batch(now_s)
        assert len(batch) <= max_batch_size
        assert len({item.key for item in batch}) <= 1
        assert not any(item.request.is_done for item in batch)
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
    assert len(taken) == len(set(map(id, taken)))
    for item in queued:
        assert item in taken or item.request.is_done
    for owner in owners:  # a request's chunks leave in their order
        indexes = [item.index for item in taken if item.request is owner]
        assert indexes == sorted(indexes)


def exact_chunk(num_rows: int) -> PendingChunk:
    plan = DecodePlan(num_beams=num_rows, early_stopping=False, is_exact=True)
    return chunk(Request(TranscribeOptions(), plan=plan), key=BatchKey.of(plan, 4))


def test_exact_chunks_join_live_ones_as_far_as_there_is_room() -> None:
    batcher = Batcher(8, 8, max_exact_rows=10)
    items = [exact_chunk(3) for _ in range(4)]
    for item in items:
        batcher.put(item)
    assert batcher.next_batch(0.0, num_live_rows=3) == items[:2]
    assert batcher.next_batch(0.0, num_live_rows=9) == []
    assert batcher.next_batch(0.0, num_live_rows=0) == items[2:]


def test_exact_chunk_does_not_overtake_one_that_has_no_room() -> None:
    batcher = Batcher(8, 8, max_exact_rows=10)
    large, small, native = exact_chunk(9), exact_chunk(1), chunk(request())
    for item in (large, small, native):
        batcher.put(item)
    assert batcher.next_batch(0.0, num_live_rows=4) == [native]
    assert batcher.next_batch(0.0, num_live_rows=4) == []
    assert batcher.next_batch(0.0, num_live_rows=1) == [large]
    assert batcher.next_batch(0.0, num_live_rows=10) == []
    assert batcher.next_batch(0.0) == [small]


def test_chunk_that_needs_more_rows_than_there_are_goes_alone() -> None:
    batcher = Batcher(8, 8, max_exact_rows=10)
    huge, small = exact_chunk(12), exact_chunk(1)
    batcher.put(huge)
    batcher.put(small)
    assert batcher.next_batch(0.0, num_live_rows=1) == []
    assert batcher.next_batch(0.0) == [huge]
    assert batcher.next_batch(0.0) == [small]


def test_native_batch_between_exact_steps_comes_at_its_turn() -> None:
    batcher = Batcher(8, 8)
    first, native, last = exact_chunk(1), chunk(request()), exact_chunk(1)
    for item in (first, native, last):
        batcher.put(item)
    found = [batcher.next_batch(0.0, num_live_rows=1) for _ in range(3)]
    assert found == [[first, last], [native], []]


def sizes(batcher: Batcher) -> list[int]:
    return [len(batch) for batch in batches(batcher)]


def test_batch_that_did_not_fit_halves_those_like_it_and_no_others() -> None:
    batcher = Batcher(8, 8)
    assert batcher.did_not_fit(KEY, 8) == 4
    longer = BatchKey(DecodePlan(max_new_tokens=5), 7)  # needs as much memory
    short_window = BatchKey(DecodePlan(), 4, num_frames=500)
    for key, expected in [
        (KEY, [4, 4, 1]),
        (longer, [4, 4, 1]),
        (OTHER_KEY, [8, 1]),
        (short_window, [8, 1]),
    ]:
        put(batcher, request(), 9, key)
        assert sizes(batcher) == expected


def test_limit_only_goes_down_and_no_news_is_told_twice() -> None:
    batcher = Batcher(8, 8)
    assert batcher.did_not_fit(KEY, 5) == 2
    assert batcher.did_not_fit(KEY, 8) is None  # was under way already
    put(batcher, request(), 4)
    assert sizes(batcher) == [2, 2]
    assert batcher.did_not_fit(KEY, 2) == 1
    assert batcher.did_not_fit(KEY, 1) is None


def test_full_batch_is_one_that_fits_and_does_not_wait() -> None:
    batcher = Batcher(8, 8, max_wait_s=1.0)
    batcher.did_not_fit(KEY, 8)
    put(batcher, request(), 4)
    assert len(batcher.next_batch(0.0)) == 4


def test_exact_lane_that_did_not_fit_takes_half_the_rows() -> None:
    batcher = Batcher(8, 8)
    exact = DecodePlan(is_exact=True, num_beams=4)
    key = BatchKey.of(exact, 4)
    assert batcher.did_not_fit(key, 16) == 8
    owners = [Request(TranscribeOptions(), plan=exact, language="en") for _ in range(5)]
    for owner in owners:
        batcher.put(chunk(owner, key=key))
    assert sizes(batcher) == [2, 2, 1]
    put(batcher, request(), 9)
    assert sizes(batcher) == [8, 1]
