"""Clients of OpenAI's realtime API that do not read, do not speak or leave; and drains."""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from fakes import PATIENCE_S
from http_calls import Http
from realtime_line import Line, address_of
from waiting import wait_until

PING = b"\x89\xfd" + bytes(4) + bytes(125)  # masked with zeros


def open_by_hand(server: Http) -> socket.socket:
    """Return a connection on which the server speaks WebSocket, and nobody reads."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        (
            f"GET /v1/realtime HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\n"
            f"upgrade: websocket\r\nsec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
        ).encode()
    )
    assert connection.recv(4096).startswith(b"HTTP/1.1 101")
    return connection


def send_for_ever(connection: socket.socket, data: bytes) -> None:
    while True:
        connection.sendall(data)


def statuses(server: Http) -> dict[str, float]:
    """Return how many calls over HTTP have ended, by status."""
    return {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(server.get("/metrics").text)
        for sample in family.samples
        if sample.name == "talkmill_requests_total" and sample.labels["door"] == "http"
    }


def test_a_client_that_pings_and_does_not_read_is_sent_away(http: Callable[..., Http]) -> None:
    server = http(upload_timeout_s=0.3, live_idle_s=0.3)
    with open_by_hand(server) as connection, pytest.raises(OSError, match=r"reset|pipe|abort"):
        send_for_ever(connection, 100 * PING)
    engine = server.served.background.server.engine
    wait_until(lambda: engine.num_requests == 0)


def test_a_client_that_does_not_read_the_end_is_sent_away(http: Callable[..., Http]) -> None:
    server = http(upload_timeout_s=0.3, live_idle_s=0.1)
    with open_by_hand(server):
        wait_until(lambda: not [one for one in server.connections if hasattr(one, "pause_s")])


def test_a_drain_ends_a_connection_that_has_sent_no_audio(http: Callable[..., Http]) -> None:
    background = http().served.background
    with connect(address_of(background), proxy=None) as connection:
        line = Line(connection)
        line.next()
        draining = threading.Thread(target=background.drain)
        draining.start()
        assert line.close_reason() == (1001, "the engine is draining")
    draining.join(PATIENCE_S)
    assert not draining.is_alive()


def test_a_client_that_closes_is_counted_as_answered(http: Callable[..., Http]) -> None:
    server = http()
    with connect(address_of(server.served.background), proxy=None) as connection:
        Line(connection).next()
    wait_until(lambda: statuses(server).get("OK", 0) >= 1)
    assert "INTERNAL" not in statuses(server)


def test_a_client_that_vanishes_is_counted_as_cancelled(http: Callable[..., Http]) -> None:
    server = http()
    open_by_hand(server).close()
    wait_until(lambda: statuses(server).get("CANCELLED", 0) == 1)


def test_a_refused_handshake_is_no_error_of_ours(
    http: Callable[..., Http], caplog: pytest.LogCaptureFixture
) -> None:
    server = http()
    for origin in ("http://[x", "https://elsewhere.example"):
        response = server.get(
            "/v1/realtime",
            headers={
                "origin": origin,
                "connection": "upgrade",
                "upgrade": "websocket",
                "sec-websocket-version": "13",
                "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
            },
        )
        assert response.status_code == 403
    wait_until(lambda: statuses(server).get("PERMISSION_DENIED", 0) == 2)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
