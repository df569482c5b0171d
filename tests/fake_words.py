"""The part of `FakeModel` that times words."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from talkmill.engine.model.alignment import Alignment, AlignmentTask

FIRST_POSITION = 50  # at which the first token of every chunk begins: 1 s
POSITIONS_PER_TOKEN = 10  # 0.2 s
PROBABILITY = 0.75


class FakeAlignment:
    """Implements `SpeechModel.align`: one token after the other, each as long.

    Attributes:
        aligned: The tasks of each call.
    """

    @functools.cached_property
    def aligned(self) -> list[list[AlignmentTask]]:
        return []

    def align(self, encoded: Any, tasks: Sequence[AlignmentTask]) -> list[Alignment]:
        self.aligned.append(list(tasks))
        return [
            Alignment(
                starts=tuple(
                    min(FIRST_POSITION + i * POSITIONS_PER_TOKEN, task.num_positions)
                    for i in range(len(task.tokens) + 1)
                ),
                probabilities=(PROBABILITY,) * len(task.tokens),
            )
            for task in tasks
        ]
