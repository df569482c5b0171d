"""What a server writes and answers about what is nobody else's business, at the most talkative.

Tokens, words and paths are planted in a server in a process of its own; whatever can go well or
wrong with a call then does, over every door; its whole output and every error is searched.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import trustme

from fakes import DEMO_FOLDER, PATIENCE_S
from http_calls import inputs_of
from served import UNKNOWN_FIELD, stream_messages, wire_options
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server.auth import new_token
from talkmill.server.spool import SPOOL_BYTES
from waiting import wait_until

MARK = "planted"
"""In every name and text that the server must keep to itself."""

TOKEN, ENTRY = new_token("alice")
WRONG_TOKEN = f"{MARK}-token"
FAILING_TOKENS = 3
"""A request for so many tokens makes the model fail."""

SAMPLE = (DEMO_FOLDER / "sample.flac").read_bytes()
WORDS = (DEMO_FOLDER / "sample.txt").read_text(encoding="utf-8").split()

# The real command, but for a model that fails on request.
LAUNCHER = f"""
from talkmill.engine.model.whisper_ct2 import CTranslate2Model
from talkmill.server.cli import main

generate = CTranslate2Model.generate

def generate_or_fail(self, encoded, prompts, plan):
    if plan.max_new_tokens == {FAILING_TOKENS}:
        raise RuntimeError("the device is on fire")
    return generate(self, encoded, prompts, plan)

CTranslate2Model.generate = generate_or_fail
main()
"""


@dataclass
class Watched:
    """A server, and all that it has answered so far to calls that failed."""

    folder: Path
    log: Path
    port: int
    http_port: int
    errors: list[str] = field(default_factory=list)

    def post(self, path: str, status: int, token: str | None = TOKEN, **arguments: Any) -> None:
        """Call over HTTP; the answer must have this status."""
        headers = {**arguments.pop("headers", {}), "x-request-id": f"{MARK}-id"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = requests.post(
            f"https://localhost:{self.http_port}{path}",
            headers=headers,
            verify=str(self.folder / "root.pem"),
            timeout=PATIENCE_S,
            **arguments,
        )
        assert answer.status_code == status, answer.text
        if status != 200:
            self.errors.append(answer.text)

    def call(self, code: grpc.StatusCode, audio: bytes, token: str = TOKEN, **options: Any) -> None:
        """Call both RPCs; each must end with this status."""
        model = options.pop("model", "")
        metadata = [("authorization", f"Bearer {token}")]
        credentials = grpc.ssl_channel_credentials((self.folder / "root.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{self.port}", credentials) as channel:
            stub = pb_grpc.TranscriptionStub(channel)
            wire = wire_options(**options)
            request = pb.TranscribeRequest(audio=audio, model=model, options=wire)
            messages = stream_messages(audio, model, wire)
            timing: Any = {"metadata": metadata, "timeout": PATIENCE_S}
            stream = stub.TranscribeStream(messages, **timing)
            with suppress(grpc.RpcError):
                list(stream)
            for call in (stub.Transcribe.future(request, **timing), stream):
                assert call.code() is code, call.details()
                if code is not grpc.StatusCode.OK:
                    self.errors.append(f"{call.details()} {call.trailing_metadata()}")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp(MARK)
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    shutil.copytree(DEMO_FOLDER, folder / "model")
    (folder / "tokens.txt").write_text(ENTRY, encoding="utf-8")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "root.pem")
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(folder / "key.pem")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    settings = {
        "port": 0,
        "http-port": 0,
        "host": "localhost",
        "log-level": "debug",
        "model": folder / "model",
        "auth-tokens-file": folder / "tokens.txt",
        "tls-cert": folder / "cert.pem",
        "tls-key": folder / "key.pem",
        "max-audio-s": 60,
        "max-requests-per-minute": 100,
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    outside = {name: value for name, value in os.environ.items() if "TALKMILL_" not in name}
    places = {"HOME": folder / "home", "TMPDIR": folder / "temporary"}
    environment = {**outside, **{name: str(place) for name, place in places.items()}}
    environment["XDG_CACHE_HOME"] = str(folder / "home")
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-u", "-c", LAUNCHER, "serve", *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process,
    ):
        try:
            wait_until(lambda: "talkmill serves" in log.read_text() or process.poll() is not None)
            ports = re.search(r"localhost:(\d+) and https://localhost:(\d+)", log.read_text())
            assert ports, log.read_text()
            server = Watched(folder, log, int(ports[1]), int(ports[2]))
            call_every_way(server)
            process.terminate()
            process.wait(PATIENCE_S)
            yield server
        finally:
            process.kill()


def call_every_way(server: Watched) -> None:
    """Let every kind of call succeed and fail, and a file change for the worse."""
    code = grpc.StatusCode
    named = {"file": (f"{MARK}.flac", SAMPLE)}
    spooled = b"not audio" * (SPOOL_BYTES // 8)
    server.post("/", 200, data=SAMPLE)
    server.post("/", 400, data=spooled)
    server.post("/", 401, data=SAMPLE, token=None)
    server.post("/", 401, data=SAMPLE, token=WRONG_TOKEN)
    server.post(f"/?language={MARK}", 422, data=SAMPLE)
    server.post(f"/?{MARK}={MARK}", 422, data=SAMPLE)
    server.post(f"/models/{MARK}", 404, data=SAMPLE)
    server.post(f"/{MARK}", 404, data=SAMPLE)
    json = {"inputs": inputs_of(SAMPLE), "parameters": {"prompt": MARK, "hotwords": [MARK]}}
    server.post("/", 200, json=json)
    server.post("/", 400, json={"inputs": MARK})
    server.post("/", 400, data=f"{{{MARK}", headers={"content-type": "application/json"})
    failing = {"max_new_tokens": FAILING_TOKENS}
    server.post("/", 500, json={"inputs": inputs_of(SAMPLE), "parameters": failing})
    path = "/v1/audio/transcriptions"
    server.post(path, 200, files=named, data={"prompt": MARK, "response_format": "srt"})
    server.post(path, 200, files=named, data={"stream": "true"})
    server.post(path, 400, files={"file": (f"{MARK}.flac", spooled)})
    server.post(path, 404, files=named, data={"model": MARK})
    server.post(path, 422, files=named, data={MARK: MARK})
    server.post(path, 400, data=MARK, headers={"content-type": "multipart/form-data; boundary=a"})
    server.post(path, 500, files=named, data=failing)
    server.call(code.OK, SAMPLE, prompt=MARK, vad=pb.VAD_MODE_ON)
    server.call(code.INVALID_ARGUMENT, b"not audio")
    server.call(code.INVALID_ARGUMENT, SAMPLE, language=MARK)
    server.call(code.NOT_FOUND, SAMPLE, model=MARK)
    server.call(code.UNAUTHENTICATED, SAMPLE, token=WRONG_TOKEN)
    parameters = pb.GenerationParameters(max_new_tokens=FAILING_TOKENS)
    server.call(code.INTERNAL, SAMPLE, generation_parameters=parameters)
    unknown = pb.GenerationParameters.FromString(UNKNOWN_FIELD)
    server.call(code.UNIMPLEMENTED, SAMPLE, generation_parameters=unknown)
    for port in (server.port, server.http_port):  # what is no handshake
        with socket.create_connection(("localhost", port), PATIENCE_S) as plain:
            plain.sendall(f"GET /{MARK} HTTP/1.1\r\n\r\n".encode())
            assert plain.recv(1000) == b""
    for name in ("tokens.txt", "key.pem"):
        (server.folder / name).write_text(MARK, encoding="utf-8")
    wait_until(lambda: server.log.read_text().count("stay as they are") == 2)


def test_the_log_holds_what_operators_need(watched: Watched) -> None:
    log = watched.log.read_text()

    assert " DEBUG " in log
    assert "the token is unknown" in log
    assert "the device is on fire" in log
    assert "tls_key: " in log


def test_the_log_holds_no_token_no_text_and_no_path(watched: Watched) -> None:
    log = watched.log.read_text().lower()

    assert MARK not in log
    assert "handshake" not in log
    assert TOKEN.lower() not in log
    assert ENTRY.partition(":")[2] not in log
    pairs = {" ".join(pair) for pair in itertools.pairwise(WORDS)}
    assert [pair for pair in pairs if pair in log] == []


def test_no_error_names_a_path_of_the_server(watched: Watched) -> None:
    package = str(Path(sys.modules["talkmill.server"].__file__ or "").parent)
    for error in watched.errors:
        for path in (str(watched.folder), package, sys.prefix, "site-packages", "Traceback"):
            assert path not in error
        assert TOKEN not in error
