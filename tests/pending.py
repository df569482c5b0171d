"""Requests and chunks as they are on their way to the model, without an engine around them."""

from __future__ import annotations

from fakes import PATIENCE_S, features_of
from talkmill.engine import CheckedOptions, OnSegment, Request, TranscribeOptions
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.audio.windows import FULL_WINDOW, Window, Windows
from talkmill.engine.decoding.gates import NO_GATES, Gates
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.previous_text import PreviousText
from talkmill.engine.scheduling.batch_key import BatchKey
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.scheduling.request_language import Heard
from talkmill.engine.types import EncoderWindow, Features, Span

CHUNK_SPAN = Span(0, CHUNK_SAMPLES)


def new_request(
    *,
    language: str | None = "en",
    options: TranscribeOptions | None = None,
    plan: DecodePlan | None = None,
    use_cache: bool = False,
    deadline_s: float | None = None,
    on_segment: OnSegment | None = None,
    warnings: tuple[str, ...] = (),
    gates: Gates = NO_GATES,
) -> Request:
    """Return a request whose options have been checked; greedy unless `plan` says otherwise."""
    options = options or TranscribeOptions()
    plan = plan or DecodePlan(timestamps=options.timestamps)
    checked = CheckedOptions(
        options, language, PreviousText(), 0, plan, warnings=warnings, gates=gates
    )
    return Request(checked, use_cache=use_cache, deadline_s=deadline_s, on_segment=on_segment)


def pending_chunk(
    request: Request,
    index: int = 0,
    *,
    features: Features | None = None,
    span: Span = CHUNK_SPAN,
    speech: tuple[Span, ...] = (),
    window: Window = FULL_WINDOW,
    key: BatchKey | None = None,
    put_s: float = 0.0,
) -> PendingChunk:
    """Return a chunk that waits for the model, of 30 s unless `span` says otherwise."""
    features = features_of(1) if features is None else features
    key = key or BatchKey.of(request.plan, 4, window.num_positions)
    return PendingChunk(
        request=request,
        index=index,
        spans=(span,),
        speech=speech,
        features=features,
        window=window,
        key=key,
        put_s=put_s,
    )


def fitted_chunk(
    request: Request, band: int, length_s: float, index: int = 0, start_s: float = 0.0
) -> PendingChunk:
    """Return a chunk of speech from end to end in its fitted window."""
    start = round(start_s * SAMPLE_RATE)
    span = Span(start, start + round(length_s * SAMPLE_RATE))
    fitted = EncoderWindow.FITTED
    window = Windows(fitted).of(fitted, span.end - span.start)
    features = features_of(band, window.num_frames)
    return pending_chunk(
        request, index, features=features, span=span, speech=(span,), window=window
    )


def heard(
    *detection: tuple[str, float],
    index: int = 0,
    start_s: float = 0.0,
    num_samples: int = SAMPLE_RATE,
    has_text: bool = True,
) -> Heard:
    """Return what was detected in a chunk."""
    return Heard(index, detection, start_s, num_samples, has_text)


def text(request: Request) -> str:
    """Return the text of a request that succeeds."""
    return request.future.result(PATIENCE_S).text


def outcome(request: Request) -> BaseException | None:
    """Return the error that a request ends with; None if it succeeds."""
    return request.future.exception(PATIENCE_S)
