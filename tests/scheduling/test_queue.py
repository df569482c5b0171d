from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from fakes import PATIENCE_S
from pending import new_request, pending_chunk
from talkmill.engine import DeadlineExceeded
from talkmill.engine.scheduling.batcher import Batcher
from talkmill.engine.scheduling.queue import ChunkQueue


def new_queue(max_waiting: int = 100) -> ChunkQueue:
    return ChunkQueue(Batcher(4, 4), max_waiting)


def in_thread(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_worker_waits_until_a_chunk_is_put() -> None:
    queue = new_queue()
    taken: list[object] = []
    worker = in_thread(lambda: taken.extend(queue.take()))
    item = pending_chunk(new_request())
    queue.put(item)
    worker.join(PATIENCE_S)
    assert taken == [item]


def test_late_request_fails_outside_the_lock_of_the_queue() -> None:
    queue = new_queue()
    late, early = new_request(deadline_s=0.0), new_request()
    waiting: list[int] = []
    # Under the lock this would wait for ever.
    late.future.add_done_callback(lambda _: waiting.append(queue.num_waiting))
    kept = pending_chunk(early)
    queue.put(pending_chunk(late))
    queue.put(kept)

    taken: list[object] = []
    worker = in_thread(lambda: taken.extend(queue.take()))
    worker.join(PATIENCE_S)

    assert taken == [kept]
    assert waiting == [0]
    with pytest.raises(DeadlineExceeded):
        late.future.result(0)


def test_late_request_fails_though_no_batch_is_due() -> None:
    queue = new_queue()
    late = new_request(deadline_s=0.0)
    queue.put(pending_chunk(late))
    worker = in_thread(queue.take)
    assert isinstance(late.future.exception(PATIENCE_S), DeadlineExceeded)
    queue.close()
    worker.join(PATIENCE_S)
    assert not worker.is_alive()


def test_feeder_waits_for_room_until_a_batch_is_taken() -> None:
    queue = new_queue(max_waiting=1)
    assert queue.wait_for_room()
    queue.put(pending_chunk(new_request()))
    found: list[bool] = []
    feeder = in_thread(lambda: found.append(queue.wait_for_room()))
    assert found == []
    queue.take()
    feeder.join(PATIENCE_S)
    assert found == [True]


def test_closing_wakes_workers_and_feeders() -> None:
    queue = new_queue(max_waiting=0)
    found: list[object] = []
    threads = [
        in_thread(lambda: found.append(queue.take())),
        in_thread(lambda: found.append(queue.wait_for_room())),
    ]
    queue.close()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(map(bool, found)) == [False, False]
    assert len(found) == 2


def test_closed_queue_gives_nothing_out_but_what_is_drained() -> None:
    queue = new_queue()
    item = pending_chunk(new_request())
    queue.put(item)
    queue.close()
    assert queue.take() == queue.take_between_steps(1) == []
    assert queue.drain() == [item]
    assert queue.num_waiting == 0


def test_nothing_waits_between_the_steps_of_the_exact_lane() -> None:
    queue = new_queue()
    assert queue.take_between_steps(num_live_rows=1) == []
    item = pending_chunk(new_request())
    queue.put(item)
    assert queue.take_between_steps(num_live_rows=1) == [item]
