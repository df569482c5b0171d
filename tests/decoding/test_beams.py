"""Beam search, mostly two beams: a score is the logarithm of a probability over the length."""

from __future__ import annotations

from typing import Any

import pytest

from table_decoder import (
    END,
    PLANS,
    TIME,
    A,
    Answer,
    B,
    C,
    D,
    Table,
    answer_of,
    by_answer,
    search,
    with_limits,
)
from talkmill.engine.decoding.rules import Vocabulary


def patient_table(answer: Answer) -> dict[int, float]:
    """Say `A` at once, or, from there on, seven with hardly a doubt."""
    if answer == ():
        return {A: 0.5, END: 0.3, B: 0.02}
    if answer == (A,):
        return {END: 0.8, A: 0.15, C: 0.05}
    if answer[:2] == (A, A):
        return {A: 0.98, B: 0.02} if len(answer) < 7 else {END: 0.98, B: 0.02}
    return {B: 0.5, C: 0.5}


def hasty_table(answer: Answer) -> dict[int, float]:
    """Have two answers after two steps; a third that is better comes at the next."""
    if answer == ():
        return {A: 0.5, END: 0.3, B: 0.2}
    if answer == (A,):
        return {END: 0.6, A: 0.4}
    return {END: 0.99, B: 0.01} if answer == (A, A) else {B: 0.5, C: 0.5}


@pytest.mark.parametrize(
    ("table", "early_stopping", "answer"),
    [
        # ln .3 / 2 = -.60 and ln .3 / 1 = -1.20 are kept: two, and that is enough.
        pytest.param(hasty_table, True, [A], id="true stops at two answers"),
        # ln .2 / 2 = -.80 runs, and beats the worse; ln .198 / 3 = -.54 is better than both.
        pytest.param(hasty_table, False, [A, A], id="false goes on while it looks promising"),
        # ln .075 / 2 = -1.29 is worse than -1.20, but ln .075 / 10 = -.26 could be better.
        pytest.param(patient_table, False, [A], id="false stops where it looks hopeless now"),
        pytest.param(patient_table, "never", [A] * 7, id="never goes on while there is hope"),
    ],
)
def test_each_early_stopping_has_its_own_end(
    table: Table, early_stopping: Any, answer: list[int]
) -> None:
    plan = with_limits(PLANS["beams"], early_stopping=early_stopping)
    assert answer_of(plan, table) == answer


def test_true_reads_no_further_once_it_has_its_answers() -> None:
    plan = with_limits(PLANS["beams"], early_stopping=True)
    assert len(search(plan, hasty_table).steps) == 1


def test_never_hopes_for_length_only_where_length_is_rewarded() -> None:
    # ln .06 x 1 and ln .27 x 2 = -2.6 are kept; ln .63 x 2 = -.9 runs, and would be -4.6 at ten.
    table = by_answer(
        {(): {A: 0.9, END: 0.06, B: 0.04}, (A,): {A: 0.7, END: 0.3}, (A, A): {END: 0.99}},
        {B: 0.5, C: 0.5},
    )
    plan = with_limits(PLANS["beams"], early_stopping="never", length_penalty=-1.0)
    assert answer_of(plan, table) == [A, A]
    assert answer_of(with_limits(plan, length_penalty=-0.01), patient_table) == [A]


def test_the_length_of_an_answer_counts_its_end() -> None:
    # ln .3 / 1 = -1.20 against ln .2 / 2 = -.80; without the end it would be -1.61 / 1.
    table = by_answer({(): {END: 0.3, A: 0.2, B: 0.1}, (A,): {END: 0.999}}, {B: 0.5, C: 0.5})
    assert answer_of(PLANS["beams"], table) == [A]


@pytest.mark.parametrize(("penalty", "answer"), [(0.0, []), (1.0, [A]), (3.0, [A])])
def test_the_length_penalty_rewards_length(penalty: float, answer: list[int]) -> None:
    table = by_answer({(): {END: 0.3, A: 0.2, B: 0.1}, (A,): {END: 0.999}}, {B: 0.5, C: 0.5})
    plan = with_limits(PLANS["beams"], length_penalty=penalty, early_stopping=True)
    assert answer_of(plan, table) == answer


def test_a_length_penalty_that_takes_scores_below_hf_s_bound_loses_no_answer() -> None:
    plan = with_limits(PLANS["beams"], length_penalty=-10.0, min_new_tokens=9)  # ln p x 10^10
    words = answer_of(plan, lambda answer: {END: 0.5, A: 0.3, B: 0.2})
    assert len(words) == 9


def test_beams_find_what_greedy_misses() -> None:
    table = by_answer(
        {(): {A: 0.55, B: 0.45}, (A,): {C: 0.5, D: 0.5}, (B,): {END: 0.99}}, {END: 0.99}
    )
    assert answer_of(PLANS["greedy"], table)[0] == A
    assert answer_of(PLANS["beams"], table) == [B]


def test_rules_leave_probabilities_as_they_were_for_the_beams() -> None:
    # HF forbids after the softmax: what is left is not scaled up again. If it were, the end would
    # be sure where nothing else is allowed, and B would win.
    vocabulary = Vocabulary(END, TIME, suppress=(C,))
    table = by_answer(
        {(): {A: 0.5, B: 0.4}, (A,): {END: 0.5, D: 0.5}, (B,): {C: 0.7, END: 0.3}}, {END: 0.9}
    )
    assert answer_of(PLANS["beams"], table, vocabulary=vocabulary)[0] == A
