"""HF's diverse (group) beam search (Vijayakumar et al., 2018).

Source: `GenerationMixin._group_beam_search` and `BeamSearchScorer` of transformers 4.55.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from .plan import DecodePlan
from .rules import Rules
from .search import Answer, Search, Step, best
from .softmax import log_softmax

_UNLIKELY = np.float32(-1e9)


class _Group:
    """The beams of one group, and its finished hypotheses."""

    def __init__(self, plan: DecodePlan, end_of_text: int) -> None:
        self._plan = plan
        self._end_of_text = end_of_text
        self.size = plan.num_beams // plan.num_beam_groups
        self.answers: list[list[int]] = [[]] * self.size
        self.scores = np.full(self.size, _UNLIKELY)
        self.scores[0] = 0
        # Of the tokens of each answer; without the diversity penalty, unlike the scores.
        self.logprobs: list[list[float]] = [[]] * self.size
        self.kept: list[tuple[float, list[int], list[float]]] = []  # score, answer, logprobs
        self.is_done = False

    def advance(
        self, totals: NDArray[np.float32], logprobs: NDArray[np.float32]
    ) -> tuple[list[int], list[int]]:
        """Choose the next tokens.

        Args:
            totals: Scores of the longer answers, float32 (size, vocabulary).
            logprobs: Log-probabilities of the next tokens, of the same shape.

        Returns:
            Each new beam's parent in the group, and its token.
        """
        if self.is_done:  # it emits padding, which lowers that token in later groups
            self.scores[:] = 0
            parents, tokens = [0] * self.size, [self._end_of_text] * self.size
        else:
            parents, tokens = self._choose(totals, logprobs)
        self.answers = [
            [*self.answers[parent], token] for parent, token in zip(parents, tokens, strict=True)
        ]
        return parents, tokens

    def close(self) -> None:
        """Add the running beams to the finished hypotheses."""
        if not self.is_done:
            for beam, answer in enumerate(self.answers):
                self._keep(answer, float(self.scores[beam]), len(answer), self.logprobs[beam])

    def _choose(
        self, totals: NDArray[np.float32], logprobs: NDArray[np.float32]
    ) -> tuple[list[int], list[int]]:
        picks = best(totals.reshape(-1), 2 * self.size)
        picked = totals.reshape(-1)[picks]
        length = len(self.answers[0]) + 1
        parents: list[int] = []
        tokens: list[int] = []
        longer: list[list[float]] = []
        for rank, (pick, score) in enumerate(zip(picks, picked, strict=True)):
            parent, token = divmod(int(pick), totals.shape[1])
            own = [*self.logprobs[parent], float(logprobs[parent, token])]
            if token == self._end_of_text:
                if rank < self.size:
                    self._keep(self.answers[parent], float(score), length, own)
                continue
            self.scores[len(tokens)] = score
            parents.append(parent)
            tokens.append(token)
            longer.append(own)
            if len(tokens) == self.size:
                break
        self.logprobs = longer
        self.is_done = self._is_decided(float(picked.max()), length)
        return parents, tokens

    def _keep(self, answer: list[int], score: float, length: int, logprobs: list[float]) -> None:
        final = score / length**self._plan.length_penalty
        if len(self.kept) < self.size or final > min(self.kept)[0]:
            self.kept.append((final, answer, logprobs))
            if len(self.kept) > self.size:
                worst = min(range(len(self.kept)), key=lambda i: (self.kept[i][0], i))
                del self.kept[worst]

    def _is_decided(self, best_score: float, length: int) -> bool:
        if len(self.kept) < self.size:
            return False
        plan = self._plan
        if plan.early_stopping is True:
            return True
        is_patient = plan.early_stopping == "never" and plan.length_penalty > 0
        best_length = plan.max_new_tokens if is_patient else length
        return bool(min(self.kept)[0] >= best_score / best_length**plan.length_penalty)


def diverse_beam(plan: DecodePlan, rules: Rules, end_of_text: int) -> Search:
    """Run beam search in groups; each avoids the tokens that earlier groups chose at this step."""
    groups = [_Group(plan, end_of_text) for _ in range(plan.num_beam_groups)]
    size = groups[0].size
    observation = yield None
    logits = np.repeat(observation.logits, plan.num_beams, 0)
    for _ in range(plan.max_new_tokens):
        log_probabilities = log_softmax(logits)
        parents: list[int] = []
        tokens: list[int] = []
        for first, group in zip(range(0, plan.num_beams, size), groups, strict=True):
            logprobs = log_probabilities[first : first + size]
            totals = logprobs.copy()
            for token, count in Counter(tokens).items():
                totals[:, token] -= np.float32(plan.diversity_penalty * count)
            for row, answer in zip(totals, group.answers, strict=True):
                rules.apply(row, answer)
            totals += group.scores[:, None]
            own_parents, own_tokens = group.advance(totals, logprobs)
            parents += [first + parent for parent in own_parents]
            tokens += own_tokens
        if (
            all(group.is_done for group in groups)
            or len(groups[0].answers[0]) == plan.max_new_tokens
        ):
            break
        is_first = len(groups[0].answers[0]) == 1  # all beams continue the prompt's only row
        observation = yield Step([0] * plan.num_beams if is_first else parents, tokens)
        logits = observation.logits
    for group in groups:
        group.close()
    hypotheses = [hypothesis for group in groups for hypothesis in group.kept]
    _, (_, answer, likelihoods) = max(enumerate(hypotheses), key=lambda one: (one[1][0], one[0]))
    return Answer(answer, likelihoods)
