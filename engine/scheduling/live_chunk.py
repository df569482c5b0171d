"""A chunk while the exact lane decodes it."""

from __future__ import annotations

from dataclasses import dataclass

from .pending_chunk import PendingChunk
from .runner import EncodedBatch


@dataclass(frozen=True)
class LiveChunk:
    """A chunk in the exact lane.

    Attributes:
        encoded: The batch that it joined with.
        row: Its row there.
        queue_s: Seconds that it waited for a worker.
        encode_s: Its share of the batch's encoder time.
        joined_s: Instant at which it joined.
        num_live: Chunks in the lane at that instant.
    """

    encoded: EncodedBatch
    row: int
    queue_s: float
    encode_s: float
    joined_s: float
    num_live: int

    @property
    def item(self) -> PendingChunk:
        """The chunk itself."""
        return self.encoded.items[self.row]
