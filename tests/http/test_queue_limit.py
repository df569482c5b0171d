"""A server whose queue is full, in seconds: what is refused, and what the caller is told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import grpc
import pytest

from fakes import tones_file, words
from http_calls import Http, Socket
from served import Call
from talkmill.engine import Engine
from talkmill.server import BackgroundServer
from waiting import wait_until

TONE = tones_file(10)


def make_slow(background: BackgroundServer) -> None:
    """Have the engine take its model for one that decodes 10 s of audio a second."""
    background.server.engine._admission.start(10.0, turn_s=60.0, num_workers=1)


def has_prepared(server: Http, engine: Engine, count: int) -> bool:
    """Return whether so many chunks have come to the queue, those with the model included."""
    return engine.num_waiting_chunks + len(server.model.bands) >= count


@pytest.fixture
def full(http: Callable[..., Http]) -> Iterator[Http]:
    """A server with more than 10 s in its queue, which are answered at the end."""
    server = http(max_queue_s=10.0)
    make_slow(server.served.background)
    engine = server.served.background.server.engine
    server.model.forget()
    server.model.hold()
    calls: list[Call] = []
    while engine.load.wait_s <= 10:
        calls.append(server.served.unary(TONE))
        wait_until(functools.partial(has_prepared, server, engine, len(calls)))
    yield server
    server.model.release()
    assert {call.answer().text for call in calls} == {words(10)}


def test_call_over_http_is_told_the_wait_and_when_to_come_back(full: Http) -> None:
    for answer in (full.ask(TONE), full.upload(TONE)):
        assert answer.status_code == 429
        assert "over the limit of 10 s" in answer.text
        assert 1 <= int(answer.headers["retry-after"]) <= 30


def test_call_over_grpc_is_told_the_wait(full: Http) -> None:
    call = full.served.unary(TONE)
    assert call.refusal() == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    assert "the wait would be about" in call.details()


def test_call_is_refused_before_its_upload(full: Http) -> None:
    with Socket(full) as caller:
        caller.send("POST / HTTP/1.1\r\ncontent-type: audio/flac\r\ncontent-length: 1000")
        status, _ = caller.read()
    assert status == 429


def test_metrics_tell_what_waits_and_what_was_refused(full: Http) -> None:
    full.ask(TONE)
    lines = dict(
        line.rsplit(" ", 1) for line in full.get("/metrics").text.splitlines() if line[0] != "#"
    )
    assert float(lines["talkmill_predicted_wait_seconds"]) > 10
    assert float(lines["talkmill_audio_seconds_waiting"]) > 50
    assert float(lines["talkmill_inflight_bytes"]) > 0
    assert float(lines['talkmill_refused_total{reason="queue"}']) == 1
