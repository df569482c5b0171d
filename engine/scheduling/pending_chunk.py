"""A chunk on its way through the model, and the same chunk for another attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..audio.decode import SAMPLE_RATE
from ..audio.features import HOP_SAMPLES, in_window
from ..audio.preparation import Prepared
from ..audio.windows import FULL_WINDOW, Window, Windows
from ..decoding.hypothesis import Hypothesis
from ..decoding.plan import DecodePlan
from ..model.protocol import EncoderOutput
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
        num_failed: How often the same audio in the same window failed the gates: the place of its
            temperature.
        kept: The encoder's output of it alone, if an answer to it failed; None: to be encoded.
        best: The best answer that failed, if one did, after its rank.
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
    num_failed: int = 0
    kept: EncoderOutput = None
    best: Ranked | None = None

    @classmethod
    def of(cls, request: Request, prepared: Prepared, now_s: float) -> PendingChunk:
        """Return a chunk that was prepared for a request, as it enters the queue."""
        chunk, window = prepared.chunk, prepared.window
        return cls(
            request=request,
            index=chunk.index,
            spans=chunk.spans,
            speech=chunk.speech,
            features=prepared.features,
            window=window,
            key=BatchKey.of(request.plan, request.prompt_length, window.num_positions),
            put_s=now_s,
        )

    @property
    def audio_s(self) -> float:
        """Length of the audio to decode, in seconds."""
        return sum(span.end - span.start for span in self.spans) / SAMPLE_RATE

    @property
    def plan(self) -> DecodePlan:
        """How to decode it now: as the request says, or at a later temperature."""
        if not self.num_failed:
            return self.request.plan
        return self.request.gates.fallbacks[self.num_failed - 1]

    @property
    def _first_key(self) -> BatchKey:
        request = self.request
        return BatchKey.of(request.plan, request.prompt_length, self.window.num_positions)

    def at_next_temperature(self, kept: EncoderOutput, best: Ranked) -> PendingChunk:
        """Return the same audio for another attempt at the next temperature.

        Args:
            kept: The encoder's output of this chunk alone.
            best: The best answer so far, after its rank.
        """
        again = replace(self, num_failed=self.num_failed + 1, kept=kept, best=best)
        positions = self.window.num_positions
        return replace(again, key=BatchKey.of(again.plan, self.request.prompt_length, positions))

    def in_full_window(self) -> PendingChunk:
        """Return the same audio for another attempt in Whisper's full window."""
        return replace(
            self,
            features=in_window(self.features, FULL_WINDOW.num_frames),
            window=FULL_WINDOW,
            key=replace(self.key, num_positions=FULL_WINDOW.num_positions),
            num_attempts=self.num_attempts + 1,
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
            key=self._first_key if self.num_failed else self.key,
            accepted=accepted,
            num_attempts=self.num_attempts + 1,
            num_failed=0,
            kept=None,
            best=None,
        )
