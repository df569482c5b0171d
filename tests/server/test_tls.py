"""TLS and mutual TLS over gRPC and HTTP, with real certificates made here."""

from __future__ import annotations

import io
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import requests
import trustme

from command_line import SAMPLE, run
from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from talkmill.engine import TranscribeOptions, VadMode
from talkmill.server import BackgroundServer, Client, ServerConfig
from tls_files import NOT_PEM, Files, server_files
from waiting import wait_until

TONE = tones_file(10)
OPTIONS = TranscribeOptions(vad=VadMode.OFF)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A server's certificate and key."""
    return server_files(tmp_path)


@dataclass(frozen=True)
class Secure:
    """A server that speaks TLS, and how to call it."""

    background: BackgroundServer
    files: Files

    def over_grpc(self, client: tuple[Path, Path] | None = None) -> str:
        """Return the words, or the name of the status."""
        cert, key = (None, None) if client is None else (path.read_bytes() for path in client)
        trusted = self.files.root.read_bytes()
        credentials = grpc.ssl_channel_credentials(trusted, key, cert)
        with Client(self.background.address, credentials=credentials) as caller:
            try:
                return caller.transcribe(io.BytesIO(TONE), OPTIONS, timeout_s=PATIENCE_S).text
            except grpc.RpcError as error:
                return str(error.code().name)

    def over_http(self, client: tuple[Path, Path] | None = None) -> str:
        """Return the words, or "no connection"."""
        files = None if client is None else (str(client[0]), str(client[1]))
        try:
            answer = requests.post(
                self.background.http_address + "/?vad=off",
                data=TONE,
                verify=str(self.files.root),
                cert=files,
                timeout=PATIENCE_S,
            )
        except requests.ConnectionError:
            return "no connection"
        return str(answer.json()["text"])


@pytest.fixture
def secure(
    model: FakeModel, files: Files, server_config: Callable[..., ServerConfig]
) -> Iterator[Callable[..., Secure]]:
    """Starts servers with TLS and the settings given."""
    with ExitStack() as stack:

        def start(**settings: object) -> Secure:
            config = server_config(http_port=0, **files.settings, **settings)
            background = BackgroundServer(config, model=loaded(model))
            return Secure(stack.enter_context(background), files)

        yield start


def test_both_doors_speak_tls(secure: Callable[..., Secure]) -> None:
    server = secure()

    assert server.over_grpc() == words(10)
    assert server.over_http() == words(10)


def test_neither_door_answers_without_tls(secure: Callable[..., Secure]) -> None:
    server = secure()

    with Client(server.background.address) as client, pytest.raises(grpc.RpcError) as refused:
        client.transcribe(io.BytesIO(TONE), OPTIONS, timeout_s=PATIENCE_S)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(requests.ConnectionError):
        requests.get(server.background.http_address.replace("https", "http"), timeout=PATIENCE_S)


def test_a_client_that_trusts_another_root_does_not_connect(secure: Callable[..., Secure]) -> None:
    server = secure()
    trustme.CA().cert_pem.write_to_path(server.files.root)

    assert server.over_grpc() == "UNAVAILABLE"
    assert server.over_http() == "no connection"


def test_with_a_client_ca_only_its_clients_are_connected(
    secure: Callable[..., Secure], files: Files
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(files.client_ca)
    known = files.write_client(authority, "known")
    unknown = files.write_client(trustme.CA(), "unknown")
    server = secure(tls_client_ca=files.client_ca)

    assert (server.over_grpc(known), server.over_http(known)) == (words(10), words(10))
    for stranger in (unknown, None):
        assert server.over_grpc(stranger) == "UNAVAILABLE"
        assert server.over_http(stranger) == "no connection"


def test_new_certificates_are_taken_up_without_a_restart(
    secure: Callable[..., Secure], files: Files
) -> None:
    server = secure()
    files.write_server(trustme.CA())  # from here on clients trust its root only

    wait_until(lambda: server.over_http() == words(10))  # its change is noticed
    assert server.over_grpc() == words(10)


def test_a_client_ca_that_was_replaced_is_trusted_no_longer(
    secure: Callable[..., Secure], files: Files
) -> None:
    before, after = trustme.CA(), trustme.CA()
    before.cert_pem.write_to_path(files.client_ca)
    old, new = files.write_client(before, "old"), files.write_client(after, "new")
    server = secure(tls_client_ca=files.client_ca)
    assert (server.over_grpc(old), server.over_http(old)) == (words(10), words(10))

    after.cert_pem.write_to_path(files.client_ca)
    server.background.server.reload()

    assert (server.over_grpc(new), server.over_http(new)) == (words(10), words(10))
    assert (server.over_grpc(old), server.over_http(old)) == ("UNAVAILABLE", "no connection")


def test_a_session_does_not_outlive_the_client_ca(
    secure: Callable[..., Secure], files: Files
) -> None:
    before = trustme.CA()
    before.cert_pem.write_to_path(files.client_ca)
    cert, key = files.write_client(before, "old")
    server = secure(tls_client_ca=files.client_ca)
    context = ssl.create_default_context(cafile=str(files.root))
    context.load_cert_chain(cert, key)

    def ask(earlier: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        address = ("127.0.0.1", server.background.server.http_port)
        with (
            socket.create_connection(address, PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=earlier) as secured,
        ):
            secured.sendall(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n")
            return secured.recv(12), secured.session

    answer, session = ask(None)
    assert answer == b"HTTP/1.1 200"
    trustme.CA().cert_pem.write_to_path(files.client_ca)
    server.background.server.reload()

    with suppress(ssl.SSLError, ConnectionError):
        assert ask(session)[0] == b""


@pytest.mark.parametrize("broken", ["cert", "key", "client_ca"])
def test_a_broken_file_keeps_what_holds_and_says_why(
    secure: Callable[..., Secure],
    files: Files,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(files.client_ca)
    known = files.write_client(authority, "known")
    server = secure(tls_client_ca=files.client_ca)
    getattr(files, broken).write_bytes(NOT_PEM)

    with caplog.at_level(logging.ERROR, "talkmill"):
        server.background.server.reload()

    assert (server.over_grpc(known), server.over_http(known)) == (words(10), words(10))
    assert f"stay as they are: tls_{broken}: " in caplog.text
    assert str(files.folder) not in caplog.text


def test_the_command_line_speaks_tls(secure: Callable[..., Secure], files: Files) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(files.client_ca)
    cert, key = files.write_client(authority, "known")
    server = secure(tls_client_ca=files.client_ca)
    command = ("transcribe", SAMPLE, "--server", server.background.address, "--vad", "off")
    client = ("--tls-cert", cert, "--tls-key", key)

    with_both = run(*command, "--tls-ca", files.root, *client)
    assert (with_both.exit_code, "heard" in with_both.stdout) == (0, True)
    for options in ((), ("--tls-ca", files.root), ("--tls-ca", files.client_ca, *client)):
        assert "UNAVAILABLE" in run(*command, *options).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tls-ca", SAMPLE), "--server"),
        (("--server", "127.0.0.1:1", "--tls-cert", SAMPLE), "--tls-key"),
        (("--server", "127.0.0.1:1", "--tls-key", SAMPLE), "--tls-cert"),
    ],
)
def test_the_command_line_refuses_tls_options_without_effect(
    options: tuple[object, ...], message: str
) -> None:
    result = run("transcribe", SAMPLE, *options)

    assert result.exit_code == 2
    assert message in result.stderr
