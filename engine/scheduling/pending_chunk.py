"""A chunk on its way through the model, and the same chunk for another attempt."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from ..audio.decode import SAMPLE_RATE
from ..audio.features import HOP_SAMPLES, in_window
from ..audio.preparation import Prepared
from ..audio.windows import FULL_WINDOW, Window, Windows
from ..decoding.effort import effort
from ..decoding.hypothesis import Hypothesis
from ..decoding.plan import DecodePlan
from ..model.previous_text import NOTHING, PreviousText
from ..model.protocol import Detection, EncoderOutput
from ..types import EncoderWindow, Features, Segment, Span
from .batch_key import BatchKey
from .request import Request

Ranked = tuple[tuple[bool, bool, float], Hypothesis]
"""An answer that failed the gates after its rank: the greater, the better it is."""


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
        num_attempts: How often it was encoded before.
        previous: What stands before the start of its transcript.
        detection: The languages that were detected in it; empty if none were yet.
        num_failed: How often the same audio in the same window failed the gates: the place of its
            temperature.
        kept: The encoder's output of it alone, if an answer to it failed; None: to be encoded.
        best: The best answer that failed, if one did, after its rank.
        is_fallback: Whether the first answer, in a fitted window, was suspect.
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
    num_failed: int = 0
    kept: EncoderOutput = None
    best: Ranked | None = None
    is_fallback: bool = False

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
        """How it is decoded now, in the room that its prompt leaves.

        That is as its request says, or at a later temperature.
        """
        if not self.num_failed:
            return _plan(self.request, self.previous)
        later = self.request.gates.fallbacks[self.num_failed - 1]
        return later.after(self.request.prompt_length_after(self.previous))

    @functools.cached_property
    def cost_s(self) -> float:
        """What it takes the model: seconds of audio that take as long in plain decoding."""
        window_s = self.window.num_frames * HOP_SAMPLES / SAMPLE_RATE
        return window_s * effort(self.plan, window_s)

    @property
    def is_again(self) -> bool:
        """Whether an earlier attempt at its audio was not accepted."""
        return self.num_attempts > 0 or self.num_failed > 0

    @property
    def language(self) -> str | None:
        """Its language; None where that must be detected."""
        return self.request.language or (self.detection[0][0] if self.detection else None)

    @property
    def audio_s(self) -> float:
        """Length of the audio to decode, in seconds."""
        return sum(span.end - span.start for span in self.spans) / SAMPLE_RATE

    def at_next_temperature(self, kept: EncoderOutput, best: Ranked) -> PendingChunk:
        """Return the same audio for another attempt at the next temperature.

        Args:
            kept: The encoder's output of this chunk alone.
            best: The best answer so far, after its rank.
        """
        again = replace(self, num_failed=self.num_failed + 1, kept=kept, best=best)
        return replace(again, key=BatchKey.of(again.plan, 0, self.window.num_positions))

    def in_full_window(self) -> PendingChunk:
        """Return the same audio for another attempt in Whisper's full window."""
        return replace(
            self,
            features=in_window(self.features, FULL_WINDOW.num_frames),
            window=FULL_WINDOW,
            key=replace(self.key, num_positions=FULL_WINDOW.num_positions),
            num_attempts=self.num_attempts + 1,
            detection=(),  # the shorter window may have misled it
            is_fallback=not self.num_attempts,
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
        key = replace(self.key, num_positions=window.num_positions)
        if self.num_failed:
            key = _key(self.request, self.previous, window)
        return replace(
            self,
            spans=(Span(span.start + first * HOP_SAMPLES, span.end),),
            features=in_window(self.features[:, first:], window.num_frames),
            window=window,
            key=key,
            accepted=accepted,
            num_attempts=self.num_attempts + 1,
            is_fallback=False,
            num_failed=0,
            kept=None,
            best=None,
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
