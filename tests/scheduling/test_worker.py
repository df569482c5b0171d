"""Workers in the native lane: batches that succeed, fail or run out of memory, and closing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes import PATIENCE_S, FakeModel, tokenizer_file, words
from pending import text
from talkmill.engine import DeviceLost, ModelError, NotReady, Segment
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.tokenizer import WhisperTokenizer
from worker_bench import Bench


def test_each_request_of_a_batch_gets_its_own_words(bench: Bench) -> None:
    requests = bench.put_together(5, 50, 7, 70)
    assert [text(request) for request in requests] == [words(band) for band in (5, 50, 7, 70)]
    assert [batch.bands for batch in bench.model.encoded] == [(79,), (5, 50, 7, 70)]


@pytest.mark.parametrize("plan", [DecodePlan(), DecodePlan(is_exact=True)])
def test_chunks_in_fitted_windows_of_other_lengths_share_a_batch(
    bench: Bench, plan: DecodePlan
) -> None:
    bench.hold_with_another()
    lengths_s = {5: 1.0, 50: 4.5, 70: 1.1}
    requests = [bench.put(band, plan=plan, fitted_s=s) for band, s in lengths_s.items()]
    bench.model.release()
    assert [text(request) for request in requests] == [words(band) for band in lengths_s]
    assert [batch.num_frames for batch in bench.model.encoded] == [(3000,), (160, 520, 180)]


def test_batch_is_counted_and_its_cost_is_shared(bench: Bench) -> None:
    requests = bench.put_together(5, 50, 7)
    timings = [request.future.result(PATIENCE_S).timings for request in requests]
    assert all(timing.mean_batch_size == 3 for timing in timings)
    assert (bench.pool.stats.num_batches, bench.pool.stats.num_chunks) == (2, 4)
    assert bench.pool.stats.mean_batch_size == 2


@pytest.mark.parametrize("place", range(5))
def test_poisoned_chunk_fails_alone(bench: Bench, place: int) -> None:
    bands = [10, 20, 30, 40, 50]
    bench.model.poisoned = frozenset({bands[place]})
    requests = bench.put_together(*bands)
    poisoned = requests.pop(place)
    error = poisoned.future.exception(PATIENCE_S)
    assert type(error) is ModelError
    assert isinstance(error.__cause__, RuntimeError)
    assert [text(request) for request in requests] == [
        words(band) for band in bands if band != bands[place]
    ]
    assert bench.pool.stats.num_failed_chunks == 1
    assert bench.lost == []


def test_batch_too_large_for_the_memory_is_split_until_it_fits(bench: Bench) -> None:
    bench.model.max_rows = 2
    bands = [10, 20, 30, 40, 50, 60, 70]
    requests = bench.put_together(*bands)
    assert [text(request) for request in requests] == [words(band) for band in bands]
    assert bench.pool.stats.num_failed_chunks == 0


def test_size_that_was_too_large_for_the_memory_is_not_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.model.max_rows = 3
    bands = [10, 20, 30, 40, 50, 60, 70, 5]
    for request in bench.put_together(*bands):
        text(request)
    bench.model.forget()
    requests = bench.put_together(*bands)
    assert [text(request) for request in requests] == [words(band) for band in bands]
    assert [len(batch.bands) for batch in bench.model.encoded] == [1, 2, 2, 2, 2]
    logged = [message for message in caplog.messages if "out of memory with" in message]
    assert [message.split(":")[0] for message in logged] == [
        "out of memory with a batch of 8",
        "out of memory with a batch of 4",
    ]


def test_batch_that_fails_for_another_reason_leaves_the_size_as_it_is(bench: Bench) -> None:
    bench.model.poisoned = frozenset({10})
    for request in bench.put_together(10, 20, 30, 40):
        request.future.exception(PATIENCE_S)
    bench.model.forget()
    for request in bench.put_together(20, 30, 40, 50):
        text(request)
    assert [len(batch.bands) for batch in bench.model.encoded] == [1, 4]


def test_chunk_that_fails_after_its_language_was_detected_is_not_detected_again(
    tmp_path: Path, new_bench: Callable[..., Bench]
) -> None:
    tokenizer = WhisperTokenizer(tokenizer_file(tmp_path, languages=["de"]), True)
    bench = new_bench(FakeModel(tokenizer))
    bench.model.language = ("de", 0.5)
    request = bench.put(9, language=None)
    transcript = request.future.result(PATIENCE_S)
    assert (transcript.language, transcript.language_probability) == ("de", 0.5)
    assert bench.model.num_detections == 1
    expected = tokenizer.prompt("de", request.options.task, timestamps=False)
    assert bench.model.generated[0].prompts == (tuple(expected),)


def test_languages_meet_in_one_batch(tmp_path: Path, new_bench: Callable[..., Bench]) -> None:
    tokenizer = WhisperTokenizer(tokenizer_file(tmp_path, languages=["de"]), True)
    bench = new_bench(FakeModel(tokenizer))
    bench.model.language = ("de", 0.5)
    bench.model.hold()
    bench.put(1)
    bench.model.wait_for_calls(1)
    requests = [bench.put(2, language="en"), bench.put(3, language=None)]
    bench.model.release()
    languages = [request.future.result(PATIENCE_S).language for request in requests]
    assert languages == ["en", "de"]
    assert bench.model.generated[-1].bands == (2, 3)
    first, second = bench.model.generated[-1].prompts
    assert first != second


def test_lost_device_is_not_tried_again(bench: Bench) -> None:
    bench.hold_with_another()
    requests = [bench.put(band) for band in (10, 20, 30)]
    bench.model.is_lost = True
    bench.model.release()
    errors = [request.future.exception(PATIENCE_S) for request in requests]
    assert all(isinstance(error, ModelError) for error in errors)
    assert all(isinstance(error.__cause__, DeviceLost) for error in errors if error)
    assert [batch.bands for batch in bench.model.encoded] == [(79,), (10, 20, 30)]
    assert bench.lost


def test_listener_that_raises_fails_its_own_request_only(bench: Bench) -> None:
    def raise_(_: Segment) -> None:
        raise ValueError("a fault of the listener")

    bench.hold_with_another()
    before = bench.put(10)
    faulty = bench.put(20, on_segment=raise_)
    after = bench.put(30)
    bench.model.release()
    assert isinstance(faulty.future.exception(PATIENCE_S), ModelError)
    assert (text(before), text(after)) == (words(10), words(30))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_answers_that_are_not_as_many_as_chunks_fail_rather_than_mix(
    tokenizer: WhisperTokenizer, new_bench: Callable[..., Bench], place: int
) -> None:
    class Forgetful(FakeModel):
        def generate(
            self, encoded: NDArray[np.float32], prompts: list[list[int]], plan: DecodePlan
        ) -> list[Hypothesis]:
            answers = super().generate(encoded, prompts, plan)
            if len(answers) == 3:
                del answers[place]
            return answers

    bench = new_bench(Forgetful(tokenizer))
    requests = bench.put_together(10, 20, 30)
    assert [text(request) for request in requests] == [words(10), words(20), words(30)]


def test_request_given_up_in_the_queue_never_reaches_the_model(bench: Bench) -> None:
    bench.hold_with_another()
    gone, stays = bench.put(10), bench.put(20)
    gone.cancel()
    bench.model.release()
    assert text(stays) == words(20)
    assert 10 not in bench.model.bands


def test_options_of_the_request_reach_the_model(bench: Bench) -> None:
    plan = DecodePlan(num_beams=3, max_new_tokens=7)
    text(bench.put(10, plan=plan))
    assert bench.model.generated[0].plan == plan


def test_closing_fails_what_still_waits(bench: Bench) -> None:
    bench.model.hold()
    first = bench.put(10)
    bench.model.wait_for_calls(1)
    waiting = bench.put(20, plan=DecodePlan(num_beams=2))

    closer = threading.Thread(target=bench.pool.close)
    closer.start()
    while not bench.queue.is_closed:  # the pool closes it before it joins its threads
        closer.join(0.001)
    bench.model.release()
    closer.join(PATIENCE_S)
    assert text(first) == words(10)
    assert isinstance(waiting.future.exception(0), NotReady)


def test_listener_is_called_after_each_chunk(bench: Bench) -> None:
    called = threading.Event()
    bench.model.hold()
    request = bench.put(10)
    request.chunk_sent()  # another chunk, so that the request is not done after this one
    request.listen(called.set)
    bench.model.release()
    assert called.wait(PATIENCE_S)
    assert not request.is_done
