"""Any combination of valid values, on one chunk whose encoder's output is at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_files import decode_file
from fakes import DEMO_FOLDER
from talkmill.engine import (
    GenerationParameters,
    InvalidOption,
    TranscribeOptions,
)
from talkmill.engine.audio.features import log_mel
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.model.loading import LoadedModel
from talkmill.engine.options import check_options
from talkmill.engine.types import Task

NUM_FRAMES = 400  # a short window of the encoder: what is said does not matter here

SMALL = {
    "max_length": st.integers(5, 30),
    "max_new_tokens": st.integers(1, 14),
    "min_length": st.integers(0, 16),
    "min_new_tokens": st.integers(0, 12),
    "num_beams": st.integers(1, 6),
    "num_beam_groups": st.integers(1, 3),
    "top_k": st.integers(0, 12) | st.just(100_000),
}
SAMPLERS = {
    "temperature": st.floats(0, 100, width=32),
    "top_p": st.floats(0, 1, width=32),
    "typical_p": st.floats(0, 1, exclude_min=True, width=32),
    "epsilon_cutoff": st.floats(0, 1, exclude_max=True, width=32),
    "eta_cutoff": st.floats(0, 1, exclude_max=True, width=32),
    "do_sample": st.booleans(),
    "seed": st.integers(0, 2**64 - 1),
}
OTHERS = {
    "early_stopping": st.sampled_from([True, False, "never"]),
    "penalty_alpha": st.floats(0, 1, width=32),
    "use_cache": st.booleans(),
    "length_penalty": st.floats(-10, 10, width=32),
    "diversity_penalty": st.floats(0, 100, exclude_min=True, width=32),
    "patience": st.floats(0, 10, exclude_min=True, width=32),
    "repetition_penalty": st.floats(0.015625, 100, width=32),
    "no_repeat_ngram_size": st.integers(0, 6),
    "suppress_tokens": st.lists(st.integers(0, 2533), max_size=4).map(tuple),
    "compression_ratio_threshold": st.floats(0, 1000, width=32),
    "logprob_threshold": st.floats(-100, 0, width=32),
    "no_speech_threshold": st.floats(0, 1, width=32),
    "condition_on_prev_tokens": st.booleans(),
}
VALID = st.fixed_dictionaries({}, optional=SMALL | SAMPLERS | OTHERS)


@pytest.fixture(scope="module")
def run(demo: LoadedModel) -> Callable[[TranscribeOptions], tuple[DecodePlan, list[int]]]:
    """Checks options as the engine does, and decodes one chunk in the lane that they ask for."""
    replica = demo.replicas[0]
    sound = decode_file(DEMO_FOLDER / "sample.flac")[:48_000]
    encoded = replica.encode([log_mel(sound, 80)[:, :NUM_FRAMES]], NUM_FRAMES // 2)

    def decode(options: TranscribeOptions) -> tuple[DecodePlan, list[int]]:
        plan = check_options(demo, options).plan
        prompt = demo.tokenizer.prompt("en", Task.TRANSCRIBE, options.timestamps)
        if not plan.is_exact:
            return plan, list(replica.generate(encoded, [prompt], plan)[0].tokens)
        task = ExactTask(prompt, plan, plan.seed or 0, 0, lambda: True)
        return plan, list(replica.exact_lane(demo.vocabulary).run(encoded, [task])[0].tokens)

    return decode


@given(given=VALID, timestamps=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_valid_values_give_an_answer_within_their_limits_or_are_refused(
    run: Callable[[TranscribeOptions], tuple[DecodePlan, list[int]]],
    given: dict[str, Any],
    timestamps: bool,
) -> None:
    if not {"max_length", "max_new_tokens"} & given.keys():
        given = {**given, "max_new_tokens": 14}
    options = TranscribeOptions(
        language="en", timestamps=timestamps, parameters=GenerationParameters(**given)
    )
    try:
        plan, answer = run(options)
    except InvalidOption as refusal:
        if refusal.field not in given:
            pytest.fail(f"{refusal.field} was not given: {refusal}")
        return
    assert plan.min_new_tokens <= len(answer) <= plan.max_new_tokens
    assert not set(answer) & set(plan.suppress_tokens)
    if plan.strategy is not Strategy.SAMPLE or plan.seed is not None:
        assert run(options)[1] == answer


@pytest.mark.parametrize("count", [1, 3, 14])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"do_sample": True, "seed": 1},
        {"num_beams": 3, "early_stopping": True},
        {"num_beams": 4, "num_beam_groups": 2},
        {"penalty_alpha": 0.6, "top_k": 4},
    ],
    ids=str,
)
def test_an_answer_of_a_given_length_has_that_length(
    run: Callable[[TranscribeOptions], tuple[DecodePlan, list[int]]],
    given: dict[str, Any],
    count: int,
) -> None:
    parameters = GenerationParameters(**given, min_new_tokens=count, max_new_tokens=count)
    _, answer = run(TranscribeOptions(language="en", parameters=parameters))
    assert len(answer) == count
