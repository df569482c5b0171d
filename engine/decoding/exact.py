"""The exact lane: the searches of many chunks over one step decoder.

Every live chunk's rows share each step; a finished chunk's rows leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.decoding.rules import Rules, Vocabulary
from talkmill.engine.decoding.search import Search, Seen, Step
from talkmill.engine.decoding.step_decoder import StepDecoder
from talkmill.engine.decoding.strategies import new_search


@dataclass(frozen=True)
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
    task: int
    search: Search
    seen: Seen
    num_rows: int = 1


def decode_exactly(
    decoder: StepDecoder, vocabulary: Vocabulary, encoded: Any, tasks: Sequence[ExactTask]
) -> list[list[int]]:
    """Return each chunk's answer, end of text left out; empty where it was not wanted any more.

    Args:
        decoder: The step decoder.
        vocabulary: What the rules must know.
        encoded: The encoder's output, (num_chunks, num_frames, d_model), in the decoder's library.
        tasks: One for each chunk.
    """
    answers: list[list[int]] = [[] for _ in tasks]
    state, observations = decoder.start(encoded, [task.prompt for task in tasks])
    live = [
        _Live(i, _search(task, vocabulary), Seen(*observations[i])) for i, task in enumerate(tasks)
    ]
    while live:
        rows: list[int] = []
        chunks: list[tuple[int, int]] = []
        tokens: list[int] = []
        staying: list[_Live] = []
        first = 0
        for place, one in enumerate(live):
            step = _advance(one, tasks[one.task], answers)
            if step is not None:
                rows += [first + parent for parent in step.parents]
                chunks.append((place, len(step.tokens)))
                tokens += step.tokens
                staying.append(one)
            first += one.num_rows
        for one, (_, num_rows) in zip(staying, chunks, strict=True):
            one.num_rows = num_rows
        live = staying
        if live:
            decoder.reorder(state, rows, chunks)
            logits, hidden = decoder.step(state, tokens)
            start = 0
            for one in live:
                end = start + one.num_rows
                one.seen = Seen(logits[start:end], hidden[start:end])
                start = end
    return answers


def _search(task: ExactTask, vocabulary: Vocabulary) -> Search:
    rules = Rules(task.plan, vocabulary, task.prompt)
    return new_search(task.plan, rules, vocabulary.end_of_text, task.seed, task.chunk)


def _advance(one: _Live, task: ExactTask, answers: list[list[int]]) -> Step | None:
    """Return a chunk's next step, or None when it is finished or not wanted any more."""
    if not task.is_wanted():
        one.search.close()
        return None
    try:
        return one.search.send(one.seen)
    except StopIteration as stop:
        answers[one.task] = stop.value
        return None
