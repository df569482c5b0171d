"""What is counted for Prometheus, of calls over gRPC and HTTP."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from fakes import tones_file, words
from http_calls import Http

TONE = tones_file(10)


def metrics(server: Http) -> dict[str, float]:
    """Return each sample by its name and the values of its labels."""
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_calls_are_counted_by_protocol_and_status(http: Callable[..., Http]) -> None:
    server = http()
    for _ in range(2):
        server.ask(TONE)
    server.upload(TONE)
    server.ask(TONE, {"num_beams": 99})
    server.ask(TONE, path="/models/other")
    server.served.unary(TONE).answer()
    server.served.stream(TONE).answer()
    server.served.unary(b"").refusal()

    counted = metrics(server)

    calls = {key: n for key, n in counted.items() if key.startswith("talkmill_requests_total")}
    assert calls == {
        "talkmill_requests_total http OK": 3,
        "talkmill_requests_total http INVALID_ARGUMENT": 1,
        "talkmill_requests_total http NOT_FOUND": 1,
        "talkmill_requests_total grpc OK": 2,
        "talkmill_requests_total grpc INVALID_ARGUMENT": 1,
    }
    assert counted["talkmill_request_seconds_count http"] == 5
    assert counted["talkmill_request_seconds_count grpc"] == 3
    assert counted["talkmill_audio_seconds_total"] == 5
    assert counted["talkmill_requests_in_progress"] == 0


def test_routes_that_only_read_are_not_counted(http: Callable[..., Http]) -> None:
    server = http()
    for path in ("/metrics", "/models", "/v1/models", "/health", "/live", "/nowhere"):
        server.get(path)

    assert not [key for key in metrics(server) if key.startswith("talkmill_requests_total")]


def test_chunks_and_their_batches_are_counted(http: Callable[..., Http]) -> None:
    server = http()
    before = metrics(server)
    server.ask(tones_file(10, 11, 12))

    after = metrics(server)

    assert after["talkmill_chunks_total"] - before["talkmill_chunks_total"] == 3
    assert 1 <= after["talkmill_batches_total"] - before["talkmill_batches_total"] <= 3


def test_failures_are_counted(http: Callable[..., Http]) -> None:
    server = http()
    server.model.poisoned = frozenset({11})
    server.ask(tones_file(11))
    server.upload(tones_file(11), stream="true")

    counted = metrics(server)

    assert counted["talkmill_requests_total http INTERNAL"] == 2
    assert counted["talkmill_failed_chunks_total"] == 2


def test_a_stream_that_breaks_is_counted_as_what_it_is(http: Callable[..., Http]) -> None:
    server = http()
    server.model.poisoned = frozenset({11})

    events = server.upload(tones_file(10, 11), stream="true")

    assert events.status_code == 200
    assert words(10) in events.text
    assert "error" in events.text.splitlines()[-2]
    assert "DONE" not in events.text
    counted = metrics(server)
    assert counted["talkmill_requests_total http INTERNAL"] == 1
    assert "talkmill_requests_total http OK" not in counted


def test_the_cache_is_counted(http: Callable[..., Http]) -> None:
    server = http(cache_bytes=2**20)
    server.ask(TONE)
    server.ask(TONE)
    server.served.unary(TONE).answer()
    server.ask(TONE, headers={"x-use-cache": "false"})
    server.ask(TONE, {"do_sample": True})

    counted = metrics(server)

    assert counted["talkmill_cache_requests_total miss"] == 1
    assert counted["talkmill_cache_requests_total hit"] == 2
    assert counted["talkmill_cache_requests_total coalesced"] == 0


def test_no_metric_holds_a_token_or_words(http: Callable[..., Http]) -> None:
    server = http()
    server.ask(TONE, headers={"authorization": "Bearer secret"})

    text = server.get("/metrics").text

    assert "secret" not in text
    assert "heard" not in text


def test_the_event_loop_is_watched(http: Callable[..., Http]) -> None:
    server = http()
    looks = (metrics(server)["talkmill_event_loop_lag_seconds_count"] for _ in range(10_000))
    assert any(looks)
