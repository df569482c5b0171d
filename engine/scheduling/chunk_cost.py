"""What the chunks of one request took, and the request's timings from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..audio.preparation import AudioReport
from ..types import Timings


@dataclass(frozen=True)
class ChunkCost:
    """What one chunk took, in seconds.

    Attributes:
        queue_s: From the queue's entry to a worker.
        encode_s: Its share of its batch's encoder time.
        generate_s: Its share of its batch's decoder time.
        batch_size: Chunks in that batch.
    """

    queue_s: float
    encode_s: float
    generate_s: float
    batch_size: int


def timings(costs: Sequence[ChunkCost], report: AudioReport, total_s: float) -> Timings:
    """Return how the time of a request was spent.

    Args:
        costs: Of each attempt of each of its chunks.
        report: What is known of its audio.
        total_s: Seconds from submission to the transcript.
    """
    return Timings(
        decode_s=report.decode_s,
        vad_s=report.vad_s,
        features_s=report.features_s,
        queue_s=max((cost.queue_s for cost in costs), default=0.0),
        encode_s=sum(cost.encode_s for cost in costs),
        generate_s=sum(cost.generate_s for cost in costs),
        total_s=total_s,
        mean_batch_size=sum(cost.batch_size for cost in costs) / max(1, len(costs)),
    )
