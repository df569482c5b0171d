"""A suspect answer in a fitted window is decoded again in the full window, once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from fakes import PATIENCE_S, FakeModel, words
from pending import fitted_chunk, new_request, text
from talkmill.engine import (
    EncoderWindow,
    ModelError,
    NotReady,
    Request,
    Segment,
    TranscribeOptions,
)
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.scheduling.chunk_cost import ChunkCost
from talkmill.engine.scheduling.window_guard import MIN_CHUNKS
from talkmill.engine.types import Features
from worker_bench import Bench

FULL = FULL_WINDOW.num_frames
LOOP, ALWAYS_LOOP = 20, 30
lanes = pytest.mark.parametrize(
    "plan", [DecodePlan(), DecodePlan(is_exact=True)], ids=["native", "exact"]
)


@pytest.fixture
def model(model: FakeModel) -> FakeModel:
    model.loops = frozenset({LOOP})
    model.endless_loops = frozenset({ALWAYS_LOOP})
    return model


@pytest.fixture
def bench(new_bench: Callable[..., Bench], model: FakeModel) -> Bench:
    return new_bench(model)


def windows(bench: Bench) -> list[tuple[int, ...]]:
    """Return the frames of each row of each batch that was encoded."""
    return [batch.num_frames for batch in bench.model.encoded]


@lanes
def test_words_of_the_full_window_take_the_place_of_a_loop(bench: Bench, plan: DecodePlan) -> None:
    request = bench.put(LOOP, plan=plan, fitted_s=1.0)
    assert text(request) == words(LOOP)
    assert windows(bench) == [(160,), (FULL,)]
    assert bench.guard.num_fallbacks == 1


@lanes
def test_right_answer_is_taken_at_once(bench: Bench, plan: DecodePlan) -> None:
    assert text(bench.put(10, plan=plan, fitted_s=1.0)) == words(10)
    assert windows(bench) == [(160,)]
    assert bench.guard.num_fallbacks == 0


@lanes
def test_answer_that_is_suspect_in_the_full_window_too_is_accepted(
    bench: Bench, plan: DecodePlan
) -> None:
    request = bench.put(ALWAYS_LOOP, plan=plan, fitted_s=1.0)
    assert text(request) == " ".join([words(ALWAYS_LOOP)] * 9)
    assert windows(bench) == [(160,), (FULL,)]
    assert bench.guard.num_fallbacks == 1


@lanes
def test_loop_in_the_full_window_is_not_decoded_again(bench: Bench, plan: DecodePlan) -> None:
    assert text(bench.put(ALWAYS_LOOP, plan=plan)) == " ".join([words(ALWAYS_LOOP)] * 9)
    assert windows(bench) == [(FULL,)]
    assert bench.guard.num_fallbacks == 0


@lanes
def test_other_chunks_of_the_request_are_decoded_once_and_keep_their_order(
    bench: Bench, plan: DecodePlan
) -> None:
    request = new_request(plan=plan)
    bench.hold_with_another()
    places = enumerate((10, LOOP, 40))
    bench.put_chunks(request, *(fitted_chunk(request, b, 1.0, i, 5.0 * i) for i, b in places))
    bench.model.release()
    transcript = request.future.result(PATIENCE_S)
    assert [one.text.strip() for one in transcript.segments] == [words(b) for b in (10, LOOP, 40)]
    assert [one.start_s for one in transcript.segments] == [0.0, 5.0, 10.0]
    assert windows(bench) == [(FULL,), (160, 160, 160), (FULL,)]
    assert bench.model.bands == [79, 10, LOOP, 40, LOOP]


@lanes
def test_other_requests_of_the_batch_are_decoded_once(bench: Bench, plan: DecodePlan) -> None:
    bench.hold_with_another()
    requests = [bench.put(band, plan=plan, fitted_s=1.0) for band in (10, LOOP, 40)]
    bench.model.release()
    assert [text(request) for request in requests] == [words(band) for band in (10, LOOP, 40)]
    assert [batch.bands for batch in bench.model.encoded] == [(79,), (10, LOOP, 40), (LOOP,)]


def test_batches_of_both_attempts_count(bench: Bench) -> None:
    bench.hold_with_another()
    once, twice = (bench.put(band, fitted_s=1.0) for band in (10, LOOP))
    bench.model.release()
    sizes = [one.future.result(PATIENCE_S).timings.mean_batch_size for one in (once, twice)]
    assert sizes == [2.0, 1.5]  # with the other, then alone
    assert bench.pool.stats.num_chunks == 4


def test_second_attempt_waits_from_when_it_was_put(bench: Bench) -> None:
    class Recorded(Request):
        costs: tuple[ChunkCost, ...] = ()

        def chunk_repeated(self, cost: ChunkCost) -> None:
            self.costs = (*self.costs, cost)
            super().chunk_repeated(cost)

        def chunk_done(
            self, index: int, segments: list[Segment], cost: ChunkCost, num_written: int = 0
        ) -> None:
            self.costs = (*self.costs, cost)
            super().chunk_done(index, segments, cost, num_written)

    request = Recorded(new_request().checked)
    long_ago_s = time.monotonic() - 1000
    bench.put_chunks(request, replace(fitted_chunk(request, LOOP, 1.0), put_s=long_ago_s))
    request.future.result(PATIENCE_S)
    first, second = request.costs
    assert second.queue_s < 1000 <= first.queue_s


def test_request_says_that_its_windows_were_fitted(bench: Bench) -> None:
    fitted = bench.put(LOOP, fitted_s=1.0).future.result(PATIENCE_S)
    full = bench.put(10).future.result(PATIENCE_S)
    assert fitted.encoder_window is EncoderWindow.FITTED
    assert full.encoder_window is EncoderWindow.FULL


@lanes
def test_chunk_that_nobody_waits_for_is_not_decoded_again(bench: Bench, plan: DecodePlan) -> None:
    bench.model.hold()
    request = bench.put(LOOP, plan=plan, fitted_s=1.0)
    bench.model.wait_for_calls(1)
    request.cancel()
    bench.model.release()
    assert text(bench.put(10)) == words(10)
    assert bench.model.bands == [LOOP, 10]


@lanes
def test_full_window_that_the_model_fails_on_fails_the_request(
    new_bench: Callable[..., Bench], tokenizer: WhisperTokenizer, plan: DecodePlan
) -> None:
    class FailsInFullWindows(FakeModel):
        def encode(self, features: Sequence[Features], num_positions: int) -> Features:
            if any(row.shape[1] == FULL for row in features):
                raise RuntimeError("out of order")
            return super().encode(features, num_positions)

    bench = new_bench(FailsInFullWindows(tokenizer))
    bench.model.loops = frozenset({LOOP})
    failed = bench.put(LOOP, plan=plan, fitted_s=1.0)
    assert isinstance(failed.future.exception(PATIENCE_S), ModelError)
    assert text(bench.put(10, plan=plan, fitted_s=1.0)) == words(10)
    assert bench.pool.stats.num_failed_chunks == 1


@lanes
def test_closing_fails_a_chunk_that_waits_for_its_second_attempt(
    bench: Bench, plan: DecodePlan
) -> None:
    bench.model.hold()
    request = bench.put(LOOP, plan=plan, fitted_s=1.0)
    bench.model.wait_for_calls(1)
    closer = threading.Thread(target=bench.pool.close)
    closer.start()
    while not bench.queue.is_closed:  # the pool closes it before it joins its threads
        closer.join(0.001)
    bench.model.release()
    closer.join(PATIENCE_S)
    assert isinstance(request.future.exception(0), NotReady)
    assert windows(bench) == [(160,)]


def test_loop_is_cut_at_the_most_tokens_that_speech_has(bench: Bench) -> None:
    text(bench.put(10, fitted_s=1.0))
    text(bench.put(10))
    plans = [batch.plan for batch in bench.model.generated]
    assert [plan.max_new_tokens for plan in plans if plan] == [24 + 16, DecodePlan().max_new_tokens]


def test_limit_of_the_request_comes_before_that_of_a_loop(bench: Bench) -> None:
    text(bench.put(10, plan=DecodePlan(max_new_tokens=5), fitted_s=1.0))
    plan = DecodePlan(is_exact=True, min_new_tokens=60, max_new_tokens=100)
    text(bench.put(10, plan=plan, fitted_s=1.0))
    plans = [batch.plan for batch in bench.model.generated]
    assert [plan.max_new_tokens for plan in plans if plan] == [5, 60]


def test_reason_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="talkmill"):
        text(bench.put(LOOP, fitted_s=1.0))
    (message,) = (text for text in caplog.messages if "decoded again" in text)
    assert message.endswith("decoded again: 45 tokens for 1.0 s of audio")


def test_windows_are_given_up_for_a_model_that_often_loops_in_them(bench: Bench) -> None:
    for _ in range(MIN_CHUNKS):
        bench.put(LOOP, fitted_s=1.0).future.result(PATIENCE_S)
    assert bench.guard.num_fallbacks == MIN_CHUNKS
    assert bench.guard.choose(EncoderWindow.FITTED, 16_000) is FULL_WINDOW


def test_windows_are_kept_where_the_full_window_does_no_better(bench: Bench) -> None:
    for i in range(2 * MIN_CHUNKS):
        bench.put(10 if i % 2 else ALWAYS_LOOP, fitted_s=1.0).future.result(PATIENCE_S)
    assert bench.guard.num_fallbacks == MIN_CHUNKS
    assert bench.guard.choose(EncoderWindow.FITTED, 16_000).kind is EncoderWindow.FITTED


def test_timestamps_of_the_full_window_are_those_of_the_utterance(bench: Bench) -> None:
    request = new_request(options=TranscribeOptions(timestamps=True))
    bench.put_chunks(request, fitted_chunk(request, LOOP, 3.0, start_s=7.0))
    (segment,) = request.future.result(PATIENCE_S).segments
    assert (segment.text.strip(), segment.start_s, segment.end_s) == (words(LOOP), 8.0, 9.0)
