"""The state of one request: its options, its chunks under way, and the future of its answer."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace

from ..audio.preparation import AudioReport
from ..decoding.gates import Gates
from ..decoding.plan import DecodePlan
from ..errors import Cancelled, DeadlineExceeded, TalkmillError
from ..model.previous_text import NOTHING, PreviousText
from ..options import CheckedOptions
from ..transcript.coverage import coverage, coverage_warnings
from ..types import (
    Channels,
    EncoderWindow,
    Segment,
    Timings,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from .admission import NO_PERMIT, Permit
from .chunk_cost import ChunkCost, timings
from .request_language import NUM_OTHERS, Heard, RequestLanguage
from .segment_order import SegmentOrder

OnSegment = Callable[[Segment], None]

_ids = itertools.count()


class Request:
    """One request under way. Thread-safe; every method may be called from any thread.

    Attributes:
        id: Unique in this process.
        checked: Its options, as the model will honour them.
        use_cache: Whether an earlier answer to the same question will do.
        cache_scope: Only an answer to a request of the same scope will do.
        seed: Seed of its random draws; a random one where none is given.
        computed: Its transcript, without warnings about options, once it has been computed.
        deadline_s: Instant of `time.monotonic` after which the answer is of no use, or None.
        permit: Is told what the request has the model do.
        future: Resolves to the `Transcript`, or fails with a `TalkmillError`; cancelling it
            cancels the request.
    """

    def __init__(
        self,
        checked: CheckedOptions,
        *,
        use_cache: bool = False,
        cache_scope: str = "",
        deadline_s: float | None = None,
        on_segment: OnSegment | None = None,
        permit: Permit = NO_PERMIT,
    ) -> None:
        """Take a request.

        Args:
            checked: See the attribute.
            use_cache: See the attribute.
            cache_scope: See the attribute.
            deadline_s: See the attribute.
            permit: See the attribute.
            on_segment: Called with each segment, in order, from the engine's threads.
        """
        self.id = next(_ids)
        self.checked = checked
        self.use_cache = use_cache
        self.cache_scope = cache_scope
        self.seed = secrets.randbits(64) if self.plan.seed is None else self.plan.seed
        self.computed: Transcript | None = None
        self.deadline_s = deadline_s
        self.future: Future[Transcript] = Future()
        self._on_segment = on_segment
        self.permit = permit
        self._on_progress: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._submitted_s = time.monotonic()
        self._language = RequestLanguage(checked)
        self._previous = checked.previous
        self._num_sent = self._num_done = 0
        self._report: AudioReport | None = None  # once all its chunks are sent
        self._is_split = checked.given.channels is Channels.SPLIT
        self._order = SegmentOrder(is_split=self._is_split)
        self._segments: list[Segment] = []
        self._costs: list[ChunkCost] = []
        self._written: Counter[int] = Counter()  # samples of speech with text, of each channel
        self._encoder_window = checked.encoder_window
        self._warnings: dict[int, list[str]] = {}  # of each chunk

    @property
    def options(self) -> TranscribeOptions:
        """What it asks for."""
        return self.checked.given

    @property
    def plan(self) -> DecodePlan:
        """How each of its chunks is decoded."""
        return self.checked.plan

    @property
    def gates(self) -> Gates:
        """What the answer for each of its chunks must pass."""
        return self.checked.gates

    @property
    def previous(self) -> PreviousText:
        """What stands before its next chunk."""
        return self._previous

    @property
    def is_done(self) -> bool:
        """Whether it was answered, failed or was cancelled."""
        return self.future.done()

    @property
    def language(self) -> str | None:
        """The language of its next chunk; None where that must be detected."""
        return self._language.code

    @property
    def num_ahead(self) -> int:
        """Chunks that were sent to the model and are not done."""
        return self._num_sent - self._num_done

    def listen(self, on_progress: Callable[[], None]) -> None:
        """Have `on_progress`, which must not refer to the request, called after each chunk."""
        self._on_progress = on_progress
        self.future.add_done_callback(lambda _: on_progress())

    def hear(self, heard: Heard, previous: PreviousText = NOTHING) -> None:
        """Take what an accepted answer means for the next chunk. Call it before `chunk_done`.

        Args:
            heard: The languages that were detected in the chunk.
            previous: What stands before the chunk after it, if that needs its words.
        """
        with self._lock:
            self._language.hear(heard)
            if self.checked.is_conditioned:
                self._previous = previous

    def prompt_length_after(self, previous: PreviousText) -> int:
        """Return the number of tokens before a chunk's answer."""
        checked = self.checked
        return checked.prompt_length - checked.previous.num_placed + previous.num_placed

    def wants_chunks(self, max_ahead: int) -> bool:
        """Whether its next chunk may be prepared: at most `max_ahead` wait for the model.

        It waits for the chunk before it while the language is unknown, and if it needs its words.
        """
        num_ahead = self.num_ahead
        is_serial = self.checked.is_conditioned or self._language.is_open
        return num_ahead == 0 or (not is_serial and num_ahead < max_ahead)

    def chunk_sent(
        self,
        kind: EncoderWindow = EncoderWindow.FULL,
        start_s: float = 0.0,
        channel: int = 0,
        *,
        audio_s: float = 0.0,
        num_bytes: int = 0,
    ) -> None:
        """Count a chunk on its way to the model; they are sent in the order of their starts.

        Args:
            kind: What decided the length of its window.
            start_s: Its start in the utterance, in seconds.
            channel: Its channel; 0 if channels are mixed.
            audio_s: How much of the file it is, with the silence before it, in seconds.
            num_bytes: Size of its features.
        """
        with self._lock:
            self.permit.sent(self._num_sent, audio_s, num_bytes)
            self._num_sent += 1
            self._emit(self._order.sent(start_s, channel))
            if self._num_sent == 1 or kind is not EncoderWindow.FULL:
                self._encoder_window = kind

    def chunk_repeated(self, cost: ChunkCost) -> None:
        """Count what an attempt took whose answer was not accepted."""
        with self._lock:
            self._costs.append(cost)

    def warn(self, index: int, warnings: Iterable[str]) -> None:
        """Add what the caller must know of a chunk's words to the answer's warnings."""
        with self._lock:
            self._warnings.setdefault(index, []).extend(warnings)

    def chunk_done(
        self, index: int, segments: list[Segment], cost: ChunkCost, num_written: int = 0
    ) -> None:
        """Take the segments of one chunk; give out those whose turn it is."""
        try:
            with self._lock:
                self.permit.done(index)
                self._num_done += 1
                self._costs.append(cost)
                self._written[self._order.channel_of(index)] += num_written
                self._emit(self._order.done(index, segments))
                self._finish_if_complete()
        finally:
            self._on_progress()

    def audio_done(self, report: AudioReport) -> None:
        """Record that every chunk has been sent, and what is known of the audio."""
        self.permit.read(0.0)
        with self._lock:
            self._report = report
            self._finish_if_complete()

    def answer(self, known: Transcript) -> None:
        """Resolve the request with what was computed for another one."""
        with self._lock:
            self._emit(known.segments)
            spent = Timings(total_s=time.monotonic() - self._submitted_s)
            self._resolve(replace(known, timings=spent, is_cached=True))

    def fail(self, error: TalkmillError) -> None:
        """Resolve the request with an error, unless it is resolved already."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return

    def is_wanted(self, now_s: float) -> bool:
        """Return whether it is neither done nor past its deadline."""
        return not (self.is_done or self._is_late(now_s))

    def expire(self, now_s: float) -> bool:
        """Fail the request if its deadline has passed; return whether it is done."""
        if self._is_late(now_s):
            self.fail(DeadlineExceeded("the deadline passed before the answer"))
        return self.is_done

    def cancel(self) -> None:
        """Cancel the request; batches that run already finish, and their answers are dropped."""
        self.fail(Cancelled("the request was cancelled"))

    def _is_late(self, now_s: float) -> bool:
        return self.deadline_s is not None and now_s >= self.deadline_s

    def _emit(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self._segments.append(segment)
            if self._on_segment is not None and not self.is_done:
                self._on_segment(segment)

    def _finish_if_complete(self) -> None:
        if self._report is None or self._num_done < self._num_sent or self.is_done:
            return
        self._emit(self._order.rest())
        self.computed = self._transcript(self._report)
        self._resolve(self.computed)

    def _resolve(self, transcript: Transcript) -> None:
        warnings = (*self.checked.warnings, *transcript.warnings)
        try:
            self.future.set_result(replace(transcript, warnings=warnings))
        except InvalidStateError:  # cancelled at this moment
            return

    def _transcript(self, report: AudioReport) -> Transcript:
        is_detected = self.options.vad is not VadMode.OFF
        (language, probability), *others = self._language.probabilities() or (("", 0.0),)
        warnings = [*report.warnings, *self._language.warnings(), *self._chunk_warnings()]
        if is_detected:
            warnings += coverage_warnings(self._written, report.speech_of, is_split=self._is_split)
        return Transcript(
            text="".join(segment.text for segment in self._segments).strip(),
            segments=tuple(self._segments),
            language=language,
            language_probability=probability,
            duration_s=report.duration_s,
            speech_s=report.speech_s,
            timings=timings(self._costs, report, time.monotonic() - self._submitted_s),
            coverage=coverage(self._written, report.speech_of) if is_detected else None,
            encoder_window=self._encoder_window,
            logprobs=tuple(token for one in self._segments for token in one.logprobs),
            other_languages=tuple(others[:NUM_OTHERS]),
            warnings=tuple(warnings),
        )

    def _chunk_warnings(self) -> Iterator[str]:
        for index, warnings in sorted(self._warnings.items()):
            where = f"channel {self._order.channel_of(index)}: " if self._is_split else ""
            yield from (where + warning for warning in warnings)
