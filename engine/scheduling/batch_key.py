"""What chunks must share to be decoded in one batch."""

from __future__ import annotations

from dataclasses import dataclass

from ..audio.features import CHUNK_FRAMES
from ..decoding.plan import DecodePlan


@dataclass(frozen=True)
class BatchKey:
    """What the chunks of a batch share. Language and task may differ.

    Attributes:
        plan: How they are decoded; None in the exact lane, where each has its own.
        prompt_length: Tokens before each answer; 0 in the exact lane, where they may differ.
        num_positions: Positions of encoder output that the decoder sees: it has no mask.
    """

    plan: DecodePlan | None
    prompt_length: int
    num_positions: int = CHUNK_FRAMES // 2

    @classmethod
    def of(
        cls, plan: DecodePlan, prompt_length: int, num_positions: int = CHUNK_FRAMES // 2
    ) -> BatchKey:
        """Return the key of chunks with this plan."""
        if plan.is_exact:
            return cls(None, 0, num_positions)
        return cls(plan, prompt_length, num_positions)

    @property
    def is_exact(self) -> bool:
        """Whether the exact lane decodes the batch."""
        return self.plan is None
