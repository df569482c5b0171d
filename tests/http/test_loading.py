"""A server whose model is being loaded: its refusals, its health, and calls that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
import requests

from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from http_calls import Http
from served import Served
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, ServerConfig

TONE = tones_file(10)
OFF = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)


@contextmanager
def loading(model: FakeModel, config: ServerConfig) -> Iterator[tuple[BackgroundServer, str]]:
    """Give a server that loads for as long as `model` is held."""
    background = BackgroundServer(config, model=loaded(model))
    model.hold()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        started: Future[Any] = pool.submit(background.__enter__)
        stack.callback(lambda: background.__exit__(None, None, None))
        stack.callback(lambda: started.result(PATIENCE_S))
        stack.callback(model.release)
        model.wait_for_calls(1)  # the warm-up
        yield background, background.http_address


@pytest.fixture
def at_loading(
    model: FakeModel, server_config: Callable[..., ServerConfig]
) -> Iterator[tuple[BackgroundServer, str]]:
    with loading(model, server_config(http_port=0)) as found:
        yield found


def test_a_loading_server_says_how_long_it_may_take(
    at_loading: tuple[BackgroundServer, str],
) -> None:
    _, url = at_loading

    response = requests.post(url, data=TONE)

    assert response.status_code == 503
    assert response.json()["error"] == "Model fake is currently loading"
    assert response.json()["estimated_time"] >= 1
    assert int(response.headers["retry-after"]) >= response.json()["estimated_time"]


def test_a_loading_server_tells_openais_clients_as_well(
    at_loading: tuple[BackgroundServer, str],
) -> None:
    _, url = at_loading

    response = requests.post(f"{url}/v1/audio/transcriptions", files={"file": ("a", TONE)})

    assert response.status_code == 503
    assert response.json()["error"]["type"] == "server_error"
    assert "loading" in response.json()["error"]["message"]
    assert int(response.headers["retry-after"]) >= 1


def test_a_loading_server_is_live_and_not_healthy(
    at_loading: tuple[BackgroundServer, str],
) -> None:
    _, url = at_loading

    assert requests.get(f"{url}/live").json() == {"status": "live"}
    health = requests.get(f"{url}/health")
    assert (health.status_code, health.json()) == (503, {"status": "loading"})
    assert requests.get(f"{url}/metrics").status_code == 200
    assert requests.get(f"{url}/models").json() == [{"id": "fake", "status": "loading"}]


def test_a_ready_server_is_live_and_healthy(server: Http) -> None:
    assert server.get("/live").json() == {"status": "live"}
    health = server.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ready"})
    assert server.get("/models").json() == [{"id": "fake", "status": "ready"}]
    assert [model["id"] for model in server.get("/v1/models").json()["data"]] == ["fake"]


WAITING: list[Any] = [
    pytest.param({"headers": {"x-wait-for-model": "true"}}, id="header"),
    pytest.param({"options": {"wait_for_model": True}}, id="options"),
]


@pytest.mark.parametrize("how", WAITING)
def test_who_waits_for_the_model_is_answered_by_it(
    at_loading: tuple[BackgroundServer, str],
    model: FakeModel,
    pool: ThreadPoolExecutor,
    how: dict[str, Any],
) -> None:
    background, _ = at_loading
    server = Http(Served(background, model, grpc.insecure_channel(background.address)))
    asked = pool.submit(server.ask, TONE, **how)
    wait_for_open_calls(background, 1)
    model.release()

    assert asked.result(PATIENCE_S).json() == {"text": words(10)}
    server.served.channel.close()


def test_a_caller_over_grpc_can_wait_for_the_model(
    at_loading: tuple[BackgroundServer, str], model: FakeModel
) -> None:
    background, _ = at_loading
    with grpc.insecure_channel(background.address) as channel:
        asked = pb_grpc.TranscriptionStub(channel).Transcribe.future(
            pb.TranscribeRequest(audio=TONE, options=OFF),
            timeout=PATIENCE_S,
            metadata=[("x-wait-for-model", "true")],
        )
        wait_for_open_calls(background, 1)
        model.release()
        assert asked.result().text == words(10)


def wait_for_open_calls(background: BackgroundServer, count: int) -> None:
    """Return once so many calls are in the works, e.g. wait for the model."""
    while background.server.engine.num_requests < count:
        requests.get(f"{background.http_address}/live")


def test_who_waits_for_a_model_that_does_not_come_is_told_in_time(
    model: FakeModel, server_config: Callable[..., ServerConfig]
) -> None:
    config = server_config(http_port=0, http_timeout_s=0.2)
    with loading(model, config) as (_, url):
        response = requests.post(url, data=TONE, headers={"x-wait-for-model": "true"})

    assert response.status_code == 504
    assert response.json()["error"]
