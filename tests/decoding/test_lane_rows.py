"""Many chunks over one decoder: which rows each step of the exact lane has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from table_decoder import (
    END,
    NUM_TOKENS,
    PLANS,
    PROMPT,
    VOCABULARY,
    A,
    Answer,
    B,
    C,
    D,
    Table,
    hidden_of,
    logits_of,
    with_limits,
)
from talkmill.engine.decoding.exact import ExactLane, ExactTask
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.decoding.search import Logits

Rows = list[tuple[str, Answer]]
"""The name of each row's chunk, and the tokens that it has read."""


@dataclass
class FakeDecoder:
    """Implements `Decoder`: each chunk has a table of its own, and `encoded` names it.

    Attributes:
        tables: By what `encoded` holds.
        widths: The rows of each step so far.
    """

    tables: dict[str, Table]
    widths: list[int] = field(default_factory=list)

    def start(
        self, encoded: Sequence[str], prompts: Sequence[Sequence[int]]
    ) -> tuple[Rows, list[tuple[Logits, Logits]]]:
        rows: Rows = [(name, ()) for name in encoded]
        hidden = np.zeros((len(PROMPT), NUM_TOKENS), np.float32)
        return rows, [(logits[None], hidden + 1) for logits in self.next_logits(rows)]

    def step(self, state: Rows, tokens: Sequence[int]) -> tuple[Logits, Logits]:
        self.widths.append(len(tokens))
        state[:] = [(name, (*said, t)) for (name, said), t in zip(state, tokens, strict=True)]
        return self.next_logits(state), np.array([hidden_of(said) for _, said in state])

    def logits(self, hidden: Logits) -> Logits:
        raise AssertionError("only <|nospeech|> needs them, and `VOCABULARY` has none")

    def reorder(self, state: Rows, rows: Sequence[int], chunks: Sequence[tuple[int, int]]) -> None:
        names = list(dict.fromkeys(name for name, _ in state))
        state[:] = [state[row] for row in rows]
        expected = [names[place] for place, length in chunks for _ in range(length)]
        assert [name for name, _ in state] == expected, "rows and their chunks disagree"

    def join(self, states: Sequence[Rows]) -> Rows:
        return [row for state in states for row in state]

    def next_logits(self, rows: Rows) -> Logits:
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
    found = ExactLane(decoder, VOCABULARY).run(names, tasks)
    return [list(hypothesis.tokens) for hypothesis in found]


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


def test_rows_of_a_chunk_that_joins_come_after_those_that_are_live() -> None:
    decoder = FakeDecoder({"early": talker(4, A), "late": talker(2, B)})
    lane = ExactLane(decoder, VOCABULARY)
    early, late = task(), task()
    lane.add(["early"], [early])
    assert lane.step() == lane.step() == []
    lane.add(["late"], [late])
    found = [hypothesis.tokens for _ in range(3) for _, hypothesis in lane.step()]
    assert found == [(A,) * 4, (B,) * 2]
    assert decoder.widths == [1, 1, 2, 2]


def test_a_chunk_takes_one_row_until_its_search_branches() -> None:
    decoder = FakeDecoder({"beams": talker(3, A), "greedy": talker(2, B)})
    decode(decoder, task(with_limits(PLANS["beams"], num_beams=5)), task())
    assert decoder.widths[0] == 6


def test_a_chunk_that_is_no_longer_wanted_leaves_before_its_next_step() -> None:
    wanted = iter([True, True, True, False])
    decoder = FakeDecoder({"given up": talker(9, A), "wanted": talker(5, B)})
    given_up = task(is_wanted=lambda: next(wanted))
    assert decode(decoder, given_up, task()) == [[], [B] * 5]
    assert decoder.widths == [2, 2, 2, 1, 1]


def test_nothing_is_read_for_a_chunk_that_was_never_wanted() -> None:
    decoder = FakeDecoder({"given up": talker(9, A)})
    assert decode(decoder, task(is_wanted=lambda: False)) == [[]]
    assert decoder.widths == []


def test_draws_of_neighbours_in_an_utterance_differ() -> None:
    plan = with_limits(PLANS["sampling"], max_new_tokens=40)
    table: Table = lambda answer: {A: 0.5, B: 0.5}  # noqa: E731
    decoder = FakeDecoder({"0": table, "1": table, "2": table})
    tasks = [ExactTask(PROMPT, plan, 5, chunk, lambda: True) for chunk in range(3)]
    answers = decode(decoder, *tasks)
    assert all(first != second for first, second in pairwise(answers))
