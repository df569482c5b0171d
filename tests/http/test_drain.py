"""Draining and stopping a server with HTTP: admitted calls are answered, others refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from http_calls import Http, post_json
from served import Serve
from talkmill.engine import State
from talkmill.server import BackgroundServer, Server, ServerConfig


def drain(server: Http) -> None:
    server.served.background.drain()


def test_a_drain_answers_what_was_accepted(
    http: Callable[..., Http], pool: ThreadPoolExecutor
) -> None:
    server = http(max_batch_size=1)
    server.model.hold()
    asked = [
        pool.submit(server.ask, tones_file(10, 11)),
        pool.submit(server.upload, tones_file(20)),
        pool.submit(server.upload, tones_file(12), stream="true"),
    ]
    while server.served.background.server.engine.num_requests < len(asked):
        server.get("/live")

    drained = pool.submit(drain, server)
    wait_until_connections_are_refused(server)
    server.model.release()

    answers = [future.result(PATIENCE_S) for future in asked]
    drained.result(PATIENCE_S)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == {"text": f"{words(10)} {words(11)}"}
    assert answers[1].json()["text"] == words(20)
    assert "[DONE]" in answers[2].text
    assert server.served.background.server.engine.state is State.DRAINING


def wait_until_connections_are_refused(server: Http) -> None:
    while True:
        try:
            requests.get(f"{server.url}/live", timeout=PATIENCE_S)
        except requests.ConnectionError:
            return


def test_a_draining_server_refuses_calls_that_still_reach_it(
    http: Callable[..., Http], pool: ThreadPoolExecutor
) -> None:
    server = http()
    server.model.hold()
    first = pool.submit(server.ask, tones_file(10))
    server.model.wait_for_calls(1)

    server.served.background.server.engine.drain()
    response, health = server.ask(tones_file(20)), server.get("/health")
    assert (response.status_code, health.status_code) == (503, 503)
    assert "draining" in response.json()["error"]
    assert int(response.headers["retry-after"]) >= 1
    assert health.json() == {"status": "draining"}
    assert server.get("/live").status_code == 200
    server.model.release()
    assert first.result(PATIENCE_S).json() == {"text": words(10)}


def test_a_drain_does_not_wait_for_connections_that_ask_nothing(
    http: Callable[..., Http],
) -> None:
    server = http(drain_timeout_s=3600)
    with requests.Session() as kept_alive:
        assert kept_alive.get(f"{server.url}/live").status_code == 200
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as silent:
            silent.sendall(b"POST / HTTP/1.1\r\n")

            drain(server)

            with pytest.raises(requests.ConnectionError):
                kept_alive.get(f"{server.url}/live")


def test_a_drain_that_takes_too_long_gives_up(
    http: Callable[..., Http], pool: ThreadPoolExecutor
) -> None:
    server = http(drain_timeout_s=0.1)
    server.model.hold()
    asked = pool.submit(server.ask, tones_file(10))
    server.model.wait_for_calls(1)

    drained = pool.submit(drain, server)

    assert asked.result(PATIENCE_S).status_code == 503
    server.model.release()
    drained.result(PATIENCE_S)


def test_a_stop_asked_for_twice_waits_no_longer(
    server_config: Callable[..., ServerConfig], model: FakeModel
) -> None:
    config = server_config(http_port=0, drain_timeout_s=3600)

    async def run() -> int:
        server = Server(config, model=loaded(model))
        await server.start()
        model.forget()
        model.hold()
        url = f"http://127.0.0.1:{server.http_port}"
        asked = asyncio.create_task(asyncio.to_thread(ask, url))
        await asyncio.to_thread(model.wait_for_calls, 1)
        server.request_stop()
        stopped = asyncio.create_task(server.run_until_stopped())
        server.request_stop()
        assert await asked == 503
        model.release()
        return await stopped

    assert asyncio.run(run()) == 1


def ask(url: str) -> int | None:
    """Return the status, or none where the connection breaks."""
    try:
        return post_json(url, tones_file(10)).status_code
    except requests.ConnectionError:
        return None


def test_a_second_server_on_the_http_port_is_refused(
    http: Callable[..., Http], server_config: Callable[..., ServerConfig]
) -> None:
    port = http().served.background.server.http_port
    second = BackgroundServer(server_config(http_port=port), model=loaded())

    with pytest.raises(OSError, match=str(port)), second:
        pass


def test_a_stopped_server_frees_its_http_port(server_config: Callable[..., ServerConfig]) -> None:
    with BackgroundServer(server_config(http_port=0), model=loaded()) as first:
        port = first.server.http_port

    with BackgroundServer(server_config(http_port=port), model=loaded()) as second:
        assert requests.get(f"{second.http_address}/live").status_code == 200


def test_without_an_http_port_only_grpc_listens(serve: Serve) -> None:
    assert serve().background.server.http_port is None
