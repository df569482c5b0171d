"""Sampling sees HF's probabilities, and draws by them; a seed decides every draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity.warpers import NUM_TOKENS, PLANS, scores_to_warp
from talkmill.engine.decoding.exact import new_search
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Rules, Vocabulary
from talkmill.engine.decoding.sampling import draw, warp
from talkmill.engine.decoding.search import Observation
from talkmill.engine.decoding.softmax import softmax

GOLDENS = dict(np.load(Path(__file__).parents[1] / "data" / "parity" / "warpers.npz"))
SCORES = scores_to_warp()
NAMES = list(PLANS)
TOLERANCE = 2e-6  # of probabilities: float32 sums of 400 numbers in another order


def plan_of(name: str) -> DecodePlan:
    given: dict[str, Any] = {**PLANS[name]}
    return DecodePlan(strategy=Strategy.SAMPLE, **given)


def golden(scores: str, plan: str) -> NDArray[np.float32]:
    found: NDArray[np.float32] = GOLDENS[scores][NAMES.index(plan)]
    return found


@pytest.mark.parametrize("plan", NAMES)
@pytest.mark.parametrize("scores", SCORES)
def test_allowed_tokens_and_probabilities_are_hf_s(scores: str, plan: str) -> None:
    found, expected = softmax(warp(SCORES[scores], plan_of(plan))), golden(scores, plan)
    if "top_p" in plan or plan == "all":
        found, expected = by_score(found, scores), by_score(expected, scores)
    assert np.flatnonzero(found).tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=TOLERANCE)


def by_score(probabilities: NDArray[np.float32], scores: str) -> NDArray[np.float32]:
    """Return them with the kept ones first among equals: top p cuts these as torch sorts them."""
    return probabilities[np.lexsort((-probabilities, -SCORES[scores]))]


@pytest.mark.parametrize("plan", [name for name in NAMES if name not in ("none", "top_k 1000")])
def test_goldens_show_what_each_plan_does(plan: str) -> None:
    changed = [not np.allclose(golden(name, plan), golden(name, "none")) for name in SCORES]
    assert any(changed) or plan == "top_k 400"


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-6, 100.0])
def test_any_temperature_leaves_a_distribution(temperature: float) -> None:
    plan = DecodePlan(strategy=Strategy.SAMPLE, temperature=temperature, top_k=0)
    for name, scores in SCORES.items():
        found = softmax(warp(scores, plan))
        assert found.sum() == pytest.approx(1, abs=1e-5), name
        if temperature < 1e-3:
            assert set(np.flatnonzero(found)) <= set(np.flatnonzero(scores == scores.max()))


@pytest.mark.parametrize("name", SCORES)
def test_the_scores_given_are_left_as_they_are(name: str) -> None:
    before = SCORES[name].copy()
    warp(before, plan_of("all"))
    np.testing.assert_array_equal(before, SCORES[name])


def first_tokens(scores: NDArray[np.float32], plan: DecodePlan, count: int) -> NDArray[np.int64]:
    """Return the first tokens that as many searches draw, one for each seed."""
    vocabulary = Vocabulary(end_of_text=NUM_TOKENS - 1, timestamp_begin=NUM_TOKENS + 1)
    seen = Observation(scores[None], np.zeros((1, 1), np.float32))
    found = []
    for seed in range(count):
        rules = Rules(plan, vocabulary, [0])
        search = new_search(plan, rules, vocabulary.end_of_text, seed, 0)
        try:
            step = search.send(seen)
            assert step is not None
            found.append(step.tokens[0])
        except StopIteration:
            found.append(vocabulary.end_of_text)
    return np.array(found)


def variation(counts: NDArray[np.int64], expected: NDArray[np.floating]) -> float:
    """Return the total variation between what was drawn and a distribution."""
    return float(np.abs(counts / counts.sum() - expected).sum() / 2)


@pytest.mark.parametrize("plan", ["none", "temperature 2", "all"])
@pytest.mark.parametrize("scores", ["usual", "sharp", "forbidden"])
def test_draws_follow_hf_s_distribution_as_an_exact_sampler_does(scores: str, plan: str) -> None:
    count = 1500
    expected = golden(scores, plan).astype(float)
    expected /= expected.sum()
    drawn = first_tokens(SCORES[scores], plan_of(plan), count)
    assert (expected[drawn] > 0).all(), "a token that is not allowed"
    rng = np.random.default_rng(0)
    exact = [variation(rng.multinomial(count, expected), expected) for _ in range(200)]
    found = variation(np.bincount(drawn, minlength=NUM_TOKENS), expected)
    assert np.min(exact) * 0.9 <= found <= np.max(exact) * 1.1


def test_a_draw_depends_on_seed_chunk_and_position_alone() -> None:
    scores = np.zeros(50_000, np.float32)
    places = [(seed, chunk, position) for seed in (0, 1, 2**63, 2**64 - 1, 2**64 - 2)
              for chunk in (0, 1, 2) for position in (0, 1, 400)]  # fmt: skip
    first = {place: draw(scores, *place) for place in places}
    again = {place: draw(scores, *place) for place in reversed(places)}
    assert first == again
    assert len(set(first.values())) > len(places) - 3, "places that share their draws"


def test_neighbouring_seeds_chunks_and_positions_draw_independently() -> None:
    scores = np.zeros(2, np.float32)  # a coin
    for place in (lambda i: (i, 0, 0), lambda i: (7, i, 0), lambda i: (7, 0, i)):
        coins = np.array([draw(scores, *place(i)) for i in range(4000)])
        assert abs(coins.mean() - 0.5) < 0.03
        repeats = (coins[1:] == coins[:-1]).mean()
        assert abs(repeats - 0.5) < 0.03


def test_no_draw_takes_a_token_without_probability() -> None:
    scores = np.full(1000, -np.inf, np.float32)
    scores[[0, 999]] = 0  # the ends, where an index may run over
    drawn = {draw(scores, seed, 0, 0) for seed in range(200)}
    assert drawn == {0, 999}


def test_the_position_in_the_answer_goes_into_the_draw() -> None:
    plan = DecodePlan(strategy=Strategy.SAMPLE, top_k=0, max_new_tokens=40)
    vocabulary = Vocabulary(end_of_text=999, timestamp_begin=1001)
    logits = np.zeros((1, 1000), np.float32)
    logits[0, 999] = -np.inf
    seen = Observation(logits, np.zeros((1, 1), np.float32))

    def answer(seed: int, chunk: int) -> list[int]:
        search = new_search(plan, Rules(plan, vocabulary, [0]), 999, seed, chunk)
        try:
            while True:
                search.send(seen)
        except StopIteration as stop:
            found: list[int] = stop.value.tokens
            return found

    assert answer(3, 0) == [draw(logits[0], 3, 0, position) for position in range(40)]
    assert len(set(answer(3, 0))) > 30
    assert answer(3, 0) != answer(3, 1) != answer(4, 0)
