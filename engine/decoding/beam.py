"""HF's beam search, with every value of `early_stopping`.

Source: `GenerationMixin._beam_search` of transformers 4.55. As there, scores are float32 and 1e9 is
subtracted to exclude a hypothesis, so that ties and exhausted candidates give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .plan import DecodePlan
from .rules import Rules
from .search import Answer, Search, Step, best
from .softmax import log_softmax

_UNLIKELY = np.float32(-1e9)


@dataclass(frozen=True)
class _Candidate:
    answer: list[int]
    score: np.float32  # the sum of log-probabilities divided by the penalised length
    is_finished: bool
    logprobs: list[float]


def beam(plan: DecodePlan, rules: Rules, end_of_text: int) -> Search:
    """Run beam search over log-probabilities to which the rules are applied."""
    num_beams = plan.num_beams
    observation = yield None
    logits = np.repeat(observation.logits, num_beams, 0)
    answers: list[list[int]] = [[]] * num_beams
    logprobs: list[list[float]] = [[]] * num_beams  # of the tokens of each answer
    scores = np.full(num_beams, _UNLIKELY)  # of the running beams
    scores[0] = 0  # all beams are equal at first, so only one counts
    kept = [_Candidate([], _UNLIKELY, False, [])] * num_beams
    may_improve = True
    while True:
        totals = _total_scores(logits, answers, scores, rules)
        picks = best(totals.reshape(-1), 2 * num_beams)
        beams, tokens = np.divmod(picks, totals.shape[1])
        picked = totals.reshape(-1)[picks]
        longer = [[*answers[b], int(t)] for b, t in zip(beams, tokens, strict=True)]
        with np.errstate(invalid="ignore"):  # both are infinite where nothing is allowed
            gained = (picked - scores[beams]).tolist()
        likelihoods = [[*logprobs[b], own] for b, own in zip(beams, gained, strict=True)]
        length = len(longer[0])
        ends = (tokens == end_of_text) | (length == plan.max_new_tokens)
        running_scores = picked + ends.astype(np.float32) * _UNLIKELY
        running = best(running_scores, num_beams)
        kept = _keep_best(kept, longer, likelihoods, picked, ends, may_improve, plan)
        scores = running_scores[running]
        answers = [longer[i] for i in running]
        logprobs = [likelihoods[i] for i in running]
        may_improve = may_improve and _may_improve(kept, scores[0], length, plan)
        all_kept = all(hypothesis.is_finished for hypothesis in kept)
        if not may_improve or (plan.early_stopping is True and all_kept) or ends.all():
            answer = kept[0].answer
            ended = answer[-1:] == [end_of_text]
            return Answer(answer[:-1] if ended else answer, kept[0].logprobs)
        parents = beams[running] if length > 1 else np.zeros(num_beams, int)  # the prompt's row
        observation = yield Step(parents.tolist(), tokens[running].tolist())
        logits = observation.logits


def _total_scores(
    logits: NDArray[np.float32],
    answers: list[list[int]],
    scores: NDArray[np.float32],
    rules: Rules,
) -> NDArray[np.float32]:
    totals = log_softmax(logits)
    for row, answer in zip(totals, answers, strict=True):
        rules.apply(row, answer)
    totals += scores[:, None]
    return totals


def _keep_best(
    kept: list[_Candidate],
    longer: list[list[int]],
    likelihoods: list[list[float]],
    picked: NDArray[np.float32],
    ends: NDArray[np.bool_],
    may_improve: bool,
    plan: DecodePlan,
) -> list[_Candidate]:
    """Return the best finished hypotheses; of the picks, only the top `num_beams` may join."""
    joins = ends & (np.arange(len(picked)) < plan.num_beams)
    is_closed = plan.early_stopping is True and all(hypothesis.is_finished for hypothesis in kept)
    final = picked / np.float32(len(longer[0]) ** plan.length_penalty)
    final = final + np.float32(is_closed) * _UNLIKELY
    final = final + np.float32(not may_improve) * _UNLIKELY
    final = final + (~joins).astype(np.float32) * _UNLIKELY
    candidates = kept + [
        _Candidate(answer, score, bool(is_finished), logprobs)
        for answer, score, is_finished, logprobs in zip(
            longer, final, joins, likelihoods, strict=True
        )
    ]
    # HF ranks by score alone, and loses finished hypotheses if a length penalty takes their scores
    # below -1e9.
    ranking = [c.score if c.is_finished else -np.inf for c in candidates]
    order = best(np.array(ranking, np.float32), plan.num_beams)
    return [candidates[i] for i in order]


def _may_improve(
    kept: list[_Candidate], best_running: np.float32, length: int, plan: DecodePlan
) -> bool:
    """Return whether a running beam could still beat the worst hypothesis in `kept`."""
    is_patient = plan.early_stopping == "never" and plan.length_penalty > 0
    best_length = plan.max_new_tokens if is_patient else length
    possible = best_running / np.float32(best_length**plan.length_penalty)
    worst = min(hypothesis.score for hypothesis in kept)
    return any(possible > (worst if hypothesis.is_finished else -np.inf) for hypothesis in kept)
