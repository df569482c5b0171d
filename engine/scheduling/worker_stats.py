"""Counts of what the workers have done."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class WorkerStats:
    """What the workers have done so far. Thread-safe.

    Attributes:
        num_chunks: Chunks decoded.
        num_batches: Batches they came in.
        num_failed_chunks: Chunks that the model failed on.
    """

    num_chunks: int = 0
    num_batches: int = 0
    num_failed_chunks: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def mean_batch_size(self) -> float:
        """Chunks in a batch, on average."""
        return self.num_chunks / self.num_batches if self.num_batches else 0.0

    def count(
        self, *, num_batches: int = 0, num_chunks: int = 0, num_failed_chunks: int = 0
    ) -> None:
        """Add to the counts."""
        with self._lock:
            self.num_batches += num_batches
            self.num_chunks += num_chunks
            self.num_failed_chunks += num_failed_chunks
