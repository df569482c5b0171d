"""With timestamps, speech after the last segment of a chunk is decoded again from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fakes import N_MELS, PATIENCE_S, FakeModel, words
from pending import fitted_chunk, new_request
from talkmill.engine import EncoderWindow, Request, Segment, TranscribeOptions, VadMode
from talkmill.engine.audio.windows import FULL_WINDOW, Window
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.types import Features
from worker_bench import Bench

FULL = FULL_WINDOW.num_frames
LOOP = 20
PART_S = 1.6  # of each band in a chunk
TIMED = TranscribeOptions(timestamps=True)
lanes = pytest.mark.parametrize(
    "plan",
    [DecodePlan(timestamps=True), DecodePlan(is_exact=True, timestamps=True)],
    ids=["native", "exact"],
)


@pytest.fixture
def bench(new_bench: Callable[..., Bench], model: FakeModel) -> Bench:
    """A worker whose model writes the first 1.6 s of whatever it gets."""
    model.said_s = (0.0, PART_S)
    model.loops = frozenset({LOOP})
    return new_bench(model)


def spoken(request: Request, *bands: int, index: int = 0, start_s: float = 0.0) -> PendingChunk:
    """Return a chunk of 1.6 s of each band, the first one loudest, in its fitted window."""
    item = fitted_chunk(request, 0, PART_S * len(bands), index, start_s)
    features = np.zeros((N_MELS, item.window.num_frames), np.float32)
    for i, band in enumerate(bands):
        part = slice(round(100 * PART_S * i), round(100 * PART_S * (i + 1)))
        features[band, part] = len(bands) - i
    return replace(item, features=features)


def in_window(item: PendingChunk, window: Window) -> PendingChunk:
    """Return a chunk that was prepared for another window."""
    missing = window.num_frames - item.window.num_frames
    features = np.pad(item.features, ((0, 0), (0, missing)))
    key = replace(item.key, num_positions=window.num_positions)
    return replace(item, features=features, window=window, key=key)


def timed_request(
    plan: DecodePlan | None = None, on_segment: Callable[[Segment], None] | None = None
) -> Request:
    return new_request(options=TIMED, plan=plan, on_segment=on_segment)


def found(request: Request) -> list[tuple[str, float, float | None]]:
    segments = request.future.result(PATIENCE_S).segments
    return [(segment.text.strip(), segment.start_s, segment.end_s) for segment in segments]


def windows(bench: Bench) -> list[tuple[int, ...]]:
    return [batch.num_frames for batch in bench.model.encoded]


@lanes
def test_segments_of_all_attempts_join(bench: Bench, plan: DecodePlan) -> None:
    request = timed_request(plan)
    bench.put_chunks(request, spoken(request, 10, 30, 50, start_s=7.0))
    assert found(request) == [
        (words(10), 7.0, 8.6),
        (words(30), 8.6, 10.2),
        (words(50), 10.2, 11.8),
    ]
    transcript = request.future.result(0)
    assert transcript.text == f"{words(10)} {words(30)} {words(50)}"
    assert (transcript.coverage, transcript.warnings) == (1.0, ())
    assert windows(bench) == [(540,), (380,), (220,)]


@lanes
def test_there_are_two_more_attempts_at_most(bench: Bench, plan: DecodePlan) -> None:
    request = timed_request(plan)
    bench.put_chunks(request, in_window(spoken(request, 10, 30, 50, 70), FULL_WINDOW))
    assert [text for text, _, _ in found(request)] == [words(10), words(30), words(50)]
    assert len(bench.model.encoded) == 3
    transcript = request.future.result(0)
    assert transcript.coverage == 0.75
    assert transcript.warnings == ("coverage 0.75: 1.6 of 6.4 s of speech has no text",)


@lanes
def test_attempt_that_writes_nothing_more_is_the_last(bench: Bench, plan: DecodePlan) -> None:
    bench.model.said_s = (0.0, 0.4)
    request = timed_request(plan)
    bench.put_chunks(request, spoken(request, 10, 30))
    assert found(request) == [(words(10), 0.0, 0.4)]
    assert len(bench.model.encoded) == 1
    transcript = request.future.result(0)
    assert transcript.coverage == pytest.approx(0.125)
    assert transcript.warnings == ("coverage 0.12: 2.8 of 3.2 s of speech has no text",)


@pytest.mark.parametrize(("end_s", "num_attempts"), [(2.48, 2), (2.52, 1)])
def test_rest_of_more_than_a_second_and_a_half_is_decoded(
    bench: Bench, end_s: float, num_attempts: int
) -> None:
    bench.model.said_s = (0.0, end_s)
    request = timed_request()
    bench.put_chunks(request, fitted_chunk(request, 10, 4.0))
    assert len(found(request)) == num_attempts


def test_without_detection_nothing_is_known_to_be_missing(bench: Bench) -> None:
    request = new_request(options=replace(TIMED, vad=VadMode.OFF))
    bench.put_chunks(request, replace(spoken(request, 10, 30), speech=()))
    assert found(request) == [(words(10), 0.0, 1.6)]
    transcript = request.future.result(0)
    assert (transcript.coverage, transcript.warnings) == (None, ())
    assert len(bench.model.encoded) == 1


def test_without_timestamps_an_answer_covers_its_chunk(bench: Bench) -> None:
    request = new_request()
    bench.put_chunks(request, spoken(request, 10, 30))
    assert found(request) == [(words(10), 0.0, 3.2)]
    assert request.future.result(0).coverage == 1.0
    assert len(bench.model.encoded) == 1


@pytest.mark.parametrize("options", [TIMED, TranscribeOptions()], ids=["times", "text"])
def test_answer_without_words_covers_nothing(
    new_bench: Callable[..., Bench], tokenizer: WhisperTokenizer, options: TranscribeOptions
) -> None:
    class Mute(FakeModel):
        def answer(self, row: Features, plan: DecodePlan) -> Hypothesis:
            return Hypothesis((), -0.1, 0.0)

    bench = new_bench(Mute(tokenizer))
    request = new_request(options=options)
    bench.put_chunks(request, fitted_chunk(request, 10, 5.0))
    transcript = request.future.result(PATIENCE_S)
    assert (transcript.text, transcript.coverage) == ("", 0.0)
    assert transcript.warnings == ("coverage 0.00: 5.0 of 5.0 s of speech has no text",)
    assert windows(bench) == [(560,), (FULL,)]  # no words for 5 s of speech are suspect


def test_segments_are_given_out_once_and_in_order(bench: Bench) -> None:
    given: list[Segment] = []
    request = timed_request(on_segment=given.append)
    first, second = spoken(request, 10, 30), spoken(request, 50, index=1, start_s=4.0)
    bench.hold_with_another()
    bench.put_chunks(request, first, second)
    bench.model.release()
    assert [text for text, _, _ in found(request)] == [words(10), words(30), words(50)]
    assert tuple(given) == request.future.result(0).segments
    assert bench.model.bands == [79, 10, 50, 30]  # the second chunk was done before the rest


@pytest.mark.parametrize(
    "window",
    [FULL_WINDOW, Window(EncoderWindow.DECLARED, 1000, 500)],
    ids=["full", "declared"],
)
def test_rest_is_decoded_in_a_window_of_the_same_kind(bench: Bench, window: Window) -> None:
    request = timed_request()
    bench.put_chunks(request, in_window(spoken(request, 10, 30), window))
    assert [text for text, _, _ in found(request)] == [words(10), words(30)]
    assert windows(bench) == [(window.num_frames,)] * 2


def test_rest_that_loops_is_decoded_in_the_full_window(bench: Bench) -> None:
    request = timed_request()
    bench.put_chunks(request, spoken(request, 10, LOOP))
    assert found(request) == [(words(10), 0.0, 1.6), (words(LOOP), 1.6, 3.2)]
    assert windows(bench) == [(380,), (220,), (FULL,)]


def test_rest_of_a_full_window_stays_in_full_windows(bench: Bench) -> None:
    request = timed_request()
    bench.put_chunks(request, spoken(request, LOOP, 30))
    assert found(request) == [(words(LOOP), 0.0, 1.6), (words(30), 1.6, 3.2)]
    assert windows(bench) == [(380,), (FULL,), (FULL,)]


def test_rest_is_no_fallback(bench: Bench) -> None:
    request = timed_request()
    bench.put_chunks(request, spoken(request, 10, 30))
    assert len(found(request)) == 2
    assert bench.guard.num_fallbacks == 0


@lanes
def test_cancelled_request_has_no_more_attempts(bench: Bench, plan: DecodePlan) -> None:
    request = timed_request(plan)
    bench.model.hold()
    bench.put_chunks(request, spoken(request, 10, 30))
    bench.model.wait_for_calls(1)
    request.cancel()
    bench.model.release()
    bench.put(70).future.result(PATIENCE_S)
    assert bench.model.bands == [10, 70]
