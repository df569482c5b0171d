"""What every search keeps to, and what groups and contrastive search choose."""

from __future__ import annotations

import numpy as np
import pytest

from table_decoder import (
    END,
    NUM_TOKENS,
    PLANS,
    PROMPT,
    TIME,
    VOCABULARY,
    A,
    B,
    C,
    D,
    Table,
    answer_of,
    by_answer,
    hidden_of,
    logits_of,
    search,
    with_limits,
)
from talkmill.engine.decoding.exact import new_search
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.decoding.rules import Rules, Vocabulary
from talkmill.engine.decoding.search import Observation, best

each_search = pytest.mark.parametrize("plan", [pytest.param(p, id=n) for n, p in PLANS.items()])


@each_search
def test_end_of_text_first_is_an_empty_answer(plan: DecodePlan) -> None:
    assert answer_of(plan, lambda answer: {END: 0.999, A: 0.0005}) == []


@each_search
def test_an_answer_ends_with_its_end_of_text_left_out(plan: DecodePlan) -> None:
    table = by_answer({(): {A: 0.999}, (A,): {B: 0.999}}, {END: 0.999, C: 0.0001})
    assert answer_of(plan, table) == [A, B]


@each_search
def test_an_answer_is_never_longer_than_allowed(plan: DecodePlan) -> None:
    words = answer_of(with_limits(plan, max_new_tokens=3), lambda answer: {A: 0.7, B: 0.299})
    assert len(words) == 3


@each_search
@pytest.mark.parametrize("fewest", [1, 2, 7])
def test_an_answer_is_never_shorter_than_allowed(plan: DecodePlan, fewest: int) -> None:
    words = answer_of(
        with_limits(plan, min_new_tokens=fewest), lambda answer: {END: 0.98, A: 0.01, B: 0.005}
    )
    assert len(words) == fewest
    assert END not in words


@each_search
def test_the_end_that_is_forbidden_first_may_come_second(plan: DecodePlan) -> None:
    vocabulary = Vocabulary(END, TIME, suppress=(A,), suppress_first=(END,))
    words = answer_of(plan, lambda answer: {END: 0.9, A: 0.09, B: 0.01}, vocabulary=vocabulary)
    assert words == [B]


@pytest.mark.parametrize("size", [5, 63, 64, 65, 500, 1000, 5000])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_best_are_the_greatest_and_of_equals_the_first(size: int, k: int) -> None:
    rng = np.random.default_rng(size)
    for values in (
        rng.normal(0, 1, size),
        rng.integers(0, 3, size),  # nearly all are equal
        np.zeros(size),
        np.where(rng.random(size) < 0.99, -np.inf, 1.0),
    ):
        scores = values.astype(np.float32)
        expected = np.argsort(-scores, kind="stable")[:k]
        assert best(scores, k).tolist() == expected.tolist()


def test_scores_of_one_step_are_not_changed_under_the_next() -> None:
    """A search that wrote into what it was given would spoil its siblings' rows."""
    for plan in PLANS.values():
        logits = np.array([logits_of({A: 0.6, B: 0.4})])
        before = logits.copy()
        longer = with_limits(plan, repetition_penalty=1.5, min_new_tokens=3)
        running = new_search(longer, Rules(longer, VOCABULARY, PROMPT), END, seed=0, chunk=0)
        running.send(Observation(logits, hidden_of(())[None]))
        np.testing.assert_array_equal(logits, before)


def test_groups_avoid_the_tokens_that_groups_before_them_took() -> None:
    plan = with_limits(PLANS["groups"], num_beams=2, max_new_tokens=2, diversity_penalty=1.0)
    table: Table = lambda answer: {A: 0.6, B: 0.3, C: 0.1}  # noqa: E731
    assert search(plan, table).steps[0] == [A, B]
    with_little = with_limits(plan, diversity_penalty=0.5)
    assert search(with_little, table).steps[0] == [A, A]


def test_a_token_that_was_taken_twice_is_avoided_twice() -> None:
    plan = with_limits(PLANS["groups"], diversity_penalty=1.0, max_new_tokens=3)
    # The first group's two beams both go on with C, which is e^1.5 times as likely as D.
    table = by_answer({(): {A: 0.5, B: 0.49}}, {C: 0.8, D: 0.8 / np.exp(1.5)})
    steps = search(plan, table).steps
    assert steps[1][:2] == [C, C]
    assert steps[1][2:] == [D, D]


def test_groups_do_not_avoid_what_was_said_at_other_steps() -> None:
    plan = with_limits(PLANS["groups"], num_beams=2, max_new_tokens=3, diversity_penalty=1.0)
    table = by_answer({(): {A: 0.6, B: 0.4}, (A,): {B: 0.9}, (B,): {A: 0.9}}, {END: 0.9})
    assert search(plan, table).steps[1] == [B, A]


@pytest.mark.parametrize("name", PLANS)
def test_every_search_ends_where_no_token_may_follow(name: str) -> None:
    plan = with_limits(PLANS[name], suppress_tokens=tuple(range(NUM_TOKENS)))
    outcome = search(plan, lambda answer: {A: 0.6, B: 0.4})
    assert outcome.answer == []
    assert np.isfinite(outcome.sum_logprob)


# Contrastive search. A state is alike where the last token is the same.


def test_contrastive_search_avoids_what_is_like_the_prompt() -> None:
    plan = with_limits(PLANS["contrastive"], penalty_alpha=0.4, top_k=2, max_new_tokens=1)
    table: Table = lambda answer: {A: 0.6, B: 0.4}  # noqa: E731
    unlike = np.array([hidden_of((C,)), hidden_of((D,))])
    assert answer_of(plan, table, prompt_hidden=unlike) == [A]
    # The first of the prompt's positions, not just the last, is like A.
    alike = np.array([hidden_of((A,)), hidden_of((D,))])
    assert answer_of(plan, table, prompt_hidden=alike) == [B]


def test_contrastive_search_avoids_what_it_said_itself() -> None:
    plan = with_limits(PLANS["contrastive"], penalty_alpha=0.4, top_k=2, max_new_tokens=4)
    words = answer_of(plan, lambda answer: {A: 0.6, B: 0.4})
    assert words[:2] == [A, B]


@pytest.mark.parametrize(("alpha", "word"), [(0.1, A), (0.15, A), (0.2, B)])
def test_alpha_weighs_likeness_against_probability(alpha: float, word: int) -> None:
    # (1 - alpha) x .6 - alpha against (1 - alpha) x .4: even at alpha = 1/6.
    plan = with_limits(PLANS["contrastive"], penalty_alpha=alpha, top_k=2, max_new_tokens=1)
    alike = hidden_of((A,))[None]
    assert answer_of(plan, lambda answer: {A: 0.6, B: 0.4}, prompt_hidden=alike) == [word]


def test_contrastive_search_says_nothing_forbidden_where_little_is_allowed() -> None:
    plan = with_limits(PLANS["contrastive"], penalty_alpha=0.9, top_k=4, max_new_tokens=3)
    forbidden = tuple(token for token in range(NUM_TOKENS) if token not in (B, D))
    vocabulary = Vocabulary(END, TIME, suppress=forbidden)
    # What is allowed is like the prompt; what is not is like nothing.
    alike = np.array([hidden_of((B,)), hidden_of((D,))])
    words = answer_of(
        plan, lambda answer: {B: 0.6, D: 0.4}, vocabulary=vocabulary, prompt_hidden=alike
    )
    assert set(words) <= {B, D}
    assert len(words) == 3
