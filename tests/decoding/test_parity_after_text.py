"""As `test_parity`, with preceding text in the prompt, whose tokens HF's processors count."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from parity import random_weights as rw
from parity.goldens import (
    GOLDENS,
    MODES,
    VOCABULARY,
    encoded_by,
    no_timestamps_of_demo,
    random_decoder,
    random_task,
    task_of,
)
from talkmill.engine.decoding.exact import ExactLane
from talkmill.engine.model.loading import LoadedModel
from talkmill.engine.model.protocol import EncoderOutput

PROMPTED_CASES: dict[str, dict[str, Any]] = GOLDENS["random_weights"]["prompted_cases"]


@pytest.fixture(scope="module")
def encoded(demo: LoadedModel) -> dict[str, EncoderOutput]:
    return encoded_by(demo)


@functools.cache
def answers_after_text(seed: int) -> dict[str, dict[str, list[int]]]:
    """Decode every case after preceding text, in one batch of prompts of several lengths."""
    prompted = GOLDENS["random_weights"]["seeds"][str(seed)]["prompted"]
    places = [(place, name) for place in prompted for name in PROMPTED_CASES]
    encoded = rw.random_chunks(seed)[[int(place.split(", ")[0]) for place, _ in places]]
    tasks = [
        random_task(
            PROMPTED_CASES[name],
            timestamps=MODES[place.split(", ")[1]],
            previous=prompted[place]["previous"],
        )
        for place, name in places
    ]
    answers = ExactLane(random_decoder(seed), VOCABULARY).run(encoded, tasks)
    found: dict[str, dict[str, list[int]]] = {}
    for (place, name), answer in zip(places, answers, strict=True):
        found.setdefault(place, {})[name] = list(answer.tokens)
    return found


@pytest.mark.parametrize("case", PROMPTED_CASES)
@pytest.mark.parametrize("seed", rw.SEEDS)
def test_random_weights_say_after_text_what_they_say_in_hf(seed: int, case: str) -> None:
    golden = GOLDENS["random_weights"]["seeds"][str(seed)]["prompted"]
    found = answers_after_text(seed)
    assert {place: cases[case] for place, cases in found.items()} == {
        place: known["answers"][case] for place, known in golden.items()
    }


def test_goldens_after_text_depend_on_it() -> None:
    seeds = GOLDENS["random_weights"]["seeds"].values()
    prompted = [known for seed in seeds for known in seed["prompted"].values()]
    assert all(len(known["previous"]) > 10 for known in prompted)
    answers = [known["answers"] for known in prompted]
    penalized = [own["greedy, repetition_penalty 1.5"] != own["greedy"] for own in answers]
    assert sum(penalized) > len(answers) / 2
    distinct = [len({tuple(answer) for answer in own.values()}) for own in answers]
    assert sum(count > 15 for count in distinct) > len(answers) / 2


@pytest.mark.parametrize("place", ["jfk, text", "sample, times"])
@pytest.mark.parametrize("case", PROMPTED_CASES)
def test_demo_model_says_after_text_what_it_says_in_hf(
    demo: LoadedModel, encoded: dict[str, EncoderOutput], case: str, place: str
) -> None:
    audio, mode = place.split(", ")
    known = GOLDENS["demo_model"]["prompted"][place]
    special = [] if MODES[mode] else [no_timestamps_of_demo()]
    prompt = [*known["previous"], *GOLDENS["demo_model"]["task"], *special]
    replica, task = demo.replicas[0], task_of(PROMPTED_CASES[case], prompt, timestamps=MODES[mode])
    if task.plan.is_exact:
        (found,) = replica.exact_lane(demo.vocabulary).run(encoded[audio], [task])
    else:
        (found,) = replica.generate(encoded[audio], [prompt], task.plan)
    assert list(found.tokens) == known["answers"][case]


def test_drawing_from_one_candidate_after_text_is_greedy_search_in_hf(
    demo: LoadedModel, encoded: dict[str, EncoderOutput]
) -> None:
    known = GOLDENS["demo_model"]["prompted"]["jfk, text"]
    prompt = [*known["previous"], *GOLDENS["demo_model"]["task"], no_timestamps_of_demo()]
    for rule in ("repetition_penalty 1.5", "no_repeat_ngram_size 2"):
        greedy = PROMPTED_CASES[f"greedy, {rule}"]
        task = task_of({**greedy, "do_sample": True, "top_k": 1}, prompt, timestamps=False)
        assert task.plan.is_exact
        (found,) = demo.replicas[0].exact_lane(demo.vocabulary).run(encoded["jfk"], [task])
        assert list(found.tokens) == known["answers"][f"greedy, {rule}"]
