"""A chunk whose answer fails the gates is decoded again, hotter, on the encoder output it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fakes import PATIENCE_S, FakeModel, features_of, words
from pending import new_request, pending_chunk, text
from talkmill.engine import GenerationParameters, Request, TranscribeOptions, Transcript
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.gates import make_gates
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.scheduling.attempts import judge
from talkmill.engine.scheduling.batcher import MAX_KEPT, Batcher
from worker_bench import Bench

GATES, _ = make_gates(GenerationParameters(), DecodePlan(), prompt_length=4)
FULL = FULL_WINDOW.num_frames
COOL_LOOP, ALWAYS_LOOP, NOISE, DOUBTFUL = 20, 30, 40, 50


@pytest.fixture
def model(model: FakeModel) -> FakeModel:
    model.cool_loops = frozenset({COOL_LOOP})
    model.endless_loops = frozenset({ALWAYS_LOOP})
    model.scores = {NOISE: (-1.5, 0.9), DOUBTFUL: (-1.5, 0.3)}
    return model


@pytest.fixture
def bench(new_bench: Callable[..., Bench], model: FakeModel) -> Bench:
    return new_bench(model)


def answer(request: Request) -> Transcript:
    return request.future.result(PATIENCE_S)


def heats(bench: Bench, band: int) -> list[float]:
    """Return the temperature of each attempt at a band, in order."""
    return [
        batch.plan.temperature if batch.plan.strategy is Strategy.SAMPLE else 0.0
        for batch in bench.model.generated
        if batch.plan and batch.bands == (band,)
    ]


def test_failing_chunk_is_decoded_hotter_until_it_passes(bench: Bench) -> None:
    transcript = answer(bench.put(COOL_LOOP, gates=GATES))
    assert transcript.text == words(COOL_LOOP)
    assert heats(bench, COOL_LOOP) == [0.0, 0.2, 0.4, 0.6]
    assert [one.temperature for one in transcript.segments] == [0.6]
    assert transcript.warnings == ()


def test_the_encoder_runs_once_for_all_temperatures(bench: Bench) -> None:
    answer(bench.put(ALWAYS_LOOP, gates=GATES))
    assert heats(bench, ALWAYS_LOOP) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert bench.model.bands == [ALWAYS_LOOP]


def test_an_answer_that_passes_is_decoded_once(bench: Bench) -> None:
    assert text(bench.put(10, gates=GATES)) == words(10)
    assert heats(bench, 10) == [0.0]


def test_without_gates_whatever_the_model_says_is_the_answer(bench: Bench) -> None:
    for band in (DOUBTFUL, NOISE):
        assert text(bench.put(band)) == words(band)
        assert heats(bench, band) == [0.0]


def test_only_the_failing_chunks_of_a_batch_are_decoded_again(bench: Bench) -> None:
    bench.hold_with_another()
    requests = [bench.put(band, gates=GATES) for band in (10, COOL_LOOP, 60)]
    bench.model.release()
    assert [text(one) for one in requests] == [words(band) for band in (10, COOL_LOOP, 60)]
    assert [batch.bands for batch in bench.model.encoded] == [(79,), (10, COOL_LOOP, 60)]
    assert heats(bench, COOL_LOOP) == [0.2, 0.4, 0.6]


def test_suspect_answer_of_a_fitted_window_goes_to_the_full_one_first_and_once(
    bench: Bench,
) -> None:
    assert text(bench.put(COOL_LOOP, fitted_s=1.0, gates=GATES)) == words(COOL_LOOP)
    frames = [batch.num_frames for batch in bench.model.encoded]
    assert frames == [(160,), (FULL,)]
    assert heats(bench, COOL_LOOP) == [0.0, 0.0, 0.2, 0.4, 0.6]


def test_chunk_that_is_no_speech_gives_no_text_and_is_not_decoded_again(bench: Bench) -> None:
    for fitted_s in (None, 3.0):
        transcript = answer(bench.put(NOISE, gates=GATES, fitted_s=fitted_s))
        assert (transcript.text, transcript.segments) == ("", ())
    assert heats(bench, NOISE) == [0.0, 0.0]


def test_each_attempt_has_draws_of_its_own_that_depend_on_nothing_else(bench: Bench) -> None:
    seen: list[tuple[int, int, float]] = []
    lane = bench.model.answer_exactly

    def recorded(encoded: np.ndarray, tasks: list) -> list[Hypothesis]:  # type: ignore[type-arg]
        seen.extend((task.seed, task.chunk, task.plan.temperature) for task in tasks)
        return lane(encoded, tasks)

    bench.model.answer_exactly = recorded  # type: ignore[method-assign,assignment]
    answer(bench.put(COOL_LOOP, gates=GATES))
    alone, seen = list(seen), []
    bench.hold_with_another()
    requests = [bench.put(COOL_LOOP, gates=GATES) for _ in range(2)]
    bench.model.release()
    for request in requests:
        answer(request)
    assert len({chunk for _, chunk, _ in alone}) == len(alone) == 3
    assert sorted(seen) == sorted(2 * alone)


def test_of_answers_that_all_fail_the_most_probable_that_does_not_loop_is_taken() -> None:
    request = new_request(gates=GATES)
    item = pending_chunk(request)
    tries = [((1, 2) * 30, "so it " * 30, -0.1), ((1, 2), "so", -1.2), ((3,), "no", -1.6)]
    for tokens, said, logprob in tries:
        verdict = judge(item, Hypothesis(tokens, logprob, 0.1), said, "")
        assert verdict.failed is not None
        item = item.at_next_temperature(None, verdict.failed)
    while verdict.reason:
        verdict = judge(item, Hypothesis((4,), -2.0, 0.1), "eh", "")
        if verdict.failed is not None:
            item = item.at_next_temperature(None, verdict.failed)
    assert verdict.hypothesis.tokens == (1, 2)
    assert item.num_failed == 5


def test_doubtful_text_is_flagged_and_dropped_only_where_nothing_else_says_it_is_speech(
    bench: Bench,
) -> None:
    bench.model.scores[DOUBTFUL] = (-1.4, 0.3)
    flagged = answer(bench.put(DOUBTFUL, gates=GATES))
    assert flagged.text == words(DOUBTFUL)
    assert "doubtful: average log-probability -1.40 under -1.0" in flagged.warnings[0]
    bench.model.scores[DOUBTFUL] = (-1.6, 0.3)
    assert text(bench.put(DOUBTFUL, gates=GATES)) == ""
    assert text(bench.put(DOUBTFUL, gates=GATES, fitted_s=2.0)) == words(DOUBTFUL)


@pytest.mark.parametrize(
    ("logprob", "no_speech", "is_flagged"),
    [(-0.8, 0.7, True), (-0.4, 0.7, False), (-0.8, 0.5, False)],
)
def test_text_that_is_probably_none_is_flagged_where_no_speech_was_detected(
    bench: Bench, logprob: float, no_speech: float, is_flagged: bool
) -> None:
    bench.model.scores[DOUBTFUL] = (logprob, no_speech)
    flagged = answer(bench.put(DOUBTFUL, gates=GATES))
    assert flagged.text == words(DOUBTFUL)
    assert ("no speech has a probability of 0.70" in str(flagged.warnings)) is is_flagged
    assert not answer(bench.put(DOUBTFUL, gates=GATES, fitted_s=2.0)).warnings


def test_text_that_repeats_itself_at_every_temperature_is_flagged(bench: Bench) -> None:
    transcript = answer(bench.put(ALWAYS_LOOP, gates=GATES))
    (warning,) = transcript.warnings
    assert "at 0.00 s: the text is doubtful: compression ratio" in warning


def test_loop_without_end_is_cut_and_named(bench: Bench) -> None:
    band = ALWAYS_LOOP
    gates = replace(GATES, fallbacks=GATES.fallbacks[:1])
    gates = replace(gates, fallbacks=(replace(gates.fallbacks[0], max_new_tokens=5),))
    transcript = answer(bench.put(band, plan=DecodePlan(max_new_tokens=5), gates=gates))
    assert transcript.text == words(band)
    (warning,) = transcript.warnings
    assert f"'{words(band)}' was repeated 9 times" in warning


def test_text_that_ends_at_the_limit_is_flagged_unless_the_request_set_it(bench: Bench) -> None:
    plan = DecodePlan(max_new_tokens=1)
    (warning,) = answer(bench.put(10, plan=plan)).warnings
    assert "ends at the limit of" in warning
    own = TranscribeOptions(parameters=GenerationParameters(max_new_tokens=1))
    assert answer(bench.put(10, plan=plan, options=own)).warnings == ()


def test_a_few_chunks_wait_with_their_encoder_output_and_no_more() -> None:
    batcher = Batcher(max_batch_size=2 * MAX_KEPT, max_per_request=2 * MAX_KEPT)
    request = new_request(gates=GATES)
    failed = ((False, False, -1.0), Hypothesis((), -1.0, 0.0))
    for index in range(MAX_KEPT + 3):
        item = pending_chunk(request, index, features=features_of(1))
        batcher.put(item.at_next_temperature(np.zeros(1), failed))
    batch = batcher.next_batch(1.0).batch
    kept = [item.kept is not None for item in batch]
    assert kept == [True] * MAX_KEPT + [False] * 3
