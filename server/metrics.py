"""Prometheus metrics. Each server has a registry of its own; the global one is not used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from google.rpc import code_pb2
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..engine import Engine
from .status import OK, status_of

_LAG_INTERVAL_S = 0.05
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """Counts calls when they end; reads the engine's counters when the metrics are rendered."""

    def __init__(self, engine: Engine) -> None:
        """Create the registry; `engine` provides the counts of chunks and the cache."""
        self._registry = CollectorRegistry()
        self._registry.register(_EngineMetrics(engine))
        self._calls = Counter(
            "talkmill_requests",
            "Calls that have ended, by protocol (door: grpc or http) and gRPC status.",
            ["door", "status"],
            registry=self._registry,
        )
        self._call_s = Histogram(
            "talkmill_request_seconds",
            "Duration of a call, by protocol (door: grpc or http).",
            ["door"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._audio_s = Counter(
            "talkmill_audio_seconds", "Seconds of audio transcribed.", registry=self._registry
        )
        self._speech_s = Counter(
            "talkmill_speech_seconds",
            "Seconds of speech found in that audio.",
            registry=self._registry,
        )

        self._lag_s = Histogram(
            "talkmill_event_loop_lag_seconds",
            "Delay of the event loop: how late its timer fires.",
            buckets=_LAG_SECONDS,
            registry=self._registry,
        )

    async def watch_loop(self) -> None:
        """Measure the delay of the event loop every `_LAG_INTERVAL_S`, until cancelled."""
        while True:
            due_s = time.monotonic() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._lag_s.observe(time.monotonic() - due_s)

    @contextmanager
    def count(self, protocol: str) -> Iterator[None]:
        """Count one call: its status and its duration.

        Args:
            protocol: "grpc" or "http": the value of the metrics' label `door`.
        """
        start_s = time.monotonic()
        status = OK
        try:
            yield
        except BaseException as error:
            status = status_of(type(error))
            raise
        finally:
            self._calls.labels(protocol, code_pb2.Code.Name(status.grpc)).inc()
            self._call_s.labels(protocol).observe(time.monotonic() - start_s)

    def count_audio(self, audio_s: float, speech_s: float) -> None:
        """Add seconds of audio that were transcribed, and of the speech in it."""
        self._audio_s.inc(audio_s)
        self._speech_s.inc(speech_s)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _EngineMetrics(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        engine, work, cache = self._engine, self._engine.stats, self._engine.cache_stats
        load = engine.load
        counts = {
            "chunks": ("Chunks decoded.", work.num_chunks),
            "batches": ("Batches of chunks decoded.", work.num_batches),
            "window_fallbacks": (
                "Chunks decoded again in the full window because a fitted one failed.",
                engine.num_window_fallbacks,
            ),
            "failed_chunks": ("Chunks that the model failed on.", work.num_failed_chunks),
            "thread_restarts": (
                "Threads that died of an error and were started again.",
                engine.num_thread_restarts,
            ),
        }
        for name, (meaning, number) in counts.items():
            yield CounterMetricFamily(f"talkmill_{name}", meaning, value=number)
        lookups = CounterMetricFamily(
            "talkmill_cache_requests",
            "Requests looked up in the cache, by result.",
            labels=["result"],
        )
        lookups.add_metric(["hit"], cache.num_hits)
        lookups.add_metric(["miss"], cache.num_misses)
        lookups.add_metric(["coalesced"], cache.num_coalesced)
        yield lookups
        refused = CounterMetricFamily(
            "talkmill_refused",
            "Requests refused, by reason: requests, bytes, queue, client, deadline or drain.",
            labels=["reason"],
        )
        for reason, number in load.num_refused.items():
            refused.add_metric([reason], number)
        yield refused
        gauges = {
            "requests_in_progress": ("Requests accepted and not yet answered.", load.num_requests),
            "live_sessions": ("Live sessions that are open.", engine.num_sessions),
            "chunks_waiting": ("Chunks waiting for the model.", engine.num_waiting_chunks),
            "audio_seconds_waiting": ("Seconds of audio to be decoded.", load.audio_s),
            "predicted_wait_seconds": ("Predicted wait of a short request.", load.wait_s),
            "inflight_bytes": ("Bytes of uploads and features in flight.", load.num_bytes),
        }
        for name, (meaning, value) in gauges.items():
            yield GaugeMetricFamily(f"talkmill_{name}", meaning, value=value)
