"""Which chunks go through the model together. A plain object: no thread, no clock, no model.

The rules:
1. A batch holds one key: what CTranslate2 takes once for a whole batch.
2. The oldest chunks come first, up to `max_batch_size` and `max_batch_positions`, in the
   exact lane up to `max_exact_rows` decoder rows; a chunk that needs more rows runs alone. When few
   chunks wait, the workers share them: two halves on two workers finish earlier than one batch.
3. Requests take turns, whatever their keys. A turn is `max_per_request` chunks, fewer where the
   limit of their key is lower, or `turn_s` seconds of plain decoding: a chunk with more beams takes
   more of it. However many chunks are put at once, those of a later turn wait for that turn, unless
   nobody else wants the slot. So a three-hour file gives way to a two-second command.
4. The turn moves on by what a batch takes, divided among those that share the machine (the virtual
   time of start-time fair queueing: Goyal, Vin and Cheng, 1996). A request that arrives starts at
   the present turn. Of those in their first turn `MAX_SHARING` count at most: commands without end
   do not starve a file.
5. A batch takes at most `_MAX_TURNS` turns, unless it is one chunk. What runs cannot be
   interrupted, so one worker is kept from slow batches: such heavy chunks; and, if a request of one
   chunk was answered in the last `_COMMANDS_S`, the chunks of files after their first turn. These
   are then at most a turn in a batch, and in none with the chunks of others' first turns.
6. A worker with live chunks in the exact lane asks between their steps: what joins them must fit,
   and no chunk overtakes one that does not fit. A batch of the native lane runs in between, less
   often while the chunk whose turn it is waits for the exact lane.
7. After a batch ran out of device memory, the limit for batches of its kind is halved for good.
8. At most `MAX_KEPT` chunks wait with the encoder's output of an attempt that failed. More give it
   up and are encoded again.
9. A chunk that is decoded again comes before all others: up to eight waits one after the other
   would be long. What it takes counts as its request's turn, so the next chunks come later.
10. A chunk whose request is answered, failed, cancelled or past its deadline is dropped.
11. Previews of live sessions come after everything else, in batches of their own of at most a turn,
    and take no turns. None runs between the steps of the exact lane.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass, field, replace

from ..audio.decode import SAMPLE_RATE
from .batch_key import BatchKey
from .batch_limits import BatchLimits
from .pending_chunk import PendingChunk
from .wait_estimate import MAX_SHARING

MAX_KEPT = 32  # each is 2 MB of tiny and 8 MB of large
MAX_EXACT_ROWS = 64  # each row holds its own cache and adds its share to the time of a step
_LONGEST_CHUNK_S = 30.0
_MAX_TURNS = 4.0  # a full batch with five beams takes 2.8, half a batch being a turn
_COMMANDS_S = 10.0
_FIRST_OF_ALL, _LAST_OF_ALL = -1.0, math.inf
_NEARLY_1 = 1 - 1e-9  # thirds of a turn do not add up to 1


@dataclass(frozen=True)
class Turn:
    """What `Batcher.next_batch` found.

    Attributes:
        batch: The chunks to decode now, oldest first; empty if none is due.
        dropped: Chunks that left the queue because nobody waits for them any more.
        is_slow: Whether the batch is kept from one worker; see rule 5.
    """

    batch: list[PendingChunk] = field(default_factory=list)
    dropped: list[PendingChunk] = field(default_factory=list)
    is_slow: bool = False


@dataclass(frozen=True, order=True)
class _Place:
    turn: float
    arrival: int
    is_first: bool = field(compare=False)  # whether it is as early in its file as a first turn

    @property
    def is_preview(self) -> bool:
        return self.turn == _LAST_OF_ALL


_Entry = tuple[_Place, PendingChunk]


@dataclass(frozen=True)
class _Credit:
    """The last turn of a request.

    Attributes:
        turn: Its place.
        used: Turns that its chunks there take.
    """

    turn: float
    used: float = 0.0


class Batcher:
    """The queue and its rules. Not thread-safe: its owner holds the lock."""

    def __init__(
        self,
        max_batch_size: int,
        max_per_request: int,
        max_wait_s: float = 0.0,
        max_exact_rows: int = MAX_EXACT_ROWS,
        max_batch_positions: int = 0,
        num_sharing: int = 1,
        turn_s: float = 0.0,
        num_workers: int = 1,
    ) -> None:
        """Set the rules.

        Args:
            max_batch_size: Most chunks in a batch.
            max_per_request: Most chunks of one request in a batch while others wait.
            max_wait_s: How long the oldest chunk may wait for a fuller batch.
            max_exact_rows: Most decoder rows of the exact lane in a batch.
            max_batch_positions: Most positions of encoder output in a batch; 0 for no limit.
            num_sharing: Workers that share the chunks that wait.
            turn_s: Seconds of plain decoding in a turn; 0 for `max_per_request` chunks of 30 s.
            num_workers: Batches that run at once.
        """
        self._limits = BatchLimits(max_batch_size, max_batch_positions, max_exact_rows)
        self._num_sharing = num_sharing
        self._max_share = max_per_request / max_batch_size
        self._turn_s = turn_s or max_per_request * _LONGEST_CHUNK_S
        self._max_slow = num_workers - 1 or 1
        self._num_slow = 0  # batches that run now
        self._command_s = -math.inf  # arrival of the last request of one chunk
        self._max_wait_s = max_wait_s
        self._queue: list[_Entry] = []  # sorted
        self._num_arrived = 0
        self._turn = 0.0  # the present one
        self._credit: dict[int, _Credit] = {}  # of each request that is ahead of it

    def __len__(self) -> int:
        """Return the number of chunks that wait, previews not counted: they hold nobody up."""
        return len(self._queue) - self._num_previews()

    @property
    def is_exact_first(self) -> bool:
        """Whether the chunk whose turn it is waits for the exact lane."""
        return bool(self._queue) and self._queue[0][1].key.is_exact

    def put(self, item: PendingChunk) -> None:
        """Queue a chunk."""
        self._num_arrived += 1
        if item.request.checked.is_interim:
            self._insert(_Place(_LAST_OF_ALL, self._num_arrived, is_first=True), item)
            return
        credit = self._credit.get(item.request.id) or _Credit(self._turn)
        if credit.turn + credit.used <= self._turn:
            credit = _Credit(self._turn)
        elif credit.used >= _NEARLY_1:
            credit = _Credit(credit.turn + max(1.0, credit.used))
        used = credit.used + self._turns(item)
        self._credit[item.request.id] = replace(credit, used=used)
        if item.kept is not None and self._num_kept() >= MAX_KEPT:
            item = replace(item, kept=None)
        is_first = item.index == 0 or item.spans[0].start < self._turn_s * SAMPLE_RATE
        turn = _FIRST_OF_ALL if item.is_again else credit.turn
        self._insert(_Place(turn, self._num_arrived, is_first), item)

    def next_batch(self, now_s: float, num_live_rows: int = 0) -> Turn:
        """Return the chunks to decode now, and those that were dropped.

        Args:
            now_s: The present instant, of `time.monotonic`.
            num_live_rows: Decoder rows that the worker's exact lane already uses.
        """
        dropped = [item for _, item in self._queue if not item.request.is_wanted(now_s)]
        if dropped:
            gone = set(map(id, dropped))
            self._queue = [entry for entry in self._queue if id(entry[1]) not in gone]
        taken = self._take(now_s, num_live_rows)
        is_slow = any(self._is_slow(entry, now_s) for entry in taken)
        self._num_slow += is_slow
        return Turn([item for _, item in taken], dropped, is_slow)

    def finished(self, turn: Turn) -> None:
        """Take note that a batch does not run any more, and that its chunks have their answers."""
        self._num_slow -= turn.is_slow
        for item in turn.batch:
            is_preview = item.request.checked.is_interim
            if item.index == 0 and item.request.is_done and not is_preview:
                self._command_s = max(self._command_s, item.put_s)

    def wait_s(self, now_s: float) -> float | None:
        """Return the seconds until a batch is due; None if nothing waits that may run now."""
        queue = self._open(now_s)
        return max(0.0, self._due_s(queue) - now_s) if queue else None

    def shrink_after_oom(self, key: BatchKey, size: int) -> int | None:
        """See `BatchLimits.shrink`."""
        return self._limits.shrink(key, size)

    def drain(self) -> list[PendingChunk]:
        """Return every chunk that waits, and forget them."""
        items = [item for _, item in self._queue]
        self._queue = []
        return items

    def _insert(self, place: _Place, item: PendingChunk) -> None:
        bisect.insort(self._queue, (place, item), key=lambda entry: entry[0])

    def _take(self, now_s: float, num_live_rows: int) -> list[_Entry]:
        if not self._queue:
            self._credit.clear()  # nobody waits, so nobody's turn is later than another's
            return []
        queue = self._open(now_s)
        if not queue or (self._due_s(queue) > now_s and not self._is_full(queue)):
            return []
        taken = self._candidates(queue, now_s, num_live_rows)
        if taken:
            self._move_on(taken)
            places = {place for place, _ in taken}
            self._queue = [entry for entry in self._queue if entry[0] not in places]
        return taken

    def _move_on(self, taken: list[_Entry]) -> None:
        if taken[0][0].is_preview:
            return
        others = [(place, item) for place, item in self._queue if not place.is_preview]
        waiting = {item.request.id for _, item in others}
        first = {item.request.id for place, item in others if place.is_first}
        num_sharing = len(waiting) - len(first) + min(len(first), MAX_SHARING)
        turns = sum(item.cost_s for _, item in taken) / self._turn_s
        # From the head's turn: a file that had the machine to itself owes no turns for that.
        self._turn = max(self._turn, taken[0][0].turn) + turns / num_sharing
        self._credit = {
            id: credit
            for id, credit in self._credit.items()
            if credit.turn + credit.used > self._turn
        }

    def _turns(self, item: PendingChunk) -> float:
        """Return how much of a turn a chunk takes."""
        return max(1 / self._per_turn(item.key), item.cost_s / self._turn_s)

    def _per_turn(self, key: BatchKey) -> int:
        return max(1, int(self._limits.of(key) * self._max_share))

    def _is_slow(self, entry: _Entry, now_s: float) -> bool:
        place, item = entry
        is_heavy = item.cost_s > _MAX_TURNS * self._turn_s
        is_late = not place.is_first and self._has_commands(now_s)
        return (is_heavy or is_late) and not item.key.is_exact

    def _has_commands(self, now_s: float) -> bool:
        return now_s - self._command_s < _COMMANDS_S

    def _open(self, now_s: float) -> list[_Entry]:
        """Return what may run now."""
        if self._num_slow < self._max_slow:
            return self._queue
        return [entry for entry in self._queue if not self._is_slow(entry, now_s)]

    def _num_previews(self) -> int:
        # They are the last.
        return len(self._queue) - bisect.bisect_left(
            self._queue, _LAST_OF_ALL, key=lambda entry: entry[0].turn
        )

    def _num_kept(self) -> int:
        return sum(item.kept is not None for _, item in self._queue)

    def _due_s(self, queue: list[_Entry]) -> float:
        return queue[0][1].put_s + self._max_wait_s

    def _is_full(self, queue: list[_Entry]) -> bool:
        place, key = queue[0][0], queue[0][1].key
        return len(_alike(queue, place, key)) >= self._limits.of(key)

    def _candidates(self, queue: list[_Entry], now_s: float, num_live_rows: int) -> list[_Entry]:
        room = self._limits.exact_rows - num_live_rows
        exact = next((item for _, item in queue if item.key.is_exact), None)
        if num_live_rows and exact is not None and exact.plan.num_rows > room:
            queue = [entry for entry in queue if not entry[1].key.is_exact]
        if not queue or (num_live_rows and queue[0][0].is_preview):
            return []
        place, key = queue[0][0], queue[0][1].key
        same = _alike(queue, place, key)
        if not key.is_exact:
            most_s = (1 if place.is_preview else _MAX_TURNS) * self._turn_s
            if self._has_commands(now_s):
                same = [entry for entry in same if entry[0].is_first is place.is_first]
                most_s = most_s if place.is_first else self._turn_s
            same = same[: min(self._limits.of(key), math.ceil(len(same) / self._num_sharing))]
            costs_s = itertools.accumulate(item.cost_s for _, item in same)
            return same[: max(1, sum(cost_s <= most_s for cost_s in costs_s))]
        same = same[: self._limits.size]
        rows = itertools.accumulate(item.plan.num_rows for _, item in same)
        return same[: max(1, sum(num_rows <= room for num_rows in rows))]


def _alike(queue: list[_Entry], place: _Place, key: BatchKey) -> list[_Entry]:
    """Return what may share a batch with the chunk at `place`."""
    return [one for one in queue if one[1].key == key and one[0].is_preview is place.is_preview]
