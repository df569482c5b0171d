"""What may follow an answer: timestamps, limits, repetitions and suppressed tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from table_decoder import (
    END,
    NO_TIMES,
    NUM_TOKENS,
    PROMPT,
    START,
    TIME,
    VOCABULARY,
    A,
    B,
    C,
    D,
    with_limits,
)
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.decoding.rules import Rules, Vocabulary, apply_timestamp_rules


def allowed(plan: DecodePlan, answer: Sequence[int], logits: dict[int, float]) -> set[int]:
    """Return what may follow an answer, of tokens that are likely by these logits."""
    scores = np.full(NUM_TOKENS, -5, np.float32)
    for token, value in logits.items():
        scores[token] = value
    Rules(plan, VOCABULARY, PROMPT).apply(scores, answer)
    return set(np.flatnonzero(scores > -np.inf).tolist())


def test_nothing_but_the_end_may_follow_where_every_token_is_forbidden() -> None:
    plan = DecodePlan(suppress_tokens=tuple(range(NUM_TOKENS)), min_new_tokens=3)
    assert allowed(plan, [A], {}) == {END}


TIMES = DecodePlan(timestamps=True)
WORDS = {A, B, C, D}
LIKELY_WORD = {A: 20.0}
LIKELY_END = {END: 20.0}
SPECIAL = {START}  # HF leaves it, too


def times(first: int, last: int = 99) -> set[int]:
    return set(range(TIME + first, TIME + last + 1))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param([], times(0, 50), id="first a time, of 1 s at most"),
        pytest.param([TIME + 3], WORDS | {END} | SPECIAL, id="words after the first time"),
        pytest.param(
            [TIME + 3, A], WORDS | {END} | SPECIAL | times(4), id="a later time closes a phrase"
        ),
        pytest.param(
            [TIME + 3, A, TIME + 8], {END} | SPECIAL | times(8), id="a closed phrase ends in a pair"
        ),
        pytest.param(
            [TIME + 3, A, TIME + 8, TIME + 8], WORDS | {END} | SPECIAL, id="words after a pair"
        ),
        pytest.param(
            [TIME + 3, A, TIME + 8, TIME + 8, B],
            WORDS | {END} | SPECIAL | times(9),
            id="never back, nor the same again",
        ),
    ],
)
def test_times_come_in_pairs_and_never_go_back(answer: list[int], expected: set[int]) -> None:
    logits = LIKELY_END if answer and answer[-1] >= TIME else LIKELY_WORD
    assert allowed(TIMES, answer, logits) == expected


def test_a_time_comes_where_all_times_are_likelier_than_any_word() -> None:
    each = dict.fromkeys(times(0), 0.5)  # 96 of them: .5 + ln 96 = 5.06
    answer = [TIME + 3, A]
    assert allowed(TIMES, answer, each | {B: 5.0}) == times(4)
    assert B in allowed(TIMES, answer, each | {B: 5.1})


def test_times_are_left_alone_where_none_were_asked_for() -> None:
    assert NO_TIMES in allowed(DecodePlan(), [], {})
    assert allowed(DecodePlan(), [TIME + 3, A, TIME + 1], {}) == set(range(NUM_TOKENS))


def test_forbidding_the_end_can_make_a_time_come() -> None:
    # The end is likelier than all times; the best word is not.
    logits = dict.fromkeys(times(0), 0.5) | {END: 6.0, B: 2.0}
    answer = [TIME + 3, A]
    assert END in allowed(TIMES, answer, logits)
    longer = with_limits(TIMES, min_new_tokens=5)
    assert allowed(longer, answer, logits) == times(4)


def test_scores_far_below_zero_give_the_same_rules() -> None:
    scores = np.full(NUM_TOKENS, -1000, np.float32)
    apply_timestamp_rules(scores, [TIME + 3, A], VOCABULARY)
    assert set(np.flatnonzero(scores > -np.inf).tolist()) == times(4)


def test_the_end_is_forbidden_exactly_until_the_fewest_are_said() -> None:
    plan = DecodePlan(min_new_tokens=2)
    assert [END in allowed(plan, [A] * count, {}) for count in range(4)] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("penalty", [0.5, 2.0])
def test_repetition_penalty_makes_what_was_said_less_likely_whatever_its_sign(
    penalty: float,
) -> None:
    scores = np.array([3.0, -3.0, 3.0, -3.0, 0.0, 3.0] + [1.0] * 101, np.float32)
    Rules(DecodePlan(repetition_penalty=penalty), VOCABULARY, PROMPT).apply(scores, [A, A, B])
    expected = np.array([3 / penalty, -3 * penalty, 3, -3, 0, 3 / penalty] + [1.0] * 101)
    # Once, however often it was said; and START, which stands in the prompt.
    np.testing.assert_allclose(scores, expected)


@pytest.mark.parametrize(
    ("size", "answer", "forbidden"),
    [
        (1, [A, B], {START, A, B}),
        (2, [A, B, A], {B}),
        (2, [A, B, A, C, A], {B, C}),
        (2, [A, B], set()),
        (2, [START], {START}),
        (2, [B, START], {B}),  # START B stands at the prompt's border
        (3, [A, B, C, A, B], {C}),
        (3, [A, B, C, B], set()),
        (3, [A], set()),
        (3, [], set()),
        (4, [A, B, C, D, A, B, C], {D}),
        (9, [A, B, C], set()),
    ],
    ids=str,
)
def test_no_sequence_of_that_many_tokens_is_said_twice(
    size: int, answer: list[int], forbidden: set[int]
) -> None:
    plan = DecodePlan(no_repeat_ngram_size=size)
    assert set(range(NUM_TOKENS)) - allowed(plan, answer, {}) == forbidden


def test_suppressed_tokens_are_the_model_s_own_and_the_request_s() -> None:
    vocabulary = Vocabulary(END, TIME, suppress=(A,), suppress_first=(B,))
    rules = Rules(DecodePlan(suppress_tokens=(C,)), vocabulary, PROMPT)
    for answer, forbidden in ([], {A, B, C}), ([D], {A, C}):
        scores = np.zeros(NUM_TOKENS, np.float32)
        rules.apply(scores, answer)
        assert set(np.flatnonzero(scores == -np.inf).tolist()) == forbidden
