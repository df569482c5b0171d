"""The searches that keep one hypothesis: greedy, sampling, contrastive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .plan import DecodePlan, Strategy
from .rules import Rules
from .sampling import draw, warp
from .search import Answer, Search, Step, best
from .softmax import log_probability, softmax


def one_by_one(plan: DecodePlan, rules: Rules, end_of_text: int, seed: int, chunk: int) -> Search:
    """Greedy search, or sampling."""
    answer: list[int] = []
    logprobs: list[float] = []
    observation = yield None
    while True:
        scores = observation.logits[0].copy()
        rules.apply(scores, answer)
        if plan.strategy is Strategy.SAMPLE:
            token = draw(warp(scores, plan), seed, chunk, len(answer))
        else:
            token = int(scores.argmax())
        logprobs.append(log_probability(scores, token))
        if token == end_of_text:
            return Answer(answer, logprobs)
        answer.append(token)
        if len(answer) == plan.max_new_tokens:
            return Answer(answer, logprobs)
        observation = yield Step([0], [token])


def contrastive(plan: DecodePlan, rules: Rules, end_of_text: int) -> Search:
    """Contrastive search (Su et al., 2022): likely, but unlike what was said before.

    Every candidate is read, and its hidden state compared with all before it, the prompt's too.
    """
    answer: list[int] = []
    logprobs: list[float] = []
    alpha = np.float32(plan.penalty_alpha)
    observation = yield None
    context = _unit(observation.hidden)
    logits, chosen = observation.logits[0], 0
    while True:
        scores = logits.copy()
        rules.apply(scores, answer)
        probabilities = softmax(scores)
        candidates = best(probabilities, plan.top_k)
        observation = yield Step([chosen] * plan.top_k, candidates.tolist())
        hidden = _unit(observation.hidden)
        likeness = (hidden @ context.T).max(-1)
        worth = (1 - alpha) * probabilities[candidates] - alpha * likeness
        # Where fewer are allowed than asked for, HF may say what the rules forbid.
        worth[scores[candidates] == -np.inf] = -np.inf
        chosen = int(worth.argmax())
        token = int(candidates[chosen])
        logprobs.append(log_probability(scores, token))
        if token == end_of_text:
            return Answer(answer, logprobs)
        answer.append(token)
        if len(answer) == plan.max_new_tokens:
            return Answer(answer, logprobs)
        context = np.concatenate([context, hidden[chosen : chosen + 1]])
        logits = observation.logits[chosen]


def _unit(hidden: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = hidden / np.linalg.norm(hidden, axis=-1, keepdims=True)
    return unit
