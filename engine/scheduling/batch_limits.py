"""How large a batch may be: by the settings, and by the device's memory as it turns out."""

from __future__ import annotations

from .batch_key import BatchKey


class BatchLimits:
    """The limits of each kind of batch. Not thread-safe.

    Attributes:
        size: Most chunks in a batch.
        exact_rows: Most decoder rows of the exact lane in a batch.
    """

    def __init__(self, size: int, max_positions: int, exact_rows: int) -> None:
        """Set the limits.

        Args:
            size: See the attribute.
            max_positions: Most positions of encoder output in a batch; 0 for no limit.
            exact_rows: See the attribute.
        """
        self.size = size
        self.exact_rows = exact_rows
        self._max_positions = max_positions
        self._fits: dict[tuple[int, int], int] = {}  # memory class: chunks in a batch

    def of(self, key: BatchKey) -> int:
        """Return the most chunks in a batch with this key."""
        if key.plan is None:
            return self.size
        limit = self._fits.get(_memory_class(key), self.size)
        if self._max_positions:
            limit = min(limit, max(1, self._max_positions // key.num_positions))
        return limit

    def shrink(self, key: BatchKey, size: int) -> int | None:
        """Halve the limit for batches of this kind after one ran out of device memory.

        Args:
            key: The key of the batch. Batches with as many rows a chunk and as many positions are
                of one kind; all of the exact lane are.
            size: Its chunks; in the exact lane, the rows that were live.

        Returns:
            The new limit, in the unit of `size`; None if it did not change.
        """
        limit = size // 2
        if not limit:  # one chunk that does not fit says nothing of others
            return None
        if key.plan is None:
            is_lower = limit < self.exact_rows
            self.exact_rows = min(limit, self.exact_rows)
        else:
            is_lower = limit < self.of(key)
            self._fits[_memory_class(key)] = min(limit, self.of(key))
        return limit if is_lower else None


def _memory_class(key: BatchKey) -> tuple[int, int]:
    """Return what the memory of a native batch depends on: rows a chunk, and positions."""
    assert key.plan is not None
    return key.plan.num_rows, key.num_positions
