"""Requests and chunks as they are on their way to the model, without an engine around them."""

from __future__ import annotations

from fakes import PATIENCE_S, features_of
from talkmill.engine import CheckedOptions, OnSegment, Request, TranscribeOptions
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.scheduling.batcher import BatchKey, PendingChunk
from talkmill.engine.types import Features, Span


def new_request(
    *,
    language: str | None = "en",
    options: TranscribeOptions | None = None,
    plan: DecodePlan | None = None,
    use_cache: bool = False,
    deadline_s: float | None = None,
    on_segment: OnSegment | None = None,
    warnings: tuple[str, ...] = (),
) -> Request:
    """Return a request whose options have been checked; greedy unless `plan` says otherwise."""
    options = options or TranscribeOptions()
    plan = plan or DecodePlan(timestamps=options.timestamps)
    checked = CheckedOptions(options, language, (), 0, plan, warnings)
    return Request(checked, use_cache=use_cache, deadline_s=deadline_s, on_segment=on_segment)


def pending_chunk(
    request: Request,
    index: int = 0,
    *,
    features: Features | None = None,
    key: BatchKey | None = None,
    put_s: float = 0.0,
) -> PendingChunk:
    """Return a chunk of 30 s that waits for the model."""
    features = features_of(1) if features is None else features
    key = key or BatchKey.of(request.plan, 4)
    return PendingChunk(request, index, (Span(0, 480_000),), features, key, put_s)


def text(request: Request) -> str:
    """Return the text of a request that succeeds."""
    return request.future.result(PATIENCE_S).text


def outcome(request: Request) -> BaseException | None:
    """Return the error that a request ends with; None if it succeeds."""
    return request.future.exception(PATIENCE_S)
