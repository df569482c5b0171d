"""A chunk on its way through the model, and the same chunk for another attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..audio.decode import SAMPLE_RATE
from ..audio.features import HOP_SAMPLES, in_window
from ..audio.preparation import Prepared
from ..audio.windows import FULL_WINDOW, Window, Windows
from ..decoding.plan import DecodePlan
from ..model.previous_text import NOTHING, PreviousText
from ..model.protocol import Detection
from ..types import EncoderWindow, Features, Segment, Span
from .batch_key import BatchKey
from .request import Request


@dataclass(frozen=True, eq=False)
class PendingChunk:
    """A chunk that waits for the model.

    Attributes:
        request: The request that it belongs to.
        index: Its index among the request's chunks.
        spans: Where its audio comes from.
        speech: The speech that was detected in it; empty if detection is off.
        features: float32 (n_mels, window.num_frames).
        window: The encoder's window.
        key: What it shares with its batch.
        put_s: Instant of its arrival in the queue, of `time.monotonic`.
        accepted: Segments that earlier attempts gave, of the audio before `spans`.
        num_attempts: How often it was decoded before.
        previous: What stands before the start of its transcript.
        detection: The languages that were detected in it; empty if none were yet.
    """

    request: Request
    index: int
    spans: tuple[Span, ...]
    speech: tuple[Span, ...]
    features: Features
    window: Window
    key: BatchKey
    put_s: float
    accepted: tuple[Segment, ...] = ()
    num_attempts: int = 0
    previous: PreviousText = NOTHING
    detection: Detection = ()

    @classmethod
    def of(cls, request: Request, prepared: Prepared, now_s: float) -> PendingChunk:
        """Return a chunk that was prepared for a request, as it enters the queue."""
        chunk, window, previous = prepared.chunk, prepared.window, request.previous
        return cls(
            request=request,
            index=chunk.index,
            spans=chunk.spans,
            speech=chunk.speech,
            features=prepared.features,
            window=window,
            key=_key(request, previous, window),
            put_s=now_s,
            previous=previous,
        )

    @property
    def plan(self) -> DecodePlan:
        """How it is decoded: as its request says, in the room that its prompt leaves."""
        return _plan(self.request, self.previous)

    @property
    def language(self) -> str | None:
        """Its language; None where that must be detected."""
        return self.request.language or (self.detection[0][0] if self.detection else None)

    @property
    def audio_s(self) -> float:
        """Length of the audio to decode, in seconds."""
        return sum(span.end - span.start for span in self.spans) / SAMPLE_RATE

    def in_full_window(self) -> PendingChunk:
        """Return the same audio for another attempt in Whisper's full window."""
        return replace(
            self,
            features=in_window(self.features, FULL_WINDOW.num_frames),
            window=FULL_WINDOW,
            key=replace(self.key, num_positions=FULL_WINDOW.num_positions),
            num_attempts=self.num_attempts + 1,
            detection=(),  # the shorter window may have misled it
        )

    def rest(self, start: int, accepted: tuple[Segment, ...]) -> PendingChunk:
        """Return the audio from a sample on for another attempt, in a window of the same kind.

        Args:
            start: First sample to decode again, inside the chunk's one span.
            accepted: The segments before it.
        """
        (span,) = self.spans
        first = (start - span.start) // HOP_SAMPLES
        window = self.window
        if window.kind is EncoderWindow.FITTED:
            window = Windows(EncoderWindow.FITTED).of(window.kind, span.end - start)
        return replace(
            self,
            spans=(Span(span.start + first * HOP_SAMPLES, span.end),),
            features=in_window(self.features[:, first:], window.num_frames),
            window=window,
            key=replace(self.key, num_positions=window.num_positions),
            accepted=accepted,
            num_attempts=self.num_attempts + 1,
        )

    def after(self, previous: PreviousText) -> PendingChunk:
        """Return the same audio with something else before the start of its transcript."""
        if previous == self.previous:
            return self
        return replace(self, key=_key(self.request, previous, self.window), previous=previous)


def _plan(request: Request, previous: PreviousText) -> DecodePlan:
    return request.plan.after(request.prompt_length_after(previous))


def _key(request: Request, previous: PreviousText, window: Window) -> BatchKey:
    length = request.prompt_length_after(previous)
    return BatchKey.of(_plan(request, previous), length, window.num_positions)
