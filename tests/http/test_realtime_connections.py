"""Who may open a realtime session, and how one ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from audio_files import decode_file
from fakes import DEMO_FOLDER, PATIENCE_S, FakeModel, small_config
from http_calls import Http
from realtime_line import ITEM, MANUAL, Line, address_of, at_24_khz
from talkmill.engine.types import Samples
from talkmill.server import BackgroundServer, ServerConfig
from talkmill.server.auth import new_token
from waiting import wait_until


@pytest.fixture(scope="module")
def sound() -> Samples:
    return decode_file(DEMO_FOLDER / "sample.flac")


@pytest.fixture
def guarded(http: Callable[..., Http]) -> tuple[Http, str]:
    token, entry = new_token("alice")
    return http(auth_tokens=(entry,)), token


@pytest.mark.parametrize("place", ["header", "sub-protocol", "query"])
def test_a_token_comes_in_a_header_a_sub_protocol_or_the_query(
    guarded: tuple[Http, str], place: str
) -> None:
    server, token = guarded
    query = f"intent=transcription&token={token}" if place == "query" else "intent=transcription"
    headers = {"authorization": f"Bearer {token}"} if place == "header" else None
    protocols = ["realtime", f"openai-insecure-api-key.{token}"] if "sub" in place else None
    address = address_of(server.served.background, query)
    with connect(
        address,
        proxy=None,
        additional_headers=headers,
        subprotocols=protocols,  # type: ignore[arg-type]
    ) as connection:
        assert Line(connection).next()["type"] == "session.created"
        assert connection.subprotocol == ("realtime" if protocols else None)


@pytest.mark.parametrize(
    ("query", "status"),
    [("intent=transcription", 401), ("intent=transcription&token=wrong", 401)],
)
def test_a_connection_without_a_token_is_refused(
    guarded: tuple[Http, str], query: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(address_of(guarded[0].served.background, query), proxy=None)
    assert refused.value.response.status_code == status
    assert b"token" in (refused.value.response.body or b"")


@pytest.mark.parametrize(
    ("query", "status"),
    [("intent=conversation", 422), ("other=1", 422), ("model=nobody", 404)],
)
def test_a_connection_that_cannot_be_honoured_is_refused(
    demo: BackgroundServer, query: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(address_of(demo, query), proxy=None)
    assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    ("origin", "allowed", "is_accepted"),
    [
        ("https://elsewhere.example", (), False),
        ("https://elsewhere.example", ("https://elsewhere.example",), True),
        ("https://elsewhere.example", ("*",), True),
        ("same", (), True),
    ],
)
def test_a_page_of_another_site_is_refused(
    http: Callable[..., Http], origin: str, allowed: tuple[str, ...], is_accepted: bool
) -> None:
    server = http(cors_origins=allowed).served.background
    given = server.http_address if origin == "same" else origin
    if is_accepted:
        with connect(address_of(server), proxy=None, origin=Origin(given)) as connection:
            assert Line(connection).next()["type"] == "session.created"
        return
    with pytest.raises(InvalidStatus) as refused:
        connect(address_of(server), proxy=None, origin=Origin(given))
    assert refused.value.response.status_code == 403


def test_a_session_that_nobody_feeds_ends_and_says_so(http: Callable[..., Http]) -> None:
    server = http(live_idle_s=0.05).served.background
    with connect(address_of(server), proxy=None) as connection:
        assert Line(connection).close_reason() == (1001, "no audio came for 0.05 s")


def test_a_message_over_the_limit_closes_the_connection(demo: BackgroundServer) -> None:
    with connect(address_of(demo), proxy=None) as connection:
        line = Line(connection)
        line.next()
        connection.send("x" * 2**21)
        code, _ = line.close_reason()
        assert code == 1009


def test_a_client_that_vanishes_leaves_nothing_behind(
    demo: BackgroundServer, sound: Samples
) -> None:
    engine = demo.server.engine
    with connect(address_of(demo), proxy=None) as connection:
        line = Line(connection)
        line.append(at_24_khz(sound[: 16_000 * 2]))
        line.until("input_audio_buffer.speech_started")
        connection.socket.close()
    wait_until(lambda: engine.num_requests == 0 and engine.num_sessions == 0)


def test_an_utterance_that_fails_is_told_and_the_session_goes_on(
    http: Callable[..., Http], model: FakeModel, sound: Samples
) -> None:
    server = http().served.background
    model.poisoned = frozenset(range(80))
    with connect(address_of(server), proxy=None) as connection:
        line = Line(connection)
        line.send("session.update", session=MANUAL)
        line.append(at_24_khz(sound[: 16_000 * 2]))
        line.send("input_audio_buffer.commit")
        assert line.until(ITEM + "failed")["error"]["message"]
        line.append(bytes(48_000))
        line.send("input_audio_buffer.commit")
        line.until(ITEM + "completed")


def test_a_drain_answers_what_was_said_and_then_closes(sound: Samples) -> None:
    settings = small_config(encoder_windows=(5,)).model_dump()
    config = ServerConfig.model_validate({**settings, "port": 0, "http_port": 0})
    with BackgroundServer(config) as server:
        with connect(address_of(server), proxy=None) as connection:
            line = Line(connection)
            line.append(at_24_khz(sound[: 16_000 * 2]))
            line.until("input_audio_buffer.speech_started")
            draining = threading.Thread(target=server.drain)
            draining.start()
            code, reason = line.close_reason()
        draining.join(PATIENCE_S)
    assert (code, reason) == (1001, "the engine is draining")
    assert line.events[-1]["type"] == ITEM + "completed"
