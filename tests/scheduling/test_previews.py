"""Previews of live sessions give way to everything else."""

from __future__ import annotations

from dataclasses import replace

from batches import all_batches, chunk, put
from pending import new_request
from talkmill.engine import Request
from talkmill.engine.scheduling.batcher import Batcher


def preview() -> Request:
    request = new_request()
    request.checked = replace(request.checked, is_interim=True)
    return request


def test_previews_come_after_everything_else() -> None:
    batcher = Batcher(4, 2)
    first = chunk(preview())
    batcher.put(first)
    items = put(batcher, new_request(), 6)
    assert all_batches(batcher) == [items[:4], items[4:], [first]]


def test_previews_share_no_batch_with_others() -> None:
    batcher = Batcher(4, 2)
    early, final = chunk(preview()), chunk(new_request())
    batcher.put(early)
    batcher.put(final)
    assert all_batches(batcher) == [[final], [early]]


def test_previews_share_a_batch_of_at_most_a_turn() -> None:
    batcher = Batcher(4, 2)
    items = [chunk(preview()) for _ in range(5)]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items[:2], items[2:4], items[4:]]


def test_previews_take_no_turns_of_files() -> None:
    with_previews, without = Batcher(4, 2), Batcher(4, 2)
    for batcher in (with_previews, without):
        for _ in range(20):
            if batcher is with_previews:
                batcher.put(chunk(preview()))
                batcher.next_batch(0.0)
        file, command = put(batcher, new_request(), 10), chunk(new_request())
        batcher.put(command)
        order = [[*file, command].index(item) for batch in all_batches(batcher) for item in batch]
        if batcher is with_previews:
            expected = order
    assert order == expected


def test_a_preview_that_is_done_is_no_command_for_which_files_make_room() -> None:
    batcher = Batcher(8, 4, num_workers=2)
    seen = chunk(preview())
    batcher.put(seen)
    turn = batcher.next_batch(0.0)
    seen.request.cancel()
    batcher.finished(turn)
    items = [replace(chunk(new_request(), 100 + n), index=1) for n in range(8)]
    for item in items:
        batcher.put(item)
    assert len(batcher.next_batch(0.0).batch) == 8


def test_previews_do_not_count_as_waiting_and_run_beside_no_exact_rows() -> None:
    batcher = Batcher(4, 2)
    batcher.put(chunk(preview()))
    assert len(batcher) == 0
    assert batcher.next_batch(0.0, num_live_rows=1).batch == []
    assert len(batcher.next_batch(0.0).batch) == 1


def test_the_utterance_of_a_long_session_is_no_later_turn_of_a_file() -> None:
    batcher = Batcher(4, 2, turn_s=60.0, num_workers=2)
    late = replace(chunk(new_request(), 100), index=0)
    batcher.put(late)
    [(place, _)] = batcher._queue
    assert place.is_first
