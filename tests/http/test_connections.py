"""Connections: how many, how long in silence, and clients that read slowly or close their side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import h11
import pytest

from fakes import tones_file, words
from http_calls import Http, Socket, form_of, json_of
from talkmill.server.http import protocol
from waiting import wait_until

TONE = tones_file(10)


def post(caller: Socket, path: str, body: bytes, headers: dict[str, str], version: str) -> None:
    kind = headers.get("content-type", "audio/flac")
    caller.send(
        f"POST {path} HTTP/{version}\r\ncontent-length: {len(body)}\r\ncontent-type: {kind}", body
    )


@pytest.fixture(params=["raw", "json", "form", "stream"])
def request_of(request: pytest.FixtureRequest) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of a request, through each way into the server."""
    form = "/v1/audio/transcriptions"
    return {
        "raw": ("/?vad=off", TONE, {}),
        "json": ("/", *json_of(TONE)),
        "form": (form, *form_of(TONE, vad="off")),
        "stream": (form, *form_of(TONE, vad="off", stream="true")),
    }[request.param]


def test_a_client_that_closes_its_side_gets_its_answer(
    http: Callable[..., Http], request_of: tuple[str, bytes, dict[str, str]]
) -> None:
    server = http()
    server.model.hold()
    with Socket(server) as caller:
        post(caller, *request_of, "1.1")
        caller.end()
        server.model.wait_for_calls(1)
        interim = caller.receive()  # it may still be there
        server.model.release()

        answer = caller.receive_all()

    assert interim.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert b"HTTP/1.1 200 OK" in answer
    assert words(10).encode() in answer


def test_a_standard_client_reads_over_interim_answers(http: Callable[..., Http]) -> None:
    server = http()
    server.model.hold()
    with Socket(server) as caller:
        post(caller, "/?vad=off", TONE, {}, "1.1")
        caller.end()
        server.model.wait_for_calls(1)
        server.model.release()

        assert caller.read() == (200, {"text": words(10)})


def test_a_client_that_closes_its_side_in_its_upload_is_gone(http: Callable[..., Http]) -> None:
    server = http()
    with Socket(server) as caller:
        caller.send("POST / HTTP/1.1\r\ncontent-length: 1000", TONE[:100])
        caller.end()

        assert caller.receive_all() == b""
    wait_until(lambda: server.served.background.server.engine.num_requests == 0)


@pytest.mark.parametrize(
    "head",
    [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
    ],
)
def test_a_request_that_may_be_taken_for_two_is_refused(server: Http, head: str) -> None:
    with Socket(server) as caller:
        caller.send(f"POST /live HTTP/1.1\r\n{head}", b"0\r\n\r\nGET /live HTTP/1.1\r\n\r\n")

        status, answer = caller.read()

        assert (status, "content-length and transfer-encoding" in answer["error"]) == (400, True)
        assert caller.receive_all() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 2**17 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"y" * 2**17 + b" HTTP/1.1\r\nhost: a\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", b"501"),
    ],
)
def test_a_malformed_head_is_refused_in_a_few_words(
    server: Http, sent: bytes, status: bytes
) -> None:
    with Socket(server) as caller:
        caller.send_raw(sent)

        answer = caller.receive_all()

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert len(answer) < 600
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_malformed_body_ends_the_request_that_reads_it(http: Callable[..., Http]) -> None:
    server = http(max_requests=1)
    with Socket(server) as caller:
        caller.send("POST / HTTP/1.1\r\ntransfer-encoding: chunked", b"zzz\r\n")

        assert caller.receive_all().startswith(b"HTTP/1.1 400")
    assert server.ask(TONE).json() == {"text": words(10)}


@pytest.mark.parametrize("sent", [b"", b"GET /live HT", b"GET /live HTTP/1.1\r\nhost: a\r\n"])
def test_a_connection_without_a_whole_request_is_closed(
    http: Callable[..., Http], sent: bytes
) -> None:
    server = http(idle_timeout_s=0.1)
    with Socket(server) as caller:
        caller.send_raw(sent)

        assert caller.receive_all() == b""
    wait_until(lambda: len(server.connections) == 0)


@pytest.mark.parametrize("sent", [b"", b"GET /live HTTP/1.1\r\n"])
def test_a_connection_is_closed_if_no_request_follows(
    http: Callable[..., Http], sent: bytes
) -> None:
    server = http(idle_timeout_s=0.1)
    with Socket(server) as caller:
        caller.send("GET /live HTTP/1.1")
        assert caller.read() == (200, {"status": "live"})
        caller.send_raw(sent)

        assert caller.receive_all() == b""


def test_a_request_takes_as_long_as_it_needs(http: Callable[..., Http]) -> None:
    server = http(idle_timeout_s=0.05, upload_timeout_s=0.05)
    server.model.hold()
    with Socket(server) as caller, Socket(server) as silent:
        post(caller, "/?vad=off", TONE, {}, "1.1")
        server.model.wait_for_calls(1)
        assert silent.receive_all() == b""  # longer than both limits
        server.model.release()

        assert caller.read() == (200, {"text": words(10)})


@pytest.fixture
def callers() -> Iterator[list[Socket]]:
    callers: list[Socket] = []
    yield callers
    for caller in callers:
        caller.close()


def test_over_the_limit_a_connection_is_refused_and_others_stay(
    http: Callable[..., Http], callers: list[Socket]
) -> None:
    server = http(max_connections=2)
    server.model.hold()
    for _ in range(2):
        callers.append(Socket(server))
        post(callers[-1], "/?vad=off", TONE, {}, "1.1")
    wait_until(lambda: server.served.background.server.engine.num_requests == 2)

    with Socket(server) as third:
        third.send("GET /live HTTP/1.1")
        assert third.read() == (503, {"error": "over the limit of 2 connections"})
        assert third.receive_all() == b""
    server.model.release()

    assert [caller.read()[0] for caller in callers] == [200, 200]
    callers.pop().close()
    wait_until(lambda: len(server.connections) == 1)
    assert server.get("/live").status_code == 200


def test_far_over_the_limit_a_connection_is_closed_at_once(
    http: Callable[..., Http], callers: list[Socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_NUM_SPARE", 1)
    server = http(max_connections=1)

    callers.extend(Socket(server) for _ in range(5))

    answers = [caller.receive_all() for caller in callers[1:]]
    assert sorted(answer[:12] for answer in answers) == [b"", b"", b"", b"HTTP/1.1 503"]


def test_at_the_limit_a_silent_connection_makes_room(
    http: Callable[..., Http], callers: list[Socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_MIN_IDLE_S", 0.0)
    server = http(max_connections=2)
    callers.extend(Socket(server) for _ in range(2))
    wait_until(lambda: len(server.connections) == 2)

    assert server.get("/live").status_code == 200
    assert callers[0].receive_all() == b""  # idle for longest


def test_chunks_of_one_byte_do_not_hold_the_loop(
    server: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    events: list[h11.Event] = []
    handle_events, next_event = protocol.LimitedProtocol.handle_events, h11.Connection.next_event

    def handle(connection: protocol.LimitedProtocol) -> None:
        before = len(events)
        handle_events(connection)
        turns.append(len(events) - before)

    def count(connection: h11.Connection) -> object:
        event = next_event(connection)
        events.append(event)  # type: ignore[arg-type]
        return event

    monkeypatch.setattr(protocol.LimitedProtocol, "handle_events", handle)
    monkeypatch.setattr(h11.Connection, "next_event", count)
    chunks = b"".join(b"1\r\n%b\r\n" % TONE[i : i + 1] for i in range(len(TONE))) + b"0\r\n\r\n"

    with Socket(server) as caller:
        caller.send("POST /?vad=off HTTP/1.1\r\ntransfer-encoding: chunked", chunks)
        assert caller.read() == (200, {"text": words(10)})

    assert len(events) > len(TONE)
    assert max(turns) <= protocol._EVENTS_PER_TURN


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_needs_no_brackets(http: Callable[..., Http], host: str) -> None:
    server = http(host=host)

    assert server.url.startswith("http://[::1]:")
    assert server.get("/live").status_code == 200
    assert server.served.unary(TONE).answer().text == words(10)
