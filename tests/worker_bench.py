"""A worker pool on a fake model, to put single chunks to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fakes import FakeModel, features_of
from pending import new_request, pending_chunk
from talkmill.engine import DeviceLost, Request, Segment, TranscribeOptions
from talkmill.engine.audio.preparation import AudioReport
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.scheduling.queue import ChunkQueue
from talkmill.engine.scheduling.worker import WorkerPool


@dataclass
class Bench:
    """A worker on a fake model, with requests of one chunk each."""

    model: FakeModel
    queue: ChunkQueue
    pool: WorkerPool
    lost: list[DeviceLost]
    done: list[Request] = field(default_factory=list)

    def put(
        self,
        band: int,
        *,
        language: str | None = "en",
        options: TranscribeOptions | None = None,
        plan: DecodePlan | None = None,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Request:
        request = new_request(options=options, plan=plan, language=language, on_segment=on_segment)
        request.chunk_sent()
        request.audio_done(AudioReport())
        request.future.add_done_callback(lambda _: self.done.append(request))
        self.queue.put(pending_chunk(request, features=features_of(band)))
        return request

    def put_together(self, *bands: int) -> list[Request]:
        """Put chunks while the model is held by another, so that they share a batch."""
        self.model.hold()
        self.put(79)
        self.model.wait_for_calls(1)
        requests = [self.put(band) for band in bands]
        self.model.release()
        return requests
