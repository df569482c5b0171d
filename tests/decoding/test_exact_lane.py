"""Chunks that share the exact lane, whenever they come and go, get the answers they get alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from parity import random_weights as rw
from talkmill.engine.decoding.exact import ExactLane, ExactTask
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Vocabulary
from talkmill.engine.model.step_decoder import StepDecoder

VOCABULARY = Vocabulary(rw.END_OF_TEXT, rw.TIMESTAMP_BEGIN)
PLANS = [
    DecodePlan(max_new_tokens=40),
    DecodePlan(Strategy.SAMPLE, top_p=0.9, max_new_tokens=40),
    DecodePlan(Strategy.BEAM, num_beams=3, early_stopping=False, max_new_tokens=40),
    DecodePlan(Strategy.DIVERSE_BEAM, num_beams=4, num_beam_groups=2, max_new_tokens=30),
    DecodePlan(Strategy.CONTRASTIVE, top_k=4, penalty_alpha=0.4, max_new_tokens=40),
    DecodePlan(timestamps=True, max_new_tokens=40, min_new_tokens=10),
]


def prompt(num_previous: int) -> list[int]:
    return [*range(20, 20 + num_previous), rw.START, rw.START + 1, rw.NO_TIMESTAMPS]


@pytest.fixture(scope="module")
def decoder() -> StepDecoder:
    return StepDecoder(rw.random_weights(0))


@pytest.fixture(scope="module")
def encoded() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (12, 200, rw.D_MODEL)).astype(np.float32)


@pytest.fixture(scope="module")
def tasks() -> list[ExactTask]:
    return [ExactTask(prompt(i % 5), PLANS[i % 6], 5, i, lambda: True) for i in range(12)]


@pytest.fixture(scope="module")
def alone(
    decoder: StepDecoder, encoded: NDArray[np.float32], tasks: list[ExactTask]
) -> list[list[int]]:
    return [
        list(ExactLane(decoder, VOCABULARY).run(encoded[i : i + 1], [task])[0].tokens)
        for i, task in enumerate(tasks)
    ]


def test_answers_vary_and_end_at_different_times(alone: list[list[int]]) -> None:
    assert len({len(answer) for answer in alone}) > 4


@pytest.mark.parametrize("seed", range(4))
def test_chunks_that_join_midway_get_the_answers_they_get_alone(
    decoder: StepDecoder,
    encoded: NDArray[np.float32],
    tasks: list[ExactTask],
    alone: list[list[int]],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    waiting = rng.permutation(len(tasks)).tolist()
    lane = ExactLane(decoder, VOCABULARY)
    answers: dict[ExactTask, Hypothesis] = {}
    num_joins = 0
    while waiting or lane.num_rows:
        if waiting and rng.random() < 0.3:
            count = int(rng.integers(1, 4))
            now, waiting = waiting[:count], waiting[count:]
            num_joins += lane.num_rows > 0
            lane.add(encoded[now], [tasks[i] for i in now])
        answers.update(lane.step())
    assert num_joins > 2
    assert [list(answers[task].tokens) for task in tasks] == alone


def test_rows_are_counted_until_their_chunk_leaves(
    decoder: StepDecoder, encoded: NDArray[np.float32], tasks: list[ExactTask]
) -> None:
    lane = ExactLane(decoder, VOCABULARY)
    assert lane.num_rows == 0
    assert lane.step() == []
    lane.add(encoded[:4], tasks[:4])
    live = {task: task.plan.num_rows for task in tasks[:4]}
    while lane.num_rows:
        assert lane.num_rows == sum(live.values())
        for task, _ in lane.step():
            del live[task]
    assert not live


def test_chunk_that_is_not_wanted_any_more_leaves_at_the_next_step(
    decoder: StepDecoder, encoded: NDArray[np.float32], alone: list[list[int]]
) -> None:
    wanted = {0: True, 1: True}
    plan = PLANS[5]
    pair = [ExactTask(prompt(0), plan, 5, i, partial(wanted.__getitem__, i)) for i in range(2)]
    lane = ExactLane(decoder, VOCABULARY)
    lane.add(encoded[:2], pair)
    assert lane.step() == lane.step() == []
    wanted[0] = False
    ((left, hypothesis),) = lane.step()
    assert (left, hypothesis.tokens) == (pair[0], ())
    finished: list[tuple[ExactTask, Hypothesis]] = []
    while lane.num_rows:
        finished += lane.step()
    expected = ExactLane(decoder, VOCABULARY).run(
        encoded[1:2], [ExactTask(prompt(0), plan, 5, 1, lambda: True)]
    )
    assert [answer.tokens for _, answer in finished] == [expected[0].tokens]
