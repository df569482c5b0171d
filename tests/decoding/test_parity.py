"""Our searches say what HF transformers 4.55.4 says, token for token.

`tests/parity/make_goldens.py` made the goldens; all of them are equal, so no fork is forgiven.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from audio_files import decode_file
from fakes import DEMO_FOLDER, small_config
from parity import random_weights as rw
from parity.goldens import (
    AUDIO,
    GOLDENS,
    MODES,
    VOCABULARY,
    encoded_by,
    no_timestamps_of_demo,
    parameters_of,
    random_decoder,
    random_task,
    task_of,
)
from talkmill.engine import Engine, TranscribeOptions, VadMode
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.exact import ExactLane, ExactTask
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.model.loading import LoadedModel
from talkmill.engine.model.protocol import EncoderOutput

RANDOM_CASES: dict[str, dict[str, Any]] = GOLDENS["random_weights"]["cases"]
DEMO_CASES: dict[str, dict[str, Any]] = GOLDENS["demo_model"]["cases"]
ENGINE_CASES = [
    "greedy",
    "beam 4",
    "beam 5, never",
    "beam 4, true",
    "groups 4/2, true",
    "groups 6/3, false",
    "contrastive 0.6, 8",
    "greedy, 12 tokens",
    "greedy, 30 at least",
    "beams, 5 at most",
    "max_length 12",
    "repetition_penalty",
    "no_repeat_ngram_size 2",
    "suppress_tokens",
]


@functools.cache
def answers_of_random_weights(seed: int) -> dict[str, dict[str, list[int]]]:
    """Decode every case of a seed in one batch, whatever its parameters and its prompt."""
    places = [
        (chunk, mode, name)
        for chunk in range(rw.NUM_CHUNKS)
        for mode in MODES
        for name in RANDOM_CASES
    ]
    encoded = rw.random_chunks(seed)[[chunk for chunk, _, _ in places]]
    tasks = [random_task(RANDOM_CASES[name], timestamps=MODES[mode]) for _, mode, name in places]
    answers = ExactLane(random_decoder(seed), VOCABULARY).run(encoded, tasks)
    found: dict[str, dict[str, list[int]]] = {}
    for (chunk, mode, name), answer in zip(places, answers, strict=True):
        found.setdefault(f"{chunk}, {mode}", {})[name] = list(answer.tokens)
    return found


@pytest.mark.parametrize("seed", rw.SEEDS)
def test_numpy_still_makes_the_weights_that_the_goldens_were_taken_from(seed: int) -> None:
    golden = GOLDENS["random_weights"]["seeds"][str(seed)]["weights"]
    assert rw.fingerprint(rw.random_weights(seed)) == golden


@pytest.mark.parametrize("case", RANDOM_CASES)
@pytest.mark.parametrize("seed", rw.SEEDS)
def test_random_weights_say_what_they_say_in_hf(seed: int, case: str) -> None:
    golden = GOLDENS["random_weights"]["seeds"][str(seed)]["answers"]
    found = answers_of_random_weights(seed)
    assert {place: cases[case] for place, cases in found.items()} == {
        place: cases[case] for place, cases in golden.items()
    }


def test_goldens_hold_endings_lengths_and_answers_of_every_kind() -> None:
    # Or all that agrees with them might agree for the wrong reason.
    seeds = GOLDENS["random_weights"]["seeds"]
    answers = [answers for seed in seeds.values() for answers in seed["answers"].values()]
    greedy = [len(cases["greedy"]) for cases in answers]
    assert min(greedy) < 10
    assert len(set(greedy)) > 5
    assert sum(length < 60 for length in greedy) > len(greedy) / 2, "most of them end"
    distinct = [len({tuple(answer) for answer in cases.values()}) for cases in answers]
    assert min(distinct) > 15, "the parameters make a difference"
    modes = [{tuple(cases[f"beam 4, {mode}"]) for cases in answers} for mode in ("true", "never")]
    assert modes[0] != modes[1]


@pytest.mark.parametrize(
    "case", ["greedy", "beam 4, never", "groups 6/3, false", "alike, 12 tokens"]
)
def test_an_answer_is_the_same_alone_and_among_others(case: str) -> None:
    task = random_task(RANDOM_CASES[case], timestamps=True)
    (alone,) = ExactLane(random_decoder(0), VOCABULARY).run(rw.random_chunks(0)[:1], [task])
    assert list(alone.tokens) == answers_of_random_weights(0)["0, times"][case]


@pytest.fixture(scope="module")
def encoded(demo: LoadedModel) -> dict[str, EncoderOutput]:
    return encoded_by(demo)


@pytest.fixture(scope="module")
def engine(demo: LoadedModel) -> Iterator[Engine]:
    # HF hears windows of 30 s, whatever shorter ones the model would take.
    with Engine(small_config(max_batch_size=8, encoder_windows=(30,)), model=demo) as engine:
        yield engine


def demo_task(case: str, mode: str) -> ExactTask:
    special = [] if MODES[mode] else [no_timestamps_of_demo()]
    prompt = [*GOLDENS["demo_model"]["task"], *special]
    return task_of(DEMO_CASES[case], prompt, timestamps=MODES[mode])


def test_goldens_are_those_of_the_demo_model_that_is_here() -> None:
    found = hashlib.sha256((DEMO_FOLDER / "model.bin").read_bytes()).hexdigest()
    hint = "make them anew: tests/parity/make_goldens.py demo_model"
    assert found == GOLDENS["demo_model"]["model"], hint


@pytest.mark.parametrize(
    ("audio", "mode"),
    [
        ("jfk", "text"),
        ("sample", "times"),
        pytest.param("jfk", "times", marks=pytest.mark.slow),
        pytest.param("sample", "text", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("case", DEMO_CASES)
def test_demo_model_says_what_it_says_in_hf(
    demo: LoadedModel, encoded: dict[str, EncoderOutput], case: str, audio: str, mode: str
) -> None:
    replica, task = demo.replicas[0], demo_task(case, mode)
    golden = GOLDENS["demo_model"]["answers"][f"{audio}, {mode}"][case]
    (exact,) = replica.exact_lane(demo.vocabulary).run(encoded[audio], [task])
    assert list(exact.tokens) == golden
    if not task.plan.is_exact and task.plan.strategy is Strategy.GREEDY:
        (native,) = replica.generate(encoded[audio], [task.prompt], task.plan)
        assert list(native.tokens) == golden
        # Each lane has its own way to the log-probabilities.
        assert native.avg_logprob == pytest.approx(exact.avg_logprob, abs=1e-3)
        assert native.no_speech_prob == pytest.approx(exact.no_speech_prob, abs=1e-3)


def test_engine_gives_hf_s_words_to_requests_of_every_kind_at_once(
    engine: Engine, demo: LoadedModel
) -> None:
    golden = GOLDENS["demo_model"]["answers"]["jfk, text"]
    requests = {}
    for case in ENGINE_CASES:
        options = TranscribeOptions(
            language="en", vad=VadMode.OFF, parameters=parameters_of(DEMO_CASES[case])
        )
        requests[case] = engine.submit(io.BytesIO(AUDIO["jfk"].read_bytes()), options)
    found = {case: request.future.result(60).text for case, request in requests.items()}
    assert found == {case: demo.tokenizer.decode(golden[case]).strip() for case in ENGINE_CASES}
    assert len(set(found.values())) > 5, "answers that are all alike prove nothing"
    assert engine.stats.mean_batch_size > 1.5, "requests of several kinds must share batches"


def test_native_greedy_is_hf_s_whatever_shares_its_batch(
    demo: LoadedModel,
) -> None:
    features = [log_mel(decode_file(path), 80) for path in AUDIO.values()]
    replica = demo.replicas[0]
    for mode in MODES:
        plan = replace(DecodePlan(), timestamps=MODES[mode], max_new_tokens=60)
        prompts = [demo_task("greedy", mode).prompt] * len(AUDIO)
        encoded = replica.encode(features, FULL_WINDOW.num_positions)
        answers = replica.generate(encoded, prompts, plan)
        assert [list(answer.tokens) for answer in answers] == [
            GOLDENS["demo_model"]["answers"][f"{audio}, {mode}"]["greedy"] for audio in AUDIO
        ]
