"""Where speech is cut into chunks: at pauses, and before the model's window is full."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import Span, VadOptions
from .decode import SAMPLE_RATE

# Audio that is kept around speech. Detection is late at soft starts: 0.4 s before instead of 0.2
# leaves Whisper base a tenth fewer word errors, 0.5 s no fewer. After speech more than 0.2 s gains
# nothing.
BEFORE_SAMPLES = round(0.4 * SAMPLE_RATE)
AFTER_SAMPLES = round(0.2 * SAMPLE_RATE)

# The pause that ends a chunk, by the seconds from its first to its last speech. Pauses are the
# silence between two spans of speech, without padding. Measured on Whisper base: always 0.5 s costs
# 2.9 points of word errors on clips of up to 15 s, always 1.5 s shifts the times of segments. A
# pause of 1 s after 4 s of speech may be inside a sentence ("ask not | what your country").
_CUT_PAUSES_S = ((0.0, 1.5), (6.0, 1.0), (10.0, 0.5))
_CUT_PAUSES = tuple(
    (round(length_s * SAMPLE_RATE), round(pause_s * SAMPLE_RATE))
    for length_s, pause_s in _CUT_PAUSES_S
)
_SAMPLES_PER_MS = SAMPLE_RATE // 1000
CUT_PAUSE = _CUT_PAUSES[0][1]  # the longest of these, in samples

# The longest of these pauses where chunks may differ in language. On Whisper base 0.7 s separates
# an English word from the Spanish after it, and counted words stay together more than at 0.5 s.
TURN_PAUSE = round(0.7 * SAMPLE_RATE)

# A chunk that is too long is cut at the longest pause in the last fifth of the window: a cut
# between clauses causes fewer word errors than one inside a clause.
_EARLIEST_CUT = 0.8


class Cuts:
    """Where chunks are cut, in samples: a request's `VadOptions` with their defaults.

    Attributes:
        before: Audio that is kept before speech.
        after: Audio that is kept after speech: at most half of any pause that ends a chunk.
        max_speech: Most samples from the first to the last speech of a chunk.
        pauses: Ascending lengths of a chunk, each with the pause that ends it from there on.
    """

    def __init__(self, max_samples: int, options: VadOptions, max_pause: int) -> None:
        """Resolve the options; see `chunking.new_splitter`."""
        before_ms, pause_ms = options.prefix_padding_ms, options.silence_duration_ms
        default = tuple((length, min(pause, max_pause)) for length, pause in _CUT_PAUSES)
        self.pauses = default if pause_ms is None else ((0, pause_ms * _SAMPLES_PER_MS),)
        self.before = BEFORE_SAMPLES if before_ms is None else before_ms * _SAMPLES_PER_MS
        self.after = min(AFTER_SAMPLES, self.shortest_pause // 2)
        self.max_speech = max_samples - self.before - self.after

    @property
    def shortest_pause(self) -> int:
        """The pause that ends a long chunk."""
        return self.pauses[-1][1]

    def pause(self, num_samples: int) -> int:
        """Return the pause that ends a chunk of this length."""
        return next(pause for length, pause in reversed(self.pauses) if num_samples >= length)


def first_cut(
    speech: Sequence[Span], quiet_until: float, cuts: Cuts, least_end: float = 0.0
) -> int:
    """Return how many spans the first chunk takes; 0 if that depends on what follows.

    The answer does not change with more speech or a later `quiet_until`: the chunks do not depend
    on the sizes of the blocks.

    Args:
        speech: The spans that are in no chunk yet, in order.
        quiet_until: Where the next one starts at the earliest, in samples.
        cuts: Where chunks are cut.
        least_end: Where that one ends at the earliest; 0 if it has not started.
    """
    starts = [*(span.start for span in speech[1:]), quiet_until]
    # After each span. The last one is at least this long, the others are exactly this long.
    pauses = [start - span.end for span, start in zip(speech, starts, strict=False)]
    for i, pause in enumerate(pauses):
        num_samples = speech[i].end - speech[0].start
        if i and num_samples > cuts.max_speech:
            return _cut_of_long(speech[: i + 1], pauses, cuts)
        if pause >= cuts.pause(num_samples):
            return i + 1
    if speech and least_end - speech[0].start > cuts.max_speech:
        return _cut_of_long([*speech, Span(int(quiet_until), int(least_end))], pauses, cuts)
    return 0


def _cut_of_long(speech: Sequence[Span], pauses: Sequence[float], cuts: Cuts) -> int:
    """Return how many spans to take of a chunk that its last span makes too long: 1 or more.

    The cut is at the last pause that ends a long chunk, else at the longest pause in the last fifth
    of the window, else before the last span.
    """
    places = range(1, len(speech))
    long_pauses = [i for i in places if pauses[i - 1] >= cuts.shortest_pause]
    if long_pauses:
        return long_pauses[-1]
    earliest = speech[0].start + _EARLIEST_CUT * cuts.max_speech
    late = [i for i in places if speech[i - 1].end >= earliest]
    return max(late, key=lambda i: (pauses[i - 1], i), default=places[-1])
