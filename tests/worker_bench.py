"""A worker pool on a fake model, to put single chunks to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes import FakeModel, features_of
from pending import fitted_chunk, new_request, pending_chunk
from talkmill.engine import EngineFailed, Request, Segment, TranscribeOptions
from talkmill.engine.audio.preparation import AudioReport
from talkmill.engine.decoding.gates import NO_GATES, Gates
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.scheduling.pending_chunk import PendingChunk
from talkmill.engine.scheduling.queue import ChunkQueue
from talkmill.engine.scheduling.window_guard import WindowGuard
from talkmill.engine.scheduling.worker import WorkerPool


@dataclass
class Bench:
    """A worker on a fake model, with requests of one chunk each."""

    model: FakeModel
    queue: ChunkQueue
    pool: WorkerPool
    guard: WindowGuard
    lost: list[EngineFailed]
    done: list[Request] = field(default_factory=list)

    def put(
        self,
        band: int,
        *,
        language: str | None = "en",
        options: TranscribeOptions | None = None,
        plan: DecodePlan | None = None,
        on_segment: Callable[[Segment], None] | None = None,
        fitted_s: float | None = None,
        gates: Gates = NO_GATES,
    ) -> Request:
        """Put a chunk of 30 s, or of `fitted_s` seconds of speech in a fitted window."""
        request = new_request(
            options=options, plan=plan, language=language, on_segment=on_segment, gates=gates
        )
        if fitted_s is None:
            item = pending_chunk(request, features=features_of(band))
        else:
            item = fitted_chunk(request, band, fitted_s)
        self.put_chunks(request, item)
        return request

    def put_chunks(self, request: Request, *items: PendingChunk) -> None:
        """Put all the chunks of a request."""
        for item in items:
            request.chunk_sent(item.window.kind)
        num_samples = sum(span.end - span.start for item in items for span in item.speech)
        request.audio_done(AudioReport(num_samples, Counter({0: num_samples})))
        request.future.add_done_callback(lambda _: self.done.append(request))
        for item in items:
            self.queue.put(item)

    def put_together(self, *bands: int) -> list[Request]:
        """Put chunks while the model is held by another, so that they share a batch."""
        self.hold_with_another()
        requests = [self.put(band) for band in bands]
        self.model.release()
        return requests

    def hold_with_another(self) -> None:
        """Hold the model with a chunk in it, heard as 79."""
        self.model.hold()
        self.put(79)
        self.model.wait_for_calls(1)
