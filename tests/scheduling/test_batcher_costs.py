"""Turns by cost: beams and tokens count, and what cannot be interrupted leaves a worker free."""

from __future__ import annotations

import pytest

from batches import chunk, put
from pending import new_request
from talkmill.engine import Request
from talkmill.engine.decoding.effort import effort
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.batcher import Batcher, Turn

BEAMS = DecodePlan(Strategy.BEAM, num_beams=5, patience=1.0)
HEAVY = DecodePlan(Strategy.BEAM, num_beams=16, patience=10.0)


def new_batcher(num_workers: int = 2) -> Batcher:
    return Batcher(4, 2, num_workers=num_workers)


def put_plan(batcher: Batcher, plan: DecodePlan, count: int) -> Request:
    owner = new_request(plan=plan)
    put(batcher, owner, count, BatchKey.of(plan, 4))
    return owner


def owners(turn: Turn) -> list[Request]:
    return [item.request for item in turn.batch]


def test_effort_counts_rows_and_tokens() -> None:
    assert effort(DecodePlan()) == 1
    assert effort(BEAMS) == pytest.approx(1.4)
    assert effort(HEAVY) > 9
    assert effort(DecodePlan(max_new_tokens=10)) < 0.6
    assert effort(DecodePlan(is_endless=True)) > 2


def test_share_is_of_the_batch_that_the_window_allows() -> None:
    batcher = Batcher(8, 4, max_batch_positions=6_000)  # four windows of 30 s
    file, commands = new_request(), [new_request() for _ in range(4)]
    put(batcher, file, 8)
    for command in commands:
        put(batcher, command, 1)
    assert owners(batcher.next_batch(0.0)) == [file, file, *commands[:2]]


def test_request_with_beams_has_fewer_chunks_in_its_turn() -> None:
    batcher = new_batcher()
    beams = put_plan(batcher, BEAMS, 100)
    plain = put_plan(batcher, DecodePlan(), 100)
    taken = [one for _ in range(30) for one in owners(batcher.next_batch(0.0))]
    assert 1 < taken.count(plain) / taken.count(beams) < 2


def test_heavy_chunk_runs_alone() -> None:
    batcher = new_batcher()
    put_plan(batcher, HEAVY, 3)
    assert len(batcher.next_batch(0.0).batch) == 1


def test_heavy_chunks_of_several_requests_leave_a_worker_free() -> None:
    batcher = new_batcher()
    heavy = [put_plan(batcher, HEAVY, 2) for _ in range(3)]
    first = batcher.next_batch(0.0)
    assert (owners(first), first.is_slow) == ([heavy[0]], True)
    assert batcher.next_batch(0.0).batch == []
    assert batcher.wait_s(0.0) is None  # a worker would ask again and again
    command = chunk(new_request())
    batcher.put(command)
    assert batcher.wait_s(0.0) == 0
    light = batcher.next_batch(0.0)
    assert (light.batch, light.is_slow) == ([command], False)
    batcher.finished(light)
    assert batcher.next_batch(0.0).batch == []
    batcher.finished(first)
    assert owners(batcher.next_batch(0.0)) == [heavy[1]]


def test_heavy_chunks_run_where_there_is_one_worker() -> None:
    batcher = new_batcher(num_workers=1)
    put_plan(batcher, HEAVY, 2)
    turn = batcher.next_batch(0.0)
    batcher.finished(turn)
    assert batcher.next_batch(0.0).batch


def serve_command(batcher: Batcher, now_s: float) -> None:
    """Have a command come and be answered."""
    command = new_request()
    batcher.put(chunk(command, put_s=now_s))
    turn = batcher.next_batch(now_s)
    assert owners(turn) == [command]
    command.cancel()  # done, as if it was answered
    batcher.finished(turn)


def test_file_after_its_first_turn_leaves_a_worker_free_while_commands_come() -> None:
    batcher = new_batcher()
    serve_command(batcher, 100.0)
    put(batcher, new_request(), 100)
    first = batcher.next_batch(100.0)  # its first turn, of two chunks
    assert (len(first.batch), first.is_slow) == (2, False)
    later = batcher.next_batch(100.0)
    assert (len(later.batch), later.is_slow) == (2, True)
    assert batcher.next_batch(105.0).batch == []
    # Once no command comes any more, it has the whole machine.
    assert len(batcher.next_batch(111.0).batch) == 4


def test_command_does_not_wait_for_a_file_in_its_batch_while_commands_come() -> None:
    batcher = new_batcher()
    put(batcher, new_request(), 100)
    batcher.next_batch(99.0)
    command = chunk(new_request(), put_s=99.0)
    batcher.put(command)
    mixed = batcher.next_batch(99.0)
    assert command in mixed.batch
    command.request.cancel()
    batcher.finished(mixed)
    another = chunk(new_request(), put_s=100.0)
    batcher.put(another)
    turns = [batcher.next_batch(100.0) for _ in range(2)]
    assert [another] in [turn.batch for turn in turns]


def test_batcher_tells_whether_the_next_chunk_waits_for_the_exact_lane() -> None:
    batcher = Batcher(4, 2)
    assert not batcher.is_exact_first
    put_plan(batcher, DecodePlan(is_exact=True), 1)
    put_plan(batcher, DecodePlan(), 1)
    assert batcher.is_exact_first
    batcher.next_batch(0.0)
    assert not batcher.is_exact_first
