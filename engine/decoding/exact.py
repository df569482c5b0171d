"""The exact lane: the searches of many chunks over one step decoder.

The rows of all live chunks share each step; finished chunks leave between steps, and others join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .beam import beam
from .diverse_beam import diverse_beam
from .hypothesis import Hypothesis, average_logprob
from .plan import DecodePlan, Strategy
from .rules import Rules, Vocabulary
from .search import Answer, Logits, Observation, Search, Step
from .single import contrastive, one_by_one
from .softmax import softmax

DecoderState = Any
"""The cache of some rows; only the decoder that made it looks inside."""


class Decoder(Protocol):
    """A decoder that reads one token of each row at a time; see `model.step_decoder`."""

    def start(
        self, encoded: Any, prompts: Sequence[Sequence[int]]
    ) -> tuple[DecoderState, list[tuple[Logits, Logits]]]:
        """Return the state after the prompts, and each chunk's first observation."""

    def step(self, state: DecoderState, tokens: Sequence[int]) -> tuple[Logits, Logits]:
        """Append a token to each row; return logits and hidden states of all rows."""

    def logits(self, hidden: Logits) -> Logits:
        """Return the logits (num_rows, vocabulary) of hidden states (num_rows, d_model)."""

    def reorder(
        self, state: DecoderState, rows: Sequence[int], chunks: Sequence[tuple[int, int]]
    ) -> None:
        """Continue row i from what was row `rows[i]`, in place."""

    def join(self, states: Sequence[DecoderState]) -> DecoderState:
        """Return one state with the rows of all."""


@dataclass(frozen=True, eq=False)
class ExactTask:
    """One chunk to decode.

    Attributes:
        prompt: The tokens before the answer.
        plan: How to search.
        seed: Seed of the random draws.
        chunk: Index of the chunk in its utterance.
        is_wanted: Called before each step; once it returns False the chunk is dropped.
    """

    prompt: list[int]
    plan: DecodePlan
    seed: int
    chunk: int
    is_wanted: Callable[[], bool]


@dataclass(eq=False)
class _Live:
    task: ExactTask
    search: Search
    observation: Observation
    no_speech_prob: float
    num_rows: int = 1
    answer: Answer = field(default_factory=lambda: Answer([], []))

    @property
    def hypothesis(self) -> Hypothesis:
        """What the search found."""
        plan, answer = self.task.plan, self.answer
        return Hypothesis(
            tokens=tuple(answer.tokens),
            avg_logprob=average_logprob(answer.sum_logprob, len(answer.tokens)),
            no_speech_prob=self.no_speech_prob,
            temperature=plan.temperature if plan.strategy is Strategy.SAMPLE else 0.0,
            token_logprobs=(
                tuple(answer.logprobs[: len(answer.tokens)]) if plan.token_logprobs else ()
            ),
        )


class ExactLane:
    """The live chunks of one worker, step by step. Not thread-safe."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        to_array: Callable[[Any], Any] = lambda encoded: encoded,
    ) -> None:
        """Start without chunks.

        Args:
            decoder: The step decoder; its weights may be shared.
            vocabulary: The token ids that the rules need.
            to_array: Converts the encoder's output to an array of the decoder's library.
        """
        self._to_array = to_array
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._live: list[_Live] = []
        self._state: DecoderState | None = None

    @property
    def num_rows(self) -> int:
        """Rows of the decoder's batch that the live chunks use; 0 without live chunks."""
        return sum(one.task.plan.num_rows for one in self._live)

    def add(self, encoded: Any, tasks: Sequence[ExactTask]) -> None:
        """Read the prompts of more chunks, which share the steps from now on.

        Args:
            encoded: The encoder's output, (num_chunks, num_frames, d_model).
            tasks: One for each chunk.
        """
        prompts = [task.prompt for task in tasks]
        state, observations = self._decoder.start(self._to_array(encoded), prompts)
        self._state = self._decoder.join([self._state, state]) if self._state else state
        self._live += [
            _Live(task, self._search(task), Observation(logits, hidden), no_speech_prob)
            for task, (logits, hidden), no_speech_prob in zip(
                tasks, observations, self._no_speech_probs(prompts, observations), strict=True
            )
        ]

    def step(self) -> list[tuple[ExactTask, Hypothesis]]:
        """Read one more token in each row; return the finished chunks with their hypotheses.

        The hypothesis of a chunk that is not wanted any more has no tokens.
        """
        steps = [self._advance(one) for one in self._live]
        left = [one for one, step in zip(self._live, steps, strict=True) if step is None]
        self._read(steps)
        return [(one.task, one.hypothesis) for one in left]

    def run(self, encoded: Any, tasks: Sequence[ExactTask]) -> list[Hypothesis]:
        """Return each chunk's hypothesis, in a lane that is empty before and after; see `add`."""
        self.add(encoded, tasks)
        found: dict[ExactTask, Hypothesis] = {}
        while self.num_rows:
            found.update(self.step())
        return [found[task] for task in tasks]

    def _no_speech_probs(
        self, prompts: Sequence[list[int]], observations: Sequence[tuple[Logits, Logits]]
    ) -> list[float]:
        """Return the probability of <|nospeech|> at each prompt's start of the transcript."""
        token, start = self._vocabulary.no_speech, self._vocabulary.start_of_transcript
        if token is None or start is None:
            return [0.0] * len(prompts)
        states = [
            hidden[prompt.index(start)]
            for prompt, (_, hidden) in zip(prompts, observations, strict=True)
        ]
        return [float(softmax(row)[token]) for row in self._decoder.logits(np.stack(states))]

    def _search(self, task: ExactTask) -> Search:
        rules = Rules(task.plan, self._vocabulary, task.prompt)
        return new_search(task.plan, rules, self._vocabulary.end_of_text, task.seed, task.chunk)

    @staticmethod
    def _advance(one: _Live) -> Step | None:
        """Return a chunk's next step, or None if it is finished or not wanted any more."""
        if not one.task.is_wanted():
            one.search.close()
            return None
        try:
            return one.search.send(one.observation)
        except StopIteration as stop:
            one.answer = stop.value
            return None

    def _read(self, steps: Sequence[Step | None]) -> None:
        """Decode each chunk's step, and drop the chunks without one."""
        rows: list[int] = []
        chunks: list[tuple[int, int]] = []
        tokens: list[int] = []
        first = 0
        for place, (one, step) in enumerate(zip(self._live, steps, strict=True)):
            if step is not None:
                rows += [first + parent for parent in step.parents]
                chunks.append((place, len(step.tokens)))
                tokens += step.tokens
            first += one.num_rows
        self._live = [self._live[place] for place, _ in chunks]
        if not self._live:
            self._state = None
            return
        assert self._state is not None
        self._decoder.reorder(self._state, rows, chunks)
        logits, hidden = self._decoder.step(self._state, tokens)
        start = 0
        for one, (_, one.num_rows) in zip(self._live, chunks, strict=True):
            own = slice(start, start + one.num_rows)
            one.observation = Observation(logits[own], hidden[own])
            start += one.num_rows


def new_search(plan: DecodePlan, rules: Rules, end_of_text: int, seed: int, chunk: int) -> Search:
    """Return the search that `plan` asks for, ready for its first observation.

    Args:
        plan: How to search.
        rules: Which tokens may not come next.
        end_of_text: The token that ends an answer.
        seed: Seed of the random draws, if any.
        chunk: Index of the chunk in its utterance, so that chunks draw differently.
    """
    search: Search
    if plan.strategy is Strategy.CONTRASTIVE:
        search = contrastive(plan, rules, end_of_text)
    elif plan.strategy is Strategy.BEAM:
        search = beam(plan, rules, end_of_text)
    elif plan.strategy is Strategy.DIVERSE_BEAM:
        search = diverse_beam(plan, rules, end_of_text)
    else:
        search = one_by_one(plan, rules, end_of_text, seed, chunk)
    next(search)
    return search
