"""Access by tokens, the same over HTTP and gRPC."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fakes import PATIENCE_S, loaded, tones_file, words
from http_calls import Http
from talkmill.engine import ConfigError, TranscribeOptions, VadMode
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import BackgroundServer, Client, ServerConfig
from talkmill.server.auth import Access, new_token

TONE = tones_file(10)
ALICE, ALICES_ENTRY = new_token("alice")
BOB, BOBS_ENTRY = new_token("bob")
STRANGER, _ = new_token("stranger")

WRONG: list[Any] = [
    pytest.param(None, id="none"),
    pytest.param("", id="empty"),
    pytest.param(f"Bearer {STRANGER}", id="unknown"),
    pytest.param("Bearer ", id="no token"),
    pytest.param("Bearer", id="scheme alone"),
    pytest.param(ALICE, id="no scheme"),
    pytest.param(f"Basic {ALICE}", id="basic"),
    pytest.param(f"Bearer {ALICE[:-1]}", id="cut short"),
    pytest.param(f"Bearer {ALICE} {ALICE}", id="twice"),
    pytest.param(f"Bearer {ALICES_ENTRY.partition(':')[2]}", id="its digest"),
    pytest.param("Bearer alice", id="its name"),
]
RIGHT = [f"Bearer {ALICE}", f"bearer {BOB}", f"BEARER  {BOB}"]


@pytest.fixture
def guarded(http: Callable[..., Http], tmp_path: Path) -> Http:
    """A server that knows alice from a file, and bob from its settings."""
    file = tmp_path / "tokens.txt"
    file.write_text(f"# who may call\n\n  # and who else\n {ALICES_ENTRY} \n", encoding="utf-8")
    return http(auth_tokens_file=file, auth_tokens=(BOBS_ENTRY,))


def over_grpc(server: Http, authorization: str | None) -> str:
    """Return the words, or the name of the status."""
    options = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)
    request = pb.TranscribeRequest(audio=TONE, options=options)
    metadata = [] if authorization is None else [("authorization", authorization)]
    try:
        answer = server.served.stub.Transcribe(request, timeout=PATIENCE_S, metadata=metadata)
    except grpc.RpcError as error:
        return str(error.code().name)
    return str(answer.text)


@pytest.mark.parametrize("authorization", WRONG)
def test_a_missing_or_unknown_token_is_refused(guarded: Http, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    response = guarded.ask(TONE, headers=headers)

    assert response.status_code == 401
    assert response.json().keys() == {"error"}
    assert response.headers["www-authenticate"] == "Bearer"
    assert ALICE not in response.text
    assert over_grpc(guarded, authorization) == "UNAUTHENTICATED"
    assert guarded.model.encoded == []


@pytest.mark.parametrize("authorization", RIGHT, ids=["alice", "bob", "spaces"])
def test_a_known_token_is_accepted(guarded: Http, authorization: str) -> None:
    response = guarded.ask(TONE, headers={"authorization": authorization})

    assert response.json() == {"text": words(10)}
    assert over_grpc(guarded, authorization) == words(10)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/fake"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/audio/translations"),
        ("GET", "/v1/models"),
        ("GET", "/models"),
        ("GET", "/metrics"),
    ],
)
def test_every_route_but_the_public_ones_needs_a_token(
    guarded: Http, method: str, path: str
) -> None:
    response = requests.request(method, guarded.url + path)

    assert response.status_code == 401
    if path.startswith("/v1"):
        assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/live", "/health", "/openapi.json", "/docs"])
def test_public_routes_need_no_token(guarded: Http, path: str) -> None:
    assert guarded.get(path).status_code == 200


def reflected(server: Http, authorization: str | None) -> str:
    """Return what reflection answers: the name of a field, or of a status."""
    stub = reflection_pb2_grpc.ServerReflectionStub(server.served.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    metadata = [] if authorization is None else [("authorization", authorization)]
    try:
        (response,) = stub.ServerReflectionInfo(
            iter([request]), timeout=PATIENCE_S, metadata=metadata
        )
    except grpc.RpcError as error:
        return str(error.code().name)
    return str(response.WhichOneof("message_response"))


def test_reflection_needs_a_token_and_grpcs_health_does_not(guarded: Http) -> None:
    assert reflected(guarded, None) == "UNAUTHENTICATED"
    assert reflected(guarded, f"Bearer {STRANGER}") == "UNAUTHENTICATED"
    assert reflected(guarded, f"Bearer {ALICE}") == "list_services_response"
    assert guarded.served.health() == health_pb2.HealthCheckResponse.SERVING


def test_metrics_and_reflection_can_be_opened(http: Callable[..., Http]) -> None:
    server = http(auth_tokens=(ALICES_ENTRY,), open_metrics=True, open_reflection=True)

    assert server.get("/metrics").status_code == 200
    assert reflected(server, None) == "list_services_response"
    assert server.get("/models").status_code == 401


def test_without_configured_tokens_every_call_is_accepted(server: Http) -> None:
    assert server.ask(TONE).status_code == 200
    assert server.ask(TONE, headers={"authorization": "Bearer any"}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "[::]", "example.org"])
def test_without_tokens_a_server_on_a_public_address_does_not_start(
    server_config: Callable[..., ServerConfig], host: str
) -> None:
    background = BackgroundServer(server_config(host=host, http_port=0), model=loaded())

    with pytest.raises(ConfigError, match="auth_tokens"), background:
        pass


@pytest.mark.parametrize(
    "settings",
    [{"allow_anonymous": True}, {"auth_tokens": (BOBS_ENTRY,)}],
    ids=["permission", "tokens"],
)
def test_with_tokens_or_allow_anonymous_a_server_on_a_public_address_starts(
    server_config: Callable[..., ServerConfig], settings: dict[str, Any]
) -> None:
    config = server_config(host="0.0.0.0", http_port=0, **settings)

    with BackgroundServer(config, model=loaded()) as background:
        port = background.server.http_port
        status = requests.post(f"http://127.0.0.1:{port}/", data=b"").status_code
    assert status == (400 if "allow_anonymous" in settings else 401)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_tokens(server_config: Callable[..., ServerConfig], host: str) -> None:
    Access(server_config(host=host)).check(None)


@pytest.mark.parametrize("content", ["", "\n# nobody\n"], ids=["empty", "comment"])
def test_a_token_file_without_tokens_is_refused(
    server_config: Callable[..., ServerConfig], tmp_path: Path, content: str
) -> None:
    file = tmp_path / "tokens.txt"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError, match="auth_tokens_file"):
        Access(server_config(auth_tokens_file=file))


@pytest.mark.parametrize(
    "content",
    [ALICE, f"alice:{ALICE}", ALICES_ENTRY.upper(), ALICES_ENTRY[:-1], f"a b:{'0' * 64}"],
    ids=["token", "token named", "upper case", "cut short", "space"],
)
def test_a_malformed_entry_is_refused_and_not_shown(
    server_config: Callable[..., ServerConfig], tmp_path: Path, content: str
) -> None:
    file = tmp_path / "tokens.txt"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError, match="NAME:SHA256") as caught:
        Access(server_config(auth_tokens_file=file))

    assert ALICE not in str(caught.value)


def test_a_name_that_stands_for_two_tokens_is_refused(
    server_config: Callable[..., ServerConfig],
) -> None:
    _, other = new_token("alice")

    with pytest.raises(ConfigError, match="alice"):
        Access(server_config(auth_tokens=(ALICES_ENTRY, other)))


def test_a_token_file_that_cannot_be_read_is_named(
    server_config: Callable[..., ServerConfig], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="auth_tokens_file"):
        Access(server_config(auth_tokens_file=tmp_path / "none"))
    with pytest.raises(ConfigError, match="auth_tokens_file"):
        Access(server_config(auth_tokens_file=tmp_path))


def test_a_token_name_that_is_not_one_word_is_refused() -> None:
    for name in ("", "a b", "a:b", "a\n"):
        with pytest.raises(ValueError, match="not a valid name"):
            new_token(name)


@pytest.mark.parametrize("on_segment", [None, print], ids=["one message", "stream"])
def test_our_own_client_carries_a_token(guarded: Http, on_segment: Any) -> None:
    options = TranscribeOptions(vad=VadMode.OFF)
    with Client(guarded.served.address, ALICE) as client:
        answer = client.transcribe(io.BytesIO(TONE), options, on_segment=on_segment)
    assert answer.text == words(10)
    with Client(guarded.served.address) as client, pytest.raises(grpc.RpcError) as refused:
        client.transcribe(io.BytesIO(TONE), options, on_segment=on_segment)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
