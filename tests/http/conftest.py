"""Real servers with HTTP: on a fake model, or on the demo model for its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from fakes import FakeModel, loaded, small_config
from http_calls import Http
from served import Serve, Served, loading
from talkmill.server import BackgroundServer, ServerConfig


@pytest.fixture
def http(serve: Serve) -> Callable[..., Http]:
    """Starts servers with the settings given; see `serve`."""

    def start(*model: Any, **settings: object) -> Http:
        return Http(serve(*model, http_port=0, **settings))

    return start


@pytest.fixture(scope="package")
def shared_server() -> Iterator[Http]:
    model = FakeModel()
    settings = {**small_config().model_dump(), "port": 0, "http_port": 0}
    background = BackgroundServer(ServerConfig.model_validate(settings), model=loaded(model))
    with background, grpc.insecure_channel(background.address) as channel:
        yield Http(Served(background, model, channel))


@pytest.fixture
def server(shared_server: Http) -> Http:
    """A server with a fake model, for tests that leave it as it was."""
    shared_server.model.forget()
    return shared_server


@pytest.fixture
def load(
    model: FakeModel, server_config: Callable[..., ServerConfig]
) -> Iterator[Callable[..., Http]]:
    """Starts servers with the settings given, which load for as long as `model` is held."""
    with ExitStack() as stack:

        def start(**settings: object) -> Http:
            config = server_config(http_port=0, **settings)
            return Http(stack.enter_context(loading(model, config)))

        yield start


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool
