"""Calls to a server's HTTP door."""

from __future__ import annotations

import base64
from typing import Any

import requests

from fakes import PATIENCE_S
from served import Served


def post_json(
    url: str,
    audio: bytes,
    parameters: dict[str, Any] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **body: object,
) -> requests.Response:
    """Send HF's JSON, without VAD unless asked."""
    inputs = base64.b64encode(audio).decode()
    content: Any = {"inputs": inputs, "parameters": {"vad": "off", **(parameters or {})}, **body}
    return requests.post(url, json=content, headers=headers, timeout=PATIENCE_S)


class Http:
    """A server with a fake model, and calls to its HTTP door."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.model = served.model
        self.url = served.background.http_address

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
