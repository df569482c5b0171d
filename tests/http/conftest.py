"""A real server with its HTTP door open: on a fake model, or on the demo model for its words."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from fakes import DEMO_FOLDER, PATIENCE_S, small_config
from served import Served
from talkmill.server import BackgroundServer, ServerConfig


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


@pytest.fixture
def http(serve: Callable[..., Served]) -> Callable[..., Http]:
    """Starts servers with the settings given; see `serve`."""

    def start(*model: Any, **settings: object) -> Http:
        return Http(serve(*model, http_port=0, **settings))

    return start


@pytest.fixture(scope="package")
def demo() -> Iterator[BackgroundServer]:
    """A server with the demo model in it, both doors open."""
    settings = small_config(encoder_windows_s=(5,), cache_bytes=2**20).model_dump()
    config = ServerConfig.model_validate({**settings, "port": 0, "http_port": 0})
    with BackgroundServer(config) as server:
        yield server


@pytest.fixture(scope="session")
def sample_text() -> str:
    """What is said in `sample`."""
    return (DEMO_FOLDER / "sample.txt").read_text(encoding="utf-8").strip()
