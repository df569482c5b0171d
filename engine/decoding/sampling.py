"""Drawing the next token at random: HF's warpers in HF's order, and seeded draws.

Every warper takes and returns scores of shape (vocabulary,); excluded tokens are minus infinity.
"""

from __future__ import annotations

import numpy as np

from .plan import DecodePlan
from .rules import Scores
from .softmax import softmax

_COLDEST = 1e-30  # least temperature; below it float32 would divide by zero


def warp(scores: Scores, plan: DecodePlan) -> Scores:
    """Return the scores after all warpers: temperature, top k, top p, typical, epsilon, eta."""
    # Relative to the best, so that no score becomes infinite at the least temperature.
    scores = (scores - scores.max()) / np.float32(max(plan.temperature, _COLDEST))
    if 0 < plan.top_k < len(scores):
        scores = keep_top_k(scores, plan.top_k)
    tokens = np.flatnonzero(scores > -np.inf)  # excluded tokens need not be sorted
    kept = scores[tokens]
    if plan.top_p < 1:
        kept = keep_top_p(kept, plan.top_p)
    if plan.typical_p < 1:
        kept = keep_typical(kept, plan.typical_p)
    if plan.epsilon_cutoff > 0:
        kept = keep_above(kept, plan.epsilon_cutoff)
    if plan.eta_cutoff > 0:
        kept = keep_above(kept, eta(kept, plan.eta_cutoff))
    scores[:] = -np.inf
    scores[tokens] = kept
    return scores


def keep_top_k(scores: Scores, k: int) -> Scores:
    """Keep the k best tokens, and those that tie with the last of them."""
    return _keep(scores, scores >= np.partition(scores, -k)[-k])


def keep_top_p(scores: Scores, p: float) -> Scores:
    """Keep the fewest best tokens that together reach probability `p` (Holtzman et al., 2020)."""
    ascending = np.sort(scores)  # several times as fast as argsort
    below = np.cumsum(softmax(ascending))
    first = min(int((below <= np.float32(1 - p)).sum()), len(scores) - 1)
    last = ascending[first]
    kept = scores > last
    # HF's sort is stable: of equal scores, the first ones are excluded.
    num_equal = len(scores) - first - int(kept.sum())
    kept[np.flatnonzero(scores == last)[-num_equal:]] = True
    return _keep(scores, kept)


def keep_typical(scores: Scores, mass: float) -> Scores:
    """Keep the tokens whose surprise is nearest to the entropy (Meister et al., 2023).

    The fewest that together reach probability `mass`.
    """
    probabilities = softmax(scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(probabilities)
        entropy = np.nansum(probabilities * surprise)
    distance = np.abs(surprise - entropy)
    order = np.argsort(distance)
    num_below = int((np.cumsum(probabilities[order]) < np.float32(mass)).sum())
    last = distance[order[min(num_below, len(order) - 1)]]
    kept = distance <= last
    kept[order[0]] = True
    return _keep(scores, kept)


def keep_above(scores: Scores, probability: float) -> Scores:
    """Keep the tokens of at least this probability, and always the best (Hewitt et al., 2022)."""
    return _keep(scores, (softmax(scores) >= np.float32(probability)) | (scores >= scores.max()))


def eta(scores: Scores, epsilon: float) -> float:
    """Return the cutoff of eta sampling, which is lower where the distribution is flat."""
    probabilities = softmax(scores)
    present = probabilities[probabilities > 0]
    entropy = -float((present * np.log(present)).sum())
    return min(epsilon, float(np.sqrt(epsilon) * np.exp(-entropy)))


def draw(scores: Scores, seed: int, chunk: int, position: int) -> int:
    """Return a token drawn by its probability; the same arguments give the same token.

    The random number depends only on (seed, chunk, position) (Philox: Salmon et al., 2011), not on
    the batch or on earlier draws.
    """
    key = np.array([seed, chunk], np.uint64)  # as a list, seeds over 2**63 would lose digits
    bits = np.random.Philox(key=key, counter=[position, 0, 0, 0])
    tokens = np.flatnonzero(scores > -np.inf)
    cumulative = np.cumsum(softmax(scores[tokens]), dtype=np.float64)
    point = np.random.Generator(bits).random() * cumulative[-1]
    return int(tokens[np.searchsorted(cumulative[:-1], point, side="right")])


def _keep(scores: Scores, kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Scores:
    return np.where(kept, scores, np.float32(-np.inf))
