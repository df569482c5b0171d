"""How sure the model is of an answer: log-probabilities and the probability of no speech."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audio_files import decode_file
from table_decoder import END, PLANS, A, B, C, by_answer, search
from talkmill.engine import LoadedModel, Task
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.config import EngineConfig
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.hypothesis import Hypothesis, average_logprob
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Vocabulary
from talkmill.engine.model.files import find_model
from talkmill.engine.model.loading import load_model
from talkmill.engine.types import Samples

TWO_WORDS = by_answer({(): {A: 0.9, B: 0.1}, (A,): {B: 0.8, A: 0.2}}, {END: 0.6, A: 0.4})


def test_average_counts_the_end_of_text() -> None:
    assert average_logprob(-6.0, 2) == -2.0
    assert average_logprob(-1.0, 0) == -1.0


@pytest.mark.parametrize("name", ["greedy", "beams", "groups", "contrastive"])
def test_sum_is_that_of_the_tokens_and_the_end(name: str) -> None:
    outcome = search(PLANS[name], TWO_WORDS)
    assert outcome.answer == [A, B]
    assert outcome.sum_logprob == pytest.approx(np.log(0.9 * 0.8 * 0.6), abs=1e-4)


def test_end_that_was_not_generated_does_not_count() -> None:
    outcome = search(replace(PLANS["greedy"], max_new_tokens=2), TWO_WORDS)
    assert outcome.answer == [A, B]
    assert outcome.sum_logprob == pytest.approx(np.log(0.9 * 0.8), abs=1e-4)


def test_temperature_draws_other_tokens_but_their_log_probabilities_stay() -> None:
    plan = replace(PLANS["sampling"], temperature=1e-3)
    outcome = search(plan, TWO_WORDS)
    assert outcome.answer == [A, B]
    assert outcome.sum_logprob == pytest.approx(np.log(0.9 * 0.8 * 0.6), abs=1e-4)


def test_probabilities_are_those_after_suppression() -> None:
    vocabulary = Vocabulary(END, 7, suppress=(A,))
    outcome = search(
        PLANS["greedy"], lambda _: {A: 0.5, END: 0.25, B: 0.125}, vocabulary=vocabulary
    )
    assert outcome.answer == []
    assert outcome.sum_logprob == pytest.approx(np.log(0.25 / 0.375), abs=1e-3)


@pytest.fixture(scope="module")
def demo() -> LoadedModel:
    return load_model(EngineConfig(device="cpu", compute_type="float32", encoder="ctranslate2"))


@pytest.mark.parametrize("name", PLANS)
def test_every_search_has_the_log_probability_of_each_token(name: str) -> None:
    plan = PLANS[name]
    if name == "sampling":
        plan = replace(plan, temperature=1e-3)
    outcome = search(plan, TWO_WORDS)
    assert outcome.answer == [A, B]
    assert outcome.logprobs == pytest.approx(np.log([0.9, 0.8, 0.6]), abs=1e-4)


def test_beams_keep_the_log_probabilities_of_the_answer_that_wins() -> None:
    after_a, after_b = {END: 0.34, A: 0.33, C: 0.33}, {END: 0.9, C: 0.1}
    table = by_answer({(): {A: 0.6, B: 0.4}, (A,): after_a, (B,): after_b}, {END: 0.9, C: 0.1})
    outcome = search(replace(PLANS["beams"], early_stopping=True), table)
    assert outcome.answer == [B]
    assert outcome.logprobs == pytest.approx(np.log([0.4, 0.9]), abs=1e-4)


def hypotheses(model: LoadedModel, samples: Samples, plan: DecodePlan) -> list[Hypothesis]:
    """Return what each lane says of a recording: native, then exact."""
    replica = model.replicas[0]
    prompt = model.tokenizer.prompt("en", Task.TRANSCRIBE, plan.timestamps)
    encoded = replica.encode([log_mel(samples, replica.n_mels)], FULL_WINDOW.num_positions)
    task = ExactTask(prompt, plan, 0, 0, lambda: True)
    return [
        *replica.generate(encoded, [prompt], plan),
        *replica.exact_lane(model.vocabulary).run(encoded, [task]),
    ]


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("length_penalty", [1.0, 0.3])
def test_both_lanes_are_as_sure(demo: LoadedModel, timestamps: bool, length_penalty: float) -> None:
    samples = decode_file(find_model("demo").folder / "sample.flac")[:60_000]
    plan = DecodePlan(timestamps=timestamps, length_penalty=length_penalty)
    native, exact = hypotheses(demo, samples, plan)
    assert native.tokens == exact.tokens != ()
    assert native.avg_logprob == pytest.approx(exact.avg_logprob, abs=1e-4)
    assert native.no_speech_prob == pytest.approx(exact.no_speech_prob, abs=1e-4)
    assert native.temperature == exact.temperature == 0.0
    assert -1 < native.avg_logprob < 0


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("max_new_tokens", [9, 444], ids=["cut off", "ended"])
def test_token_log_probabilities_are_the_same_in_both_lanes_and_add_up(
    demo: LoadedModel, timestamps: bool, max_new_tokens: int
) -> None:
    samples = decode_file(find_model("demo").folder / "sample.flac")[:60_000]
    plan = DecodePlan(timestamps=timestamps, max_new_tokens=max_new_tokens, token_logprobs=True)
    native, exact = hypotheses(demo, samples, plan)
    assert native.token_logprobs == pytest.approx(exact.token_logprobs, abs=1e-3)
    for one in (native, exact):
        count = len(one.tokens)
        assert len(one.token_logprobs) == count > 0
        end = one.avg_logprob * (count + 1) - sum(one.token_logprobs)
        if max_new_tokens == count:
            assert end == pytest.approx(0, abs=1e-3)
        else:
            assert -2 < end < 1e-3  # the end of text's own


def test_drawn_tokens_have_their_log_probabilities_before_temperature(demo: LoadedModel) -> None:
    samples = decode_file(find_model("demo").folder / "sample.flac")[:60_000]
    greedy = DecodePlan(token_logprobs=True)
    drawn = replace(greedy, strategy=Strategy.SAMPLE, temperature=1e-3)
    expected, _ = hypotheses(demo, samples, greedy)
    for found in hypotheses(demo, samples, drawn):
        assert found.tokens == expected.tokens
        assert found.token_logprobs == pytest.approx(expected.token_logprobs, abs=1e-3)


def test_nobody_pays_for_log_probabilities_that_nobody_asks_for(demo: LoadedModel) -> None:
    samples = decode_file(find_model("demo").folder / "sample.flac")[:60_000]
    for one in hypotheses(demo, samples, DecodePlan()):
        assert one.token_logprobs == ()


def test_both_lanes_are_as_sure_that_nothing_was_said(demo: LoadedModel) -> None:
    native, exact = hypotheses(demo, np.zeros(16_000, np.float32), DecodePlan())
    assert native.tokens == exact.tokens == ()
    assert native.avg_logprob == pytest.approx(exact.avg_logprob, abs=1e-4)
    assert native.no_speech_prob == pytest.approx(exact.no_speech_prob, abs=1e-4)
    assert native.no_speech_prob > 0.5


def test_sampled_hypothesis_has_its_temperature(demo: LoadedModel) -> None:
    samples = decode_file(find_model("demo").folder / "sample.flac")[:60_000]
    plan = DecodePlan(strategy=Strategy.SAMPLE, temperature=0.4)
    assert [one.temperature for one in hypotheses(demo, samples, plan)] == [0.4, 0.4]


def test_native_beams_are_never_less_likely_than_greedy(demo: LoadedModel) -> None:
    samples = decode_file(find_model("demo").folder / "sample.flac")[:60_000]
    greedy, _ = hypotheses(demo, samples, DecodePlan())
    plan = DecodePlan(strategy=Strategy.BEAM, num_beams=4, length_penalty=0.5)
    beams, _ = hypotheses(demo, samples, plan)
    assert beams.avg_logprob >= greedy.avg_logprob - 1e-4


def test_vocabulary_without_no_speech_gives_zero(demo: LoadedModel) -> None:
    known = demo.vocabulary
    other = replace(demo, vocabulary=Vocabulary(known.end_of_text, known.timestamp_begin))
    _, exact = hypotheses(other, np.zeros(16_000, np.float32), DecodePlan())
    assert exact.no_speech_prob == 0.0


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0])
def test_native_beams_over_silence_need_no_sum(demo: LoadedModel, length_penalty: float) -> None:
    plan = DecodePlan(strategy=Strategy.BEAM, num_beams=4, length_penalty=length_penalty)
    native, _ = hypotheses(demo, np.zeros(16_000, np.float32), plan)
    assert native.avg_logprob <= 0
