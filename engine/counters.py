"""What an engine shows of its work: read by metrics and tests, changed by nobody."""

from __future__ import annotations

from .live.sessions import Sessions
from .scheduling.admission import Admission
from .scheduling.cache import CacheStats
from .scheduling.engine_load import EngineLoad
from .scheduling.pipeline import Pipeline
from .scheduling.worker_stats import WorkerStats


class Counters:
    """The part of an engine that is only read. Thread-safe."""

    _admission: Admission
    _pipeline: Pipeline | None
    _sessions: Sessions

    @property
    def stats(self) -> WorkerStats:
        """What the workers have done so far."""
        return self._pipeline.stats if self._pipeline else WorkerStats()

    @property
    def cache_stats(self) -> CacheStats:
        """Requests that may be answered from the cache, by how they were answered."""
        return self._pipeline.cache_stats if self._pipeline else CacheStats()

    @property
    def num_requests(self) -> int:
        """Requests that are admitted and have not ended; a live session and its passes are some."""
        return self._admission.num_admitted

    @property
    def num_sessions(self) -> int:
        """Live sessions that have not ended."""
        return len(self._sessions)

    @property
    def load(self) -> EngineLoad:
        """What is in flight, and what was refused."""
        return self._admission.load

    @property
    def num_waiting_chunks(self) -> int:
        """Chunks that wait for the model."""
        return self._pipeline.num_waiting_chunks if self._pipeline else 0

    @property
    def num_window_fallbacks(self) -> int:
        """Chunks that were decoded again in the full window because a fitted one failed."""
        return self._pipeline.num_window_fallbacks if self._pipeline else 0

    @property
    def num_thread_restarts(self) -> int:
        """Threads that were started again after an error of ours."""
        return self._pipeline.num_thread_restarts if self._pipeline else 0

    @property
    def device(self) -> str:
        """The device that the model runs on, "cpu" or "cuda"; empty before it is loaded."""
        return self._pipeline.model.runtime.device if self._pipeline else ""
