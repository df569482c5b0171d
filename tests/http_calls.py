"""Calls to a server's HTTP door."""

from __future__ import annotations

import base64
from typing import Any

import requests

from fakes import PATIENCE_S
from served import Served


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
        parameters: object = None,
        *,
        path: str = "/",
        headers: dict[str, str] | None = None,
        **body: object,
    ) -> requests.Response:
        """Send HF's JSON, without VAD unless asked."""
        if parameters is None:
            parameters = {}
        if isinstance(parameters, dict):
            parameters = {"vad": "off", **parameters}
        inputs = base64.b64encode(audio).decode()
        content = {"inputs": inputs, "parameters": parameters, **body}
        return self.post(path, json=content, headers=headers)

    def upload(
        self, audio: bytes, path: str = "/v1/audio/transcriptions", **fields: object
    ) -> requests.Response:
        """Send OpenAI's form, without VAD unless asked."""
        data = {"vad": "off", **fields}
        return self.post(path, data=data, files={"file": ("tones.flac", audio)})
