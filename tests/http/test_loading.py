"""A server whose model is being loaded: its refusals, its health, and calls that wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from fakes import PATIENCE_S, FakeModel, tones_file, words
from http_calls import Http
from served import Send

TONE = tones_file(10)


def test_a_loading_server_says_how_long_it_may_take(load: Callable[..., Http]) -> None:
    response = load().post("/", data=TONE)

    assert response.status_code == 503
    assert response.json()["error"] == "Model fake is currently loading"
    assert response.json()["estimated_time"] >= 1
    assert int(response.headers["retry-after"]) >= response.json()["estimated_time"]


def test_a_loading_server_refuses_openais_clients_in_their_schema(
    load: Callable[..., Http],
) -> None:
    response = load().post("/v1/audio/transcriptions", files={"file": ("a", TONE)})

    assert response.status_code == 503
    assert response.json()["error"]["type"] == "server_error"
    assert "loading" in response.json()["error"]["message"]
    assert int(response.headers["retry-after"]) >= 1


def test_a_loading_server_is_live_and_not_healthy(load: Callable[..., Http]) -> None:
    server = load()

    assert server.get("/live").json() == {"status": "live"}
    health = server.get("/health")
    assert (health.status_code, health.json()) == (503, {"status": "loading"})
    assert server.get("/metrics").status_code == 200
    assert server.get("/models").json() == [
        {"id": "fake", "status": "loading"},
        {"id": "whisper-1", "status": "loading"},
    ]


def test_a_ready_server_is_live_and_healthy(server: Http) -> None:
    assert server.get("/live").json() == {"status": "live"}
    health = server.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ready"})
    assert {model["status"] for model in server.get("/models").json()} == {"ready"}


WAITING: list[Any] = [
    pytest.param({"headers": {"x-wait-for-model": "true"}}, id="header"),
    pytest.param({"options": {"wait_for_model": True}}, id="options"),
]


@pytest.mark.parametrize("how", WAITING)
def test_a_call_over_http_can_wait_for_the_model(
    load: Callable[..., Http], model: FakeModel, pool: ThreadPoolExecutor, how: dict[str, Any]
) -> None:
    server = load()
    asked = pool.submit(server.ask, TONE, **how)
    wait_for_an_open_call(server)
    model.release()

    assert asked.result(PATIENCE_S).json() == {"text": words(10)}


def test_a_call_over_grpc_can_wait_for_the_model(
    load: Callable[..., Http], model: FakeModel, send: Send
) -> None:
    server = load()
    call = send(server.served, TONE, metadata=(("x-wait-for-model", "true"),))
    wait_for_an_open_call(server)
    model.release()

    assert call.answer().text == words(10)


@pytest.mark.parametrize("how", ["ask", "upload"])
def test_a_call_over_http_is_held_for_a_while_before_it_is_refused(
    load: Callable[..., Http], model: FakeModel, pool: ThreadPoolExecutor, how: str
) -> None:
    server = load(loading_wait_s=PATIENCE_S)
    asked = pool.submit(getattr(server, how), TONE)
    wait_for_an_open_call(server)
    model.release()

    assert asked.result(PATIENCE_S).json()["text"] == words(10)


def test_a_call_that_was_held_is_refused(load: Callable[..., Http]) -> None:
    response = load(loading_wait_s=0.01).post("/", data=TONE)

    assert (response.status_code, response.json()["estimated_time"] >= 1) == (503, True)


def test_a_call_over_grpc_is_refused_at_once(load: Callable[..., Http], send: Send) -> None:
    server = load(loading_wait_s=PATIENCE_S)

    assert send(server.served, TONE).refusal().code is grpc.StatusCode.UNAVAILABLE


def wait_for_an_open_call(server: Http) -> None:
    """Return once a call is admitted, e.g. one that waits for the model."""
    while not server.served.background.server.engine.num_requests:
        server.get("/live")


def test_a_call_that_waits_for_the_model_fails_at_its_deadline(load: Callable[..., Http]) -> None:
    server = load(http_timeout_s=0.2)

    response = server.post("/", data=TONE, headers={"x-wait-for-model": "true"})

    assert response.status_code == 504
    assert response.json()["error"]
