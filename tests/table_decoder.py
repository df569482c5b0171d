"""A decoder that is a table: what it sees next, by what was said before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkmill.engine.decoding.exact import new_search
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Rules, Vocabulary
from talkmill.engine.decoding.search import Observation

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
    sum_logprob: float = 0.0
    logprobs: list[float] = field(default_factory=list)


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
        outcome.answer, outcome.sum_logprob = stop.value.tokens, stop.value.sum_logprob
        outcome.logprobs = stop.value.logprobs
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
