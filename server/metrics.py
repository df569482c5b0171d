"""What is counted, for Prometheus. One registry for each server, none for the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from google.rpc import code_pb2
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..engine import Engine, Transcript
from .status import OK, status_of

_LAG_INTERVAL_S = 0.05
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """Counts calls as they end; the engine's own counts are read when asked for."""

    def __init__(self, engine: Engine) -> None:
        """Count for `engine`."""
        self._registry = CollectorRegistry()
        self._registry.register(_EngineMetrics(engine))
        self._calls = Counter(
            "talkmill_requests",
            "Calls that have ended.",
            ["door", "status"],
            registry=self._registry,
        )
        self._call_s = Histogram(
            "talkmill_request_seconds",
            "From a call's first byte to its end.",
            ["door"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._audio_s = Counter(
            "talkmill_audio_seconds", "Audio that was transcribed.", registry=self._registry
        )
        self._speech_s = Counter(
            "talkmill_speech_seconds", "Speech that was found in it.", registry=self._registry
        )

        self._lag_s = Histogram(
            "talkmill_event_loop_lag_seconds",
            "How late the event loop is: what a call waits before anyone looks at it.",
            buckets=_LAG_SECONDS,
            registry=self._registry,
        )

    async def watch_loop(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        while True:
            due_s = time.monotonic() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._lag_s.observe(time.monotonic() - due_s)

    @contextmanager
    def count(self, door: str) -> Iterator[None]:
        """Count one call, with how it ends."""
        start_s = time.monotonic()
        status = OK
        try:
            yield
        except BaseException as error:
            status = status_of(type(error))
            raise
        finally:
            self._calls.labels(door, code_pb2.Code.Name(status.grpc)).inc()
            self._call_s.labels(door).observe(time.monotonic() - start_s)

    def count_audio(self, transcript: Transcript) -> None:
        """Count what was transcribed."""
        self._audio_s.inc(transcript.duration_s)
        self._speech_s.inc(transcript.speech_s)

    def render(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)


class _EngineMetrics(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        engine, work, cache = self._engine, self._engine.stats, self._engine.cache_stats
        counts = {
            "chunks": ("Chunks decoded.", work.num_chunks),
            "batches": ("Batches they came in.", work.num_batches),
            "failed_chunks": ("Chunks that the model failed on.", work.num_failed_chunks),
        }
        for name, (meaning, number) in counts.items():
            yield CounterMetricFamily(f"talkmill_{name}", meaning, value=number)
        lookups = CounterMetricFamily(
            "talkmill_cache_requests",
            "Requests that may be answered from the cache.",
            labels=["result"],
        )
        lookups.add_metric(["hit"], cache.num_hits)
        lookups.add_metric(["miss"], cache.num_misses)
        lookups.add_metric(["coalesced"], cache.num_coalesced)
        yield lookups
        yield GaugeMetricFamily(
            "talkmill_requests_in_progress", "Requests in the works.", value=engine.num_requests
        )
        yield GaugeMetricFamily(
            "talkmill_chunks_waiting",
            "Chunks that wait for the model.",
            value=engine.num_waiting_chunks,
        )
