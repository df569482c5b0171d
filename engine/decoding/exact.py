"""The exact lane: the searches of many chunks over one step decoder.

Every live chunk's rows share each step; a finished chunk's rows leave, and others may join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .beam import beam
from .diverse_beam import diverse_beam
from .plan import DecodePlan, Strategy
from .rules import Rules, Vocabulary
from .search import Logits, Observation, Search, Step
from .single import contrastive, one_by_one

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
        prompt: The tokens before its answer.
        plan: How to search.
        seed: Of its draws.
        chunk: Its place in the utterance.
        is_wanted: Asked before each step; once false the chunk is dropped.
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
    num_rows: int = 1
    answer: list[int] = field(default_factory=list)


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
            vocabulary: What the rules must know.
            to_array: Makes what `add` is given an array of the decoder's library.
        """
        self._to_array = to_array
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._live: list[_Live] = []
        self._state: DecoderState | None = None

    @property
    def num_rows(self) -> int:
        """Rows of the decoder's batch that its chunks take; 0 when there are none."""
        return sum(one.task.plan.num_rows for one in self._live)

    def add(self, encoded: Any, tasks: Sequence[ExactTask]) -> None:
        """Read the prompts of more chunks, which share the steps from here on.

        Args:
            encoded: The encoder's output, (num_chunks, num_frames, d_model).
            tasks: One for each chunk.
        """
        prompts = [task.prompt for task in tasks]
        state, observations = self._decoder.start(self._to_array(encoded), prompts)
        self._state = self._decoder.join([self._state, state]) if self._state else state
        self._live += [
            _Live(task, self._search(task), Observation(*observation))
            for task, observation in zip(tasks, observations, strict=True)
        ]

    def step(self) -> list[tuple[ExactTask, list[int]]]:
        """Read one more token in each row; return the chunks that left, with their answers.

        An answer is without its end of text, and empty where it was not wanted any more.
        """
        steps = [self._advance(one) for one in self._live]
        left = [one for one, step in zip(self._live, steps, strict=True) if step is None]
        self._read(steps)
        return [(one.task, one.answer) for one in left]

    def run(self, encoded: Any, tasks: Sequence[ExactTask]) -> list[list[int]]:
        """Return each chunk's answer, in a lane that is empty before and after; see `add`."""
        self.add(encoded, tasks)
        answers: dict[ExactTask, list[int]] = {}
        while self.num_rows:
            answers.update(self.step())
        return [answers[task] for task in tasks]

    def _search(self, task: ExactTask) -> Search:
        rules = Rules(task.plan, self._vocabulary, task.prompt)
        return new_search(task.plan, rules, self._vocabulary.end_of_text, task.seed, task.chunk)

    @staticmethod
    def _advance(one: _Live) -> Step | None:
        """Return a chunk's next step, or None when it is finished or not wanted any more."""
        if not one.task.is_wanted():
            one.search.close()
            return None
        try:
            return one.search.send(one.observation)
        except StopIteration as stop:
            one.answer = stop.value
            return None

    def _read(self, steps: Sequence[Step | None]) -> None:
        """Take each chunk's step, and drop those without one."""
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
