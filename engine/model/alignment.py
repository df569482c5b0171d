"""What aligning tokens with audio takes and gives, and which rows go through the model together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..audio.features import CHUNK_FRAMES

POSITION_S = 0.02  # seconds of audio for each position of the encoder's output

# Found by trial on base and tiny.en: the alignment moves if what follows the audio is missing, but
# the silence next to it and that at the end of the window are enough. Fewer positions cost less.
MARGIN_POSITIONS = 50  # after the audio
END_POSITIONS = 50  # of the end of the window
ALL_POSITIONS = CHUNK_FRAMES // 2
_GRID_POSITIONS = 100  # so that rows of different lengths share calls

_MAX_TOKENS = 256  # of a call, padding included: a probability for each token of the vocabulary


@dataclass(frozen=True)
class AlignmentTask:
    """Tokens to be aligned with one row of the encoder's output.

    Attributes:
        row: The row.
        start: The tokens before them: start of transcript, language and task.
        tokens: The tokens, text only; at least one.
        num_positions: Positions of the row that are audio and not padding; at least one.
        num_seen: Positions from the start of the row that the model looks at. Of those after them
            it looks at the last `END_POSITIONS`. At least `num_positions`.
    """

    row: int
    start: tuple[int, ...]
    tokens: tuple[int, ...]
    num_positions: int
    num_seen: int


@dataclass(frozen=True)
class Alignment:
    """When each token of a row begins.

    Attributes:
        starts: Position at which each token begins, then that at which the last one ends; never
            descending.
        probabilities: Probability of each token among the text tokens, 0 to 1.
    """

    starts: tuple[int, ...]
    probabilities: tuple[float, ...]


def seen_positions(num_positions: int) -> int:
    """Return `AlignmentTask.num_seen` for audio in a fitted window.

    It depends on the chunk alone, so that the words do not depend on its batch.
    """
    return -(-(num_positions + MARGIN_POSITIONS) // _GRID_POSITIONS) * _GRID_POSITIONS


def to_alignment(path: Sequence[tuple[int, int]], probabilities: Sequence[float]) -> Alignment:
    """Return the alignment for a path of dynamic time warping.

    Args:
        path: (token, position) of each step. The token after the last stands for the end of text.
        probabilities: Of each token.
    """
    starts: dict[int, int] = {}
    for token, position in path:
        starts.setdefault(token, position)
    return Alignment(
        tuple(starts[token] for token in range(len(probabilities) + 1)), tuple(probabilities)
    )


def align_in_groups(
    states: Any, tasks: Sequence[AlignmentTask], call: Callable[..., Sequence[Any]], xp: Any
) -> list[Alignment]:
    """Return the alignment of each task.

    Args:
        states: The encoder's output, float32 (rows, positions, d_model).
        tasks: The rows and their tokens.
        call: CTranslate2's `Whisper.align`, with an array for the features.
        xp: The library of the arrays: numpy, or cupy.
    """
    found: dict[int, Alignment] = {}
    for group in groups(tasks):
        own = [tasks[i] for i in group]
        rows, num_seen = [task.row for task in own], own[0].num_seen
        seen = states[rows, :num_seen]
        if num_seen + END_POSITIONS < states.shape[1]:
            seen = xp.concatenate((seen, states[rows, -END_POSITIONS:]), axis=1)
        results = call(
            xp.ascontiguousarray(seen),
            list(own[0].start),
            [list(task.tokens) for task in own],
            [2 * task.num_positions for task in own],
        )
        for i, result in zip(group, results, strict=True):
            found[i] = to_alignment(result.alignments, result.text_token_probs)
    return [found[i] for i in range(len(tasks))]


def groups(tasks: Sequence[AlignmentTask]) -> list[list[int]]:
    """Return the indexes of tasks in groups for one call each.

    A group shares `start` and `num_seen`, and has at most `_MAX_TOKENS` tokens, those included that
    pad each row to the longest; a task that has more is alone.
    """
    order = sorted(range(len(tasks)), key=lambda i: _kind(tasks[i]))
    found: list[list[int]] = []
    for i in order:
        # The last of a group is its longest.
        is_same = found and _kind(tasks[found[-1][0]])[:2] == _kind(tasks[i])[:2]
        length = len(tasks[i].start) + len(tasks[i].tokens) + 2  # no timestamps, end of text
        if is_same and (len(found[-1]) + 1) * length <= _MAX_TOKENS:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def _kind(task: AlignmentTask) -> tuple[tuple[int, ...], int, int]:
    return task.start, task.num_seen, len(task.tokens)
