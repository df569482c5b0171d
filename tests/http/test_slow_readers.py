"""Clients that do not read their answer are cut off."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from http_calls import Http, Socket
from talkmill.server.http import protocol
from waiting import wait_until


def test_a_client_that_does_not_read_its_answer_is_cut_off(http: Callable[..., Http]) -> None:
    server = http(upload_timeout_s=0.2, idle_timeout_s=0.2)
    with Socket(server, buffer_bytes=4096) as caller:
        wait_until(lambda: not sent_more_requests(caller))
        wait_until(lambda: len(server.connections) == 0)


def test_a_client_that_asks_again_before_it_reads_is_cut_off_too(
    http: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_made = protocol.LimitedProtocol.connection_made

    def with_small_buffer(connection: protocol.LimitedProtocol, transport: Any) -> None:
        plain = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection_made(connection, transport)

    monkeypatch.setattr(protocol.LimitedProtocol, "connection_made", with_small_buffer)
    server = http(upload_timeout_s=0.2)  # and a long time between two requests
    with Socket(server, buffer_bytes=4096) as caller:
        caller.send("GET /openapi.json HTTP/1.1")
        wait_until(lambda: is_unread(server))
        caller.send("GET /live HTTP/1.1")

        wait_until(lambda: len(server.connections) == 0)


def is_unread(server: Http) -> bool:
    """Whether an answer is complete, and waits for its caller to read it."""
    return any(
        isinstance(each, protocol.LimitedProtocol)
        and each.flow.write_paused
        and each in each.limits.idle
        for each in server.connections
    )


def sent_more_requests(caller: Socket) -> bool:
    """Ask for more of the longest page without reading; return whether the server took it."""
    try:
        caller._socket.settimeout(0.1)
        caller.send("GET /openapi.json HTTP/1.1")
    except (TimeoutError, ConnectionError):
        return False
    return True
