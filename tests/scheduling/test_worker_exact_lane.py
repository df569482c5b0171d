"""Workers in the exact lane: chunks that join, fail, run out of memory, and are closed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fakes import PATIENCE_S, FakeModel, words
from pending import text
from talkmill.engine import ModelError, NotReady
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.tokenizer import WhisperTokenizer
from worker_bench import Bench

EXACT = DecodePlan(is_exact=True)


def test_exact_lane_that_ran_out_of_memory_starts_again_smaller(
    new_bench: Callable[..., Bench], tokenizer: WhisperTokenizer
) -> None:
    bench = new_bench(FakeModel(tokenizer))
    bench.model.max_rows = 1
    bench.hold_with_another()
    requests = [bench.put(band, plan=EXACT) for band in (10, 20, 30, 40)]
    bench.model.release()
    assert [text(request) for request in requests] == [words(band) for band in (10, 20, 30, 40)]
    bench.model.forget()
    bench.hold_with_another()
    requests = [bench.put(band, plan=EXACT) for band in (10, 20, 30, 40)]
    bench.model.release()
    assert [text(request) for request in requests] == [words(band) for band in (10, 20, 30, 40)]
    assert [len(batch.bands) for batch in bench.model.encoded[:2]] == [1, 2]


def test_chunk_of_the_exact_lane_joins_those_that_are_live(bench: Bench) -> None:
    bench.model.hold()
    early = bench.put(10, plan=EXACT)
    bench.model.wait_for_calls(1)
    late = bench.put(20, plan=EXACT)
    bench.model.release()
    assert [text(early), text(late)] == [words(10), words(20)]
    sizes = [one.future.result(0).timings.mean_batch_size for one in (early, late)]
    assert sizes == [1, 2]
    assert bench.pool.stats.num_chunks == 2


def test_native_batch_runs_between_the_steps_of_the_exact_lane(bench: Bench) -> None:
    bench.model.hold()
    exact = bench.put(10, plan=EXACT)
    bench.model.wait_for_calls(1)
    native = bench.put(20)
    bench.model.release()
    assert [text(exact), text(native)] == [words(10), words(20)]
    bench.pool.close()
    assert bench.done == [native, exact]


def test_chunk_that_fails_in_the_exact_lane_fails_alone(bench: Bench) -> None:
    bench.model.poisoned = frozenset({20})
    bench.model.hold()
    live = bench.put(10, plan=EXACT)
    bench.model.wait_for_calls(1)
    poisoned, healthy = bench.put(20, plan=EXACT), bench.put(30, plan=EXACT)
    bench.model.release()
    assert type(poisoned.future.exception(PATIENCE_S)) is ModelError
    assert [text(live), text(healthy)] == [words(10), words(30)]
    assert bench.pool.stats.num_failed_chunks == 1


def test_device_lost_in_the_exact_lane_is_not_tried_again(bench: Bench) -> None:
    bench.model.is_lost = True
    request = bench.put(10, plan=EXACT)
    assert isinstance(request.future.exception(PATIENCE_S), ModelError)
    bench.pool.close()
    assert len(bench.model.encoded) == 1
    assert bench.lost


def test_closing_finishes_what_is_live_in_the_exact_lane(bench: Bench) -> None:
    bench.model.hold()
    live = bench.put(10, plan=EXACT)
    bench.model.wait_for_calls(1)
    waiting = bench.put(20, plan=EXACT)
    closer = threading.Thread(target=bench.pool.close)
    closer.start()
    while not bench.queue.is_closed:
        closer.join(0.001)
    bench.model.release()
    closer.join(PATIENCE_S)
    assert text(live) == words(10)
    assert isinstance(waiting.future.exception(0), NotReady)
