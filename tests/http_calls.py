"""Calls to a server over HTTP."""

from __future__ import annotations

import json
import select
import socket
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import requests

from fakes import PATIENCE_S
from served import Served


def inputs_of(audio: bytes) -> str:
    """Return audio as HF's JSON holds it: base64."""
    return b64encode(audio).decode()


def post_json(
    url: str,
    audio: bytes,
    parameters: dict[str, Any] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **body: object,
) -> requests.Response:
    """Send HF's JSON, without VAD unless asked."""
    content: Any = {
        "inputs": inputs_of(audio),
        "parameters": {"vad": "off", **(parameters or {})},
        **body,
    }
    return requests.post(url, json=content, headers=headers, timeout=PATIENCE_S)


def form_of(audio: bytes, **fields: str) -> tuple[bytes, dict[str, str]]:
    """Return OpenAI's form as a body and its headers."""
    request = requests.Request(
        "POST", "http://localhost", data=fields, files={"file": ("a.flac", audio)}
    ).prepare()
    assert isinstance(request.body, bytes)
    return request.body, {"content-type": str(request.headers["content-type"])}


def json_of(audio: bytes) -> tuple[bytes, dict[str, str]]:
    """Return HF's JSON as a body and its headers."""
    body = {"inputs": inputs_of(audio), "parameters": {"vad": "off"}}
    return json.dumps(body).encode(), {"content-type": "application/json"}


def pieces_of(body: bytes) -> Iterator[bytes]:
    """Yield a body in pieces: `requests` sends it chunked, without a content-length."""
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


def refusal(response: requests.Response) -> tuple[int, str | None]:
    """Return the status of an error in HF's schema, and the field that it names."""
    body = response.json()
    assert body["error"]
    return response.status_code, body.get("field")


class Http:
    """A server with a fake model, and calls to it over HTTP."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.model = served.model
        self.url = served.background.http_address

    @property
    def connections(self) -> list[Any]:
        """The connections that the server has now, as its protocol sees them."""
        listener = self.served.background.server._http
        assert listener is not None
        return list(listener._server.server_state.connections)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE_S, **arguments)

    def post(self, path: str, **arguments: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=PATIENCE_S, **arguments)

    def ask(
        self,
        audio: bytes,
        parameters: dict[str, Any] | None = None,
        *,
        path: str = "/",
        headers: dict[str, str] | None = None,
        **body: object,
    ) -> requests.Response:
        """Send HF's JSON, without VAD unless asked."""
        return post_json(self.url + path, audio, parameters, headers=headers, **body)

    def upload(
        self, audio: bytes, path: str = "/v1/audio/transcriptions", **fields: object
    ) -> requests.Response:
        """Send OpenAI's form, without VAD unless asked."""
        data = {"vad": "off", **fields}
        return self.post(path, data=data, files={"file": ("tones.flac", audio)})


class Socket:
    """A connection on which a test writes HTTP itself, and may stop at any byte."""

    def __init__(self, server: Http, buffer_bytes: int | None = None) -> None:
        """Connect; `buffer_bytes` limits what may arrive before it is read."""
        host, _, port = server.url.removeprefix("http://").partition(":")
        self._socket = socket.socket()
        if buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect((host, int(port)))
        self._host = host

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, head: str, body: bytes = b"") -> None:
        lines = f"{head}\r\nhost: {self._host}\r\n\r\n".encode()
        self.send_raw(lines + body)

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more is sent; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def has_answer(self, within_s: float) -> bool:
        """Return whether something arrives in time; it stays to be read."""
        return bool(select.select([self._socket], [], [], within_s)[0])

    def receive(self, num_bytes: int = 2**16) -> bytes:
        """Return what has arrived; nothing once the server has closed or broken the connection."""
        try:
            return self._socket.recv(num_bytes)
        except ConnectionResetError:
            return b""

    def receive_all(self) -> bytes:
        """Return all that arrives until the server closes or breaks the connection."""
        return b"".join(iter(self.receive, b""))

    def read(self) -> tuple[int, dict[str, Any]]:
        """Return the next answer: its status, and its JSON."""
        response = HTTPResponse(self._socket)
        response.begin()
        return response.status, json.loads(response.read())
