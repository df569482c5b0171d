"""Turns of long files and short commands: each gets its share of the batches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batches import KEY, OTHER_KEY, all_batches, chunk, put
from pending import new_request
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.batcher import Batcher
from talkmill.engine.scheduling.pending_chunk import PendingChunk


def test_long_file_takes_every_slot_that_no_other_request_needs() -> None:
    batcher = Batcher(4, 2)
    items = put(batcher, new_request(), 10)
    assert all_batches(batcher) == [items[:4], items[4:8], items[8:]]


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
def test_short_command_does_not_wait_for_a_long_file(key: BatchKey) -> None:
    batcher = Batcher(4, 2)
    put(batcher, new_request(), 1000)
    batcher.next_batch(0.0)
    command = chunk(new_request(), key=key)
    batcher.put(command)
    soon = [item for _ in range(2) for item in batcher.next_batch(0.0).batch]
    assert command in soon


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
def test_short_command_does_not_wait_for_a_file_that_had_the_machine_to_itself(
    key: BatchKey,
) -> None:
    batcher = Batcher(4, 2)
    put(batcher, new_request(), 1000)
    for _ in range(100):
        batcher.next_batch(0.0)
    command = chunk(new_request(), key=key)
    batcher.put(command)
    soon = [item for _ in range(2) for item in batcher.next_batch(0.0).batch]
    assert command in soon


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
def test_long_file_is_not_starved_by_short_commands(key: BatchKey) -> None:
    batcher = Batcher(4, 2)
    file = new_request()
    items = put(batcher, file, 40)
    found: list[PendingChunk] = []
    num_batches = 0
    while len(found) < len(items):
        for _ in range(4):  # enough commands to fill every batch
            batcher.put(chunk(new_request(), key=key))
        found += [item for item in batcher.next_batch(0.0).batch if item.request is file]
        num_batches += 1
        assert num_batches <= 95  # about a turn of 2 in 9, of 8 commands and its own
    assert found == items


def test_two_long_files_share_the_machine() -> None:
    batcher = Batcher(4, 2)
    first, second = new_request(), new_request()
    put(batcher, first, 100)
    put(batcher, second, 100)
    taken = [item.request for _ in range(20) for item in batcher.next_batch(0.0).batch]
    assert abs(taken.count(first) - taken.count(second)) <= 4


def test_request_takes_no_more_than_its_share_while_others_wait() -> None:
    batcher = Batcher(4, 2)
    file = new_request()
    put(batcher, file, 8)
    for _ in range(8):
        batcher.put(chunk(new_request()))
    first = [item.request for item in batcher.next_batch(0.0).batch]
    assert first.count(file) == 2


def test_chunk_that_is_decoded_again_comes_first_and_its_request_pays() -> None:
    batcher = Batcher(4, 2)
    failing, other = new_request(), new_request()
    put(batcher, other, 8)
    again = replace(chunk(failing), num_attempts=1)
    batcher.put(again)
    rest = chunk(failing, 1)
    batcher.put(rest)

    order = [item for batch in all_batches(batcher) for item in batch]

    assert order[0] is again
    assert order.index(rest) > 2
