from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes import FakeModel, features_of, loaded, tokenizer_file, words
from pending import fitted_chunk, new_request, pending_chunk
from talkmill.engine import Request, Segment, TranscribeOptions
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.scheduling.runner import DecodedChunk, Runner

EXACT = DecodePlan(is_exact=True)
TIMED = TranscribeOptions(timestamps=True)


def runner_of(model: FakeModel) -> Runner:
    return Runner(model, loaded(model))


def chunk(band: int, request: Request | None = None, index: int = 0) -> PendingChunk:
    return pending_chunk(request or new_request(), index, features=features_of(band))


def text(decoded: DecodedChunk) -> str:
    return "".join(segment.text for segment in decoded.segments).strip()


@pytest.mark.parametrize("plan", [DecodePlan(), EXACT], ids=["native", "exact"])
def test_each_chunk_of_a_batch_gets_its_own_words(model: FakeModel, plan: DecodePlan) -> None:
    batch = [chunk(band, new_request(plan=plan)) for band in (5, 50, 7)]
    found = runner_of(model).run(batch)
    assert [one.item for one in found] == batch
    assert [text(one) for one in found] == [words(band) for band in (5, 50, 7)]
    assert len(model.encoded) == 1


@pytest.mark.parametrize("plan", [DecodePlan(), EXACT], ids=["native", "exact"])
def test_hypothesis_of_each_chunk_comes_with_it(model: FakeModel, plan: DecodePlan) -> None:
    found = runner_of(model).run([chunk(band, new_request(plan=plan)) for band in (20, 30)])
    assert [one.hypothesis.avg_logprob for one in found] == [-0.2, -0.3]
    assert [one.hypothesis.no_speech_prob for one in found] == [0.2, 0.3]


def test_encoder_output_of_a_decoded_chunk_is_at_hand(model: FakeModel) -> None:
    found = runner_of(model).run([chunk(20), chunk(30)])
    rows: list[NDArray[np.float32]] = [one.encoded.output[one.row] for one in found]
    assert all(np.array_equal(row, features_of(b)) for row, b in zip(rows, (20, 30), strict=True))


def test_segments_have_their_times_in_the_utterance(model: FakeModel) -> None:
    (one,) = runner_of(model).run([chunk(20, new_request(options=TIMED))])
    (segment,) = one.segments
    assert (segment.start_s, segment.end_s) == (1.0, 2.0)


def test_language_is_detected_for_those_without_one_only(
    tmp_path: Path,
) -> None:
    tokenizer = WhisperTokenizer(tokenizer_file(tmp_path, languages=["de"]), True)
    model = FakeModel(tokenizer)
    model.language = ("de", 0.5)
    known, unknown = new_request(language="en"), new_request(language=None)
    found = runner_of(model).run([chunk(20, known), chunk(30, unknown)])
    assert [one.heard.detection for one in found] == [(), (("de", 0.5),)]
    assert [one.item.language for one in found] == ["en", "de"]
    assert model.num_detections == 1
    first, second = model.generated[0].prompts
    assert first != second


def test_unwanted_chunk_leaves_the_exact_lane_without_words(model: FakeModel) -> None:
    gone, stays = new_request(plan=EXACT), new_request(plan=EXACT)
    gone.cancel()
    found = runner_of(model).run([chunk(20, gone), chunk(30, stays)])
    assert [text(one) for one in found] == ["", words(30)]


def test_as_many_hypotheses_as_chunks_or_an_error(tokenizer: WhisperTokenizer) -> None:
    class Forgetful(FakeModel):
        def generate(
            self, encoded: NDArray[np.float32], prompts: list[list[int]], plan: DecodePlan
        ) -> list[Hypothesis]:
            return super().generate(encoded, prompts, plan)[1:]

    with pytest.raises(RuntimeError, match="3 chunks, 2 hypotheses"):
        runner_of(Forgetful(tokenizer)).run([chunk(band) for band in (10, 20, 30)])


def test_failure_of_the_model_is_raised(model: FakeModel) -> None:
    model.poisoned = frozenset({20})
    with pytest.raises(RuntimeError, match="poisoned"):
        runner_of(model).run([chunk(20)])


@pytest.mark.parametrize("plan", [DecodePlan(), EXACT], ids=["native", "exact"])
def test_suspect_answer_comes_with_the_next_attempt_and_why(
    model: FakeModel, plan: DecodePlan
) -> None:
    model.loops = frozenset({20})
    request = new_request(plan=plan)
    right, suspect = runner_of(model).run(
        [fitted_chunk(request, 30, 1.0), fitted_chunk(request, 20, 4.0)]
    )
    assert (right.again, right.reason) == (None, "")
    assert suspect.again is not None
    assert suspect.again.window is FULL_WINDOW
    assert suspect.reason == "compression ratio over 2.4"


def test_unwanted_chunk_has_no_next_attempt(model: FakeModel) -> None:
    model.loops = frozenset({20})
    gone = new_request()
    gone.cancel()
    (one,) = runner_of(model).run([fitted_chunk(gone, 20, 1.0)])
    assert one.again is None


def test_words_of_earlier_attempts_do_not_make_an_answer_suspect(model: FakeModel) -> None:
    accepted = (Segment(" so it goes" * 30, 0.0, 10.0),)
    item = replace(fitted_chunk(new_request(), 20, 3.0, start_s=10.0), accepted=accepted)
    (one,) = runner_of(model).run([item])
    assert one.again is None
    assert [segment.text.strip() for segment in one.segments[1:]] == [words(20)]
    assert one.segments[0] == accepted[0]


def test_batch_may_have_as_many_tokens_as_its_longest_chunk(model: FakeModel) -> None:
    request = new_request()
    short, long = fitted_chunk(request, 20, 1.0), fitted_chunk(request, 30, 5.0, index=1)
    longest = fitted_chunk(request, 35, 15.0, index=2)
    for batch in ([short, long], [longest, chunk(40, request)]):
        runner_of(model).run(batch)
    plans = [batch.plan for batch in model.generated]
    assert [plan.max_new_tokens for plan in plans if plan] == [
        24 + 5 * 16,
        DecodePlan().max_new_tokens,
    ]


@pytest.mark.parametrize(
    ("plan", "is_accepted"),
    [
        pytest.param(DecodePlan(), False, id="too few words"),
        pytest.param(DecodePlan(max_new_tokens=3), True, id="cut at the request's limit"),
        pytest.param(DecodePlan(min_new_tokens=100, is_exact=True), True, id="at its least length"),
        pytest.param(DecodePlan(strategy=Strategy.SAMPLE), True, id="drawn"),
    ],
)
def test_answer_that_the_request_itself_forces_is_not_suspect(
    model: FakeModel, plan: DecodePlan, is_accepted: bool
) -> None:
    item = fitted_chunk(new_request(plan=plan), 10, length_s=20.0)
    (found,) = runner_of(model).run([item])
    assert (found.again is None) is is_accepted


WORDS = TranscribeOptions(words=True)


@pytest.mark.parametrize("plan", [DecodePlan(timestamps=True), replace(EXACT, timestamps=True)])
def test_chunks_that_ask_for_words_get_them_in_one_call(model: FakeModel, plan: DecodePlan) -> None:
    asks, does_not = new_request(options=WORDS, plan=plan), new_request(options=TIMED, plan=plan)
    runner = runner_of(model)

    found = runner.add_words(runner.run([chunk(20, asks), chunk(30, does_not), chunk(40, asks, 1)]))

    assert [bool(one.segments[0].words) for one in found] == [True, False, True]
    assert [[task.row for task in call] for call in model.aligned] == [[0, 2]]
    assert [text(one) for one in found] == [words(20), words(30), words(40)]


def test_an_answer_that_is_thrown_away_gets_no_words(model: FakeModel) -> None:
    model.loops = frozenset({20})
    runner = runner_of(model)

    (one,) = runner.add_words(runner.run([fitted_chunk(new_request(options=WORDS), 20, 4.0)]))

    assert one.again is not None
    assert model.aligned == []


def test_what_is_kept_of_an_attempt_has_its_words_in_the_next_one(model: FakeModel) -> None:
    runner = runner_of(model)
    item = fitted_chunk(new_request(options=WORDS), 20, 20.0)  # its answer ends at 2 s

    (first,) = runner.add_words(runner.run([item]))
    while first.again is not None and not first.again.accepted:  # the window was at fault first
        (first,) = runner.add_words(runner.run([first.again]))
    assert first.again is not None
    (second,) = runner.add_words(runner.run([first.again]))

    assert all(segment.words for segment in first.again.accepted)
    assert len(second.segments) == 2
    assert all(segment.words for segment in second.segments)
    times = [time for one in second.segments for word in one.words for time in (word.start_s,)]
    assert times == sorted(times)


def test_a_fitted_window_is_aligned_with_its_own_audio(model: FakeModel) -> None:
    runner = runner_of(model)
    runner.add_words(runner.run([fitted_chunk(new_request(options=WORDS), 20, 4.0)]))
    runner.add_words(runner.run([chunk(30, new_request(options=WORDS))]))

    tasks = [task for call in model.aligned for task in call]
    assert [(task.num_positions, task.num_seen) for task in tasks] == [(200, 300), (1500, 1500)]
