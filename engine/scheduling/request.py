"""The state of one request: its options, its chunks under way, and the future of its answer."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, replace

from ..audio.preparation import AudioReport
from ..decoding.gates import Gates
from ..decoding.plan import DecodePlan
from ..errors import Cancelled, DeadlineExceeded, TalkmillError
from ..model.previous_text import NOTHING, PreviousText
from ..options import CheckedOptions
from ..types import EncoderWindow, Segment, Timings, TranscribeOptions, Transcript, VadMode
from .request_language import NUM_OTHERS, Heard, RequestLanguage

OnSegment = Callable[[Segment], None]

MIN_COVERAGE = 0.98  # less of the speech in the segments gives a warning

_ids = itertools.count()


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


class Request:
    """One request under way. Thread-safe; every method may be called from any thread.

    Attributes:
        id: Unique in this process.
        checked: Its options, as the model will honour them.
        use_cache: Whether an earlier answer to the same question will do.
        seed: Seed of its random draws; a random one where none is given.
        computed: Its transcript, without warnings about options, once it has been computed.
        deadline_s: Instant of `time.monotonic` after which the answer is of no use, or None.
        future: Resolves to the `Transcript`, or fails with a `TalkmillError`; cancelling it
            cancels the request.
    """

    def __init__(
        self,
        checked: CheckedOptions,
        *,
        use_cache: bool = False,
        deadline_s: float | None = None,
        on_segment: OnSegment | None = None,
    ) -> None:
        """Take a request.

        Args:
            checked: See the attribute.
            use_cache: See the attribute.
            deadline_s: See the attribute.
            on_segment: Called with each segment, in order, from a worker's thread.
        """
        self.id = next(_ids)
        self.checked = checked
        self.use_cache = use_cache
        self.seed = secrets.randbits(64) if self.plan.seed is None else self.plan.seed
        self.computed: Transcript | None = None
        self.deadline_s = deadline_s
        self.future: Future[Transcript] = Future()
        self._on_segment = on_segment
        self._on_progress: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._submitted_s = time.monotonic()
        self._language = RequestLanguage(checked)
        self._previous = checked.previous
        self._num_sent = self._num_done = 0
        self._report: AudioReport | None = None  # once all its chunks are sent
        self._early: dict[int, list[Segment]] = {}  # done, but a chunk before them is not
        self._segments: list[Segment] = []
        self._num_emitted = 0  # chunks whose segments have been given out
        self._costs: list[ChunkCost] = []
        self._num_written = 0  # samples of speech that the segments cover
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
        """Have `on_progress` called after each chunk and at the end, from whichever thread."""
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

    def chunk_sent(self, kind: EncoderWindow = EncoderWindow.FULL) -> None:
        """Count a chunk on its way to the model, in a window of this kind."""
        with self._lock:
            self._num_sent += 1
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
        """Take the segments of one chunk; give out those whose predecessors are all done."""
        try:
            with self._lock:
                self._num_done += 1
                self._costs.append(cost)
                self._num_written += num_written
                self._early[index] = segments
                while (ready := self._early.pop(self._num_emitted, None)) is not None:
                    self._num_emitted += 1
                    self._emit(ready)
                self._finish_if_complete()
        finally:
            self._on_progress()

    def audio_done(self, report: AudioReport) -> None:
        """Record that every chunk has been sent, and what is known of the audio."""
        with self._lock:
            self._report = report
            self._finish_if_complete()

    def answer(self, known: Transcript) -> None:
        """Resolve the request with what was computed for another one."""
        with self._lock:
            self._emit(known.segments)
            timings = Timings(total_s=time.monotonic() - self._submitted_s)
            self._resolve(replace(known, timings=timings, is_cached=True))

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
        self.computed = self._transcript(self._report)
        self._resolve(self.computed)

    def _resolve(self, transcript: Transcript) -> None:
        warnings = (*self.checked.warnings, *transcript.warnings)
        try:
            self.future.set_result(replace(transcript, warnings=warnings))
        except InvalidStateError:  # cancelled at this moment
            return

    def _transcript(self, report: AudioReport) -> Transcript:
        costs = self._costs
        coverage = self._coverage(report)
        (language, probability), *others = self._language.probabilities() or (("", 0.0),)
        warnings = [*report.warnings, *self._language.warnings()]
        warnings += (text for _, texts in sorted(self._warnings.items()) for text in texts)
        return Transcript(
            text="".join(segment.text for segment in self._segments).strip(),
            segments=tuple(self._segments),
            language=language,
            language_probability=probability,
            duration_s=report.duration_s,
            speech_s=report.speech_s,
            timings=Timings(
                decode_s=report.decode_s,
                vad_s=report.vad_s,
                features_s=report.features_s,
                queue_s=max((cost.queue_s for cost in costs), default=0.0),
                encode_s=sum(cost.encode_s for cost in costs),
                generate_s=sum(cost.generate_s for cost in costs),
                total_s=time.monotonic() - self._submitted_s,
                mean_batch_size=sum(cost.batch_size for cost in costs) / max(1, len(costs)),
            ),
            coverage=coverage,
            encoder_window=self._encoder_window,
            logprobs=tuple(token for one in self._segments for token in one.logprobs),
            other_languages=tuple(others[:NUM_OTHERS]),
            warnings=(*warnings, *_coverage_warnings(coverage, report.speech_s)),
        )

    def _coverage(self, report: AudioReport) -> float | None:
        if self.options.vad is VadMode.OFF:
            return None
        if not report.num_speech_samples:
            return 1.0
        return min(1.0, self._num_written / report.num_speech_samples)


def _coverage_warnings(coverage: float | None, speech_s: float) -> list[str]:
    if coverage is None or coverage >= MIN_COVERAGE or not speech_s:
        return []
    missing_s = (1 - coverage) * speech_s
    return [f"coverage {coverage:.2f}: {missing_s:.1f} of {speech_s:.1f} s of speech has no text"]
