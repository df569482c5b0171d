"""The exact lane: the searches of many chunks over one step decoder.

Every live chunk's rows share each step; a finished chunk's rows leave, and others may join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.decoding.rules import Rules, Vocabulary
from talkmill.engine.decoding.search import Search, Seen, Step
from talkmill.engine.decoding.step_decoder import DecoderState, StepDecoder
from talkmill.engine.decoding.strategies import new_search


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
    seen: Seen
    num_rows: int = 1
    answer: list[int] = field(default_factory=list)


class ExactLane:
    """The live chunks of one worker, step by step. Not thread-safe."""

    def __init__(
        self,
        decoder: StepDecoder,
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
            _Live(task, self._search(task), Seen(*seen))
            for task, seen in zip(tasks, observations, strict=True)
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
            return one.search.send(one.seen)
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
            one.seen = Seen(logits[own], hidden[own])
            start += one.num_rows
