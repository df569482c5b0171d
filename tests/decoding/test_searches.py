"""The searches over a decoder that is a table: what it sees next, by what was said before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from talkmill.engine.decoding.exact import ExactLane, ExactTask, new_search
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Rules, Vocabulary, apply_timestamp_rules
from talkmill.engine.decoding.search import Observation, best

A, B, C, D = 0, 1, 2, 3  # words
END, START, NO_TIMES, TIME = 4, 5, 6, 7  # TIME is 0.00 s
NUM_TOKENS = TIME + 100
VOCABULARY = Vocabulary(END, TIME)
PROMPT = [START]

Answer = tuple[int, ...]
Table = Callable[[Answer], dict[int, float]]
"""Probabilities of what follows an answer; what it does not name has almost none."""


def logits_of(probabilities: dict[int, float]) -> NDArray[np.float32]:
    logits = np.full(NUM_TOKENS, -30, np.float32)
    for token, probability in probabilities.items():
        logits[token] = np.log(probability)
    return logits


def hidden_of(answer: Answer) -> NDArray[np.float32]:
    """Return a state that is alike where the last token is."""
    hidden = np.zeros(NUM_TOKENS, np.float32)
    hidden[answer[-1] if answer else START] = 1
    return hidden


@dataclass
class Outcome:
    answer: list[int]
    steps: list[list[int]]  # the tokens of each


def search(plan: DecodePlan, table: Table, **options: Any) -> Outcome:
    """Run one search to its end."""
    vocabulary = options.get("vocabulary", VOCABULARY)
    running = new_search(plan, Rules(plan, vocabulary, PROMPT), END, seed=1, chunk=0)
    rows: list[Answer] = [()]
    hidden = options.get("prompt_hidden", hidden_of(())[None])
    outcome = Outcome([], [])
    try:
        while True:
            logits = np.array([logits_of(table(row)) for row in rows])
            step = running.send(Observation(logits, hidden))
            assert step is not None
            assert len(step.tokens) == len(step.parents)
            rows = [(*rows[p], t) for p, t in zip(step.parents, step.tokens, strict=True)]
            hidden = np.array([hidden_of(row) for row in rows])
            outcome.steps.append(step.tokens)
    except StopIteration as stop:
        outcome.answer = stop.value
    return outcome


def answer_of(plan: DecodePlan, table: Table, **options: Any) -> list[int]:
    return search(plan, table, **options).answer


def by_answer(cases: dict[Answer, dict[int, float]], otherwise: dict[int, float]) -> Table:
    return lambda answer: cases.get(answer, otherwise)


PLANS = {
    "greedy": DecodePlan(max_new_tokens=10),
    "sampling": DecodePlan(strategy=Strategy.SAMPLE, max_new_tokens=10, top_k=0),
    "beams": DecodePlan(strategy=Strategy.BEAM, num_beams=2, max_new_tokens=10),
    "groups": DecodePlan(
        strategy=Strategy.DIVERSE_BEAM, num_beams=4, num_beam_groups=2, max_new_tokens=10
    ),
    "contrastive": DecodePlan(
        strategy=Strategy.CONTRASTIVE, penalty_alpha=0.1, top_k=4, max_new_tokens=10
    ),
}


def with_limits(plan: DecodePlan, **changes: Any) -> DecodePlan:
    return DecodePlan(**{**vars(plan), **changes})


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


# Beam search. Two beams; scores are the logarithms of these probabilities over the length.


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
        pytest.param(hasty_table, None, [A, A], id="unset is false"),
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


# Rules.


def allowed(plan: DecodePlan, answer: Sequence[int], logits: dict[int, float]) -> set[int]:
    """Return what may follow an answer, of tokens that are likely by these logits."""
    scores = np.full(NUM_TOKENS, -5, np.float32)
    for token, value in logits.items():
        scores[token] = value
    Rules(plan, VOCABULARY, PROMPT).apply(scores, answer)
    return set(np.flatnonzero(scores > -np.inf).tolist())


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


# Many chunks over one decoder.


@dataclass
class FakeDecoder:
    """Fills `StepDecoder`: each chunk has a table of its own, and `encoded` names it.

    Attributes:
        tables: By what `encoded` holds.
        widths: The rows of each step so far.
    """

    tables: dict[str, Table]
    widths: list[int] = field(default_factory=list)

    def start(self, encoded: Sequence[str], prompts: Sequence[Sequence[int]]) -> Any:
        rows: list[tuple[str, Answer]] = [(name, ()) for name in encoded]
        hidden = np.zeros((len(PROMPT), NUM_TOKENS), np.float32)
        return rows, [(logits[None], hidden + 1) for logits in self._logits(rows)]

    def reorder(self, rows: Any, parents: Sequence[int], chunks: Sequence[tuple[int, int]]) -> None:
        order = [name for name, _ in rows]
        names = list(dict.fromkeys(order))
        rows[:] = [rows[parent] for parent in parents]
        expected = [names[place] for place, length in chunks for _ in range(length)]
        assert [name for name, _ in rows] == expected, "rows and their chunks disagree"

    def step(self, rows: Any, tokens: Sequence[int]) -> Any:
        self.widths.append(len(tokens))
        rows[:] = [(name, (*said, t)) for (name, said), t in zip(rows, tokens, strict=True)]
        return self._logits(rows), np.array([hidden_of(said) for _, said in rows])

    def _logits(self, rows: Sequence[tuple[str, Answer]]) -> NDArray[np.float32]:
        return np.array([logits_of(self.tables[name](said)) for name, said in rows])


def talker(count: int, word: int) -> Table:
    """Say a word so often, then end."""
    return lambda answer: {word if len(answer) < count else END: 0.99, D: 0.005}


def task(
    plan: DecodePlan = DecodePlan(),  # noqa: B008
    is_wanted: Callable[[], bool] = lambda: True,
) -> ExactTask:
    return ExactTask(PROMPT, plan, seed=0, chunk=0, is_wanted=is_wanted)


def decode(decoder: FakeDecoder, *tasks: ExactTask) -> list[list[int]]:
    names = list(decoder.tables)
    return ExactLane(decoder, VOCABULARY).run(names, tasks)  # type: ignore[arg-type]


def test_chunks_of_every_kind_share_steps_and_get_their_own_words() -> None:
    plans = [*PLANS.values(), DecodePlan(timestamps=False, min_new_tokens=3)]
    tables = {str(i): talker(i % 3, i % 3) for i in range(len(plans))}
    decoder = FakeDecoder(tables)
    together = decode(decoder, *map(task, plans))
    alone = [
        decode(FakeDecoder({name: table}), task(plan))[0]
        for (name, table), plan in zip(tables.items(), plans, strict=True)
    ]
    assert together == alone
    assert max(decoder.widths) > len(plans)


def test_rows_of_a_finished_chunk_leave() -> None:
    decoder = FakeDecoder({"short": talker(1, A), "long": talker(5, B), "middle": talker(3, C)})
    assert decode(decoder, task(), task(), task()) == [[A], [B] * 5, [C] * 3]
    assert decoder.widths == [3, 2, 2, 1, 1]


def test_a_chunk_takes_one_row_until_its_search_branches() -> None:
    decoder = FakeDecoder({"beams": talker(3, A), "greedy": talker(2, B)})
    decode(decoder, task(with_limits(PLANS["beams"], num_beams=5)), task())
    assert decoder.widths[0] == 6


def test_a_chunk_that_nobody_wants_any_more_leaves_before_its_next_step() -> None:
    wanted = iter([True, True, True, False])
    decoder = FakeDecoder({"given up": talker(9, A), "wanted": talker(5, B)})
    given_up = task(is_wanted=lambda: next(wanted))
    assert decode(decoder, given_up, task()) == [[], [B] * 5]
    assert decoder.widths == [2, 2, 2, 1, 1]


def test_nothing_is_read_for_a_chunk_that_nobody_wanted_from_the_start() -> None:
    decoder = FakeDecoder({"given up": talker(9, A)})
    assert decode(decoder, task(is_wanted=lambda: False)) == [[]]
    assert decoder.widths == []


def test_scores_of_one_step_are_not_changed_under_the_next() -> None:
    """A search that wrote into what it was given would spoil its siblings' rows."""
    for plan in PLANS.values():
        logits = np.array([logits_of({A: 0.6, B: 0.4})])
        before = logits.copy()
        longer = with_limits(plan, repetition_penalty=1.5, min_new_tokens=3)
        running = new_search(longer, Rules(longer, VOCABULARY, PROMPT), END, seed=0, chunk=0)
        running.send(Observation(logits, hidden_of(())[None]))
        np.testing.assert_array_equal(logits, before)


def test_draws_of_neighbours_in_an_utterance_differ() -> None:
    plan = with_limits(PLANS["sampling"], max_new_tokens=40)
    table: Table = lambda answer: {A: 0.5, B: 0.5}  # noqa: E731
    decoder = FakeDecoder({"0": table, "1": table, "2": table})
    tasks = [ExactTask(PROMPT, plan, 5, chunk, lambda: True) for chunk in range(3)]
    answers = decode(decoder, *tasks)
    assert all(first != second for first, second in pairwise(answers))
