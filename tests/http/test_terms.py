"""How a caller wants to be answered: the cache, waiting, deadlines, and what an answer cost."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
import requests

from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from http_calls import Http
from served import ModelThatCounts, Served
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, ServerConfig

TONE = tones_file(10)
CACHE = {"cache_bytes": 2**20}
OFF = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def sources(responses: list[requests.Response]) -> list[str]:
    assert {response.status_code for response in responses} == {200}
    return [response.headers["x-compute-type"] for response in responses]


def test_an_answer_tells_what_it_cost(server: Http) -> None:
    headers = server.ask(TONE).headers

    assert headers["x-compute-type"] == "cpu"
    assert float(headers["x-compute-time"]) >= 0
    assert headers["x-compute-audio-length"] == "1.000"


@pytest.mark.parametrize("how", ["ask", "upload"])
def test_the_second_of_two_equal_questions_comes_from_the_cache(
    http: Callable[..., Http], how: str
) -> None:
    server = http(**CACHE)
    question = getattr(server, how)

    first, second = question(TONE), question(TONE)

    assert sources([first, second]) == ["cpu", "cache"]
    assert first.content == second.content
    assert server.model.bands == [10]


def test_both_doors_share_the_cache(http: Callable[..., Http]) -> None:
    server = http(**CACHE)
    assert server.served.unary(TONE).answer().text == words(10)

    assert sources([server.ask(TONE)]) == ["cache"]


@pytest.mark.parametrize("value", ["false", "False", "0", "FALSE "])
def test_x_use_cache_false_always_computes(http: Callable[..., Http], value: str) -> None:
    server = http(**CACHE)
    server.ask(TONE)

    assert sources([server.ask(TONE, headers={"x-use-cache": value})]) == ["cpu"]
    assert sources([server.ask(TONE, options={"use_cache": False})]) == ["cpu"]
    assert sources([server.ask(TONE, headers={"x-use-cache": "true"})]) == ["cache"]


@pytest.mark.parametrize("name", ["x-use-cache", "x-wait-for-model"])
@pytest.mark.parametrize("how", ["ask", "post"])
def test_a_header_that_is_neither_true_nor_false_is_refused(
    server: Http, name: str, how: str
) -> None:
    headers = {name: "perhaps"}
    if how == "ask":
        response = server.ask(TONE, headers=headers)
        field = response.json()["field"]
    else:
        response = server.post(
            "/v1/audio/transcriptions", files={"file": ("a", TONE)}, headers=headers
        )
        field = response.json()["error"]["param"]

    assert (response.status_code, field) == (422, name)


@pytest.mark.parametrize("name", ["use_cache", "wait_for_model"])
def test_an_option_that_is_neither_true_nor_false_is_refused(server: Http, name: str) -> None:
    response = server.ask(TONE, options={name: "true"})

    assert (response.status_code, response.json()["field"]) == (422, name)
    assert server.ask(TONE, options={name: None}).status_code == 200


@pytest.mark.parametrize("seed", [None, 3])
def test_what_is_drawn_comes_from_the_cache_with_a_seed_only(
    http: Callable[..., Http], seed: int | None
) -> None:
    server = http(**CACHE)
    parameters = {"do_sample": True, "seed": seed}

    answers = [server.ask(TONE, parameters) for _ in range(2)]

    assert sources(answers) == ["cpu", "cpu" if seed is None else "cache"]


def test_equal_questions_at_once_cost_one(
    http: Callable[..., Http], model: FakeModel, pool: ThreadPoolExecutor
) -> None:
    counting = ModelThatCounts(**vars(loaded(model)))
    server = http(counting, **CACHE)
    model.hold()
    asked = [pool.submit(server.ask, TONE) for _ in range(5)]
    counting.wait_for_requests(len(asked))  # the options of each are checked once
    model.wait_for_calls(1)
    model.release()

    answers = [future.result(PATIENCE_S) for future in asked]

    assert sorted(sources(answers)) == ["cache"] * 4 + ["cpu"]
    assert model.bands == [10]


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


@pytest.mark.parametrize("how", ["ask", "upload"])
def test_an_answer_that_takes_too_long_is_not_waited_for(
    http: Callable[..., Http], how: str
) -> None:
    server = http(http_timeout_s=0.2)
    server.model.hold()

    response = getattr(server, how)(TONE)

    assert response.status_code == 504
    assert "deadline" in response.text
    server.model.release()
    assert server.ask(TONE).json() == {"text": words(10)}


def test_too_many_requests_are_told_to_come_again(
    http: Callable[..., Http], pool: ThreadPoolExecutor
) -> None:
    server = http(max_requests=1)
    server.model.hold()
    first = pool.submit(server.ask, TONE)
    server.model.wait_for_calls(1)

    second, third = server.ask(TONE), server.upload(TONE)

    assert (second.status_code, third.status_code) == (429, 429)
    assert "limit of 1 concurrent requests" in second.json()["error"]
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert int(second.headers["retry-after"]) >= 1
    server.model.release()
    assert first.result(PATIENCE_S).json() == {"text": words(10)}


def test_a_model_that_fails_is_told_in_general_terms(server: Http) -> None:
    server.model.poisoned = frozenset({11})

    response, form = server.ask(tones_file(11)), server.upload(tones_file(11))

    server.model.poisoned = frozenset()
    assert (response.status_code, form.status_code) == (500, 500)
    assert "poisoned" not in response.text + form.text
    assert "field" not in response.json()
    assert form.json()["error"]["param"] is None


@pytest.mark.parametrize("path", ["/live", "/", "/no/such/address"])
def test_every_response_has_an_id_of_its_own(server: Http, path: str) -> None:
    ids = {server.get(path).headers["x-request-id"] for _ in range(3)}

    assert len(ids) == 3
    assert all(ids)


def test_a_callers_own_id_comes_back(server: Http) -> None:
    response = server.ask(b"", headers={"x-request-id": "mine 7"})

    assert (response.status_code, response.headers["x-request-id"]) == (400, "mine 7")


@pytest.mark.parametrize("given", ["", "a\tb", "a\xa0b"])
def test_an_id_that_cannot_be_printed_is_replaced(server: Http, given: str) -> None:
    answered = server.get("/live", headers={"x-request-id": given.encode("latin-1")})

    assert len(answered.headers["x-request-id"]) == 32


def test_a_long_id_is_cut(server: Http) -> None:
    answered = server.get("/live", headers={"x-request-id": "x" * 1000})

    assert answered.headers["x-request-id"] == "x" * 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 405),
        ("PUT", "/models/fake", 405),
        ("GET", "/v1/audio/transcriptions", 405),
        ("POST", "/live", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/v1/audio/speech", 404),
    ],
)
def test_an_address_that_is_none_is_told_as_json(
    server: Http, method: str, path: str, status: int
) -> None:
    response = requests.request(method, server.url + path)

    assert response.status_code == status
    assert path in response.json()["error"]
    assert ("allow" in response.headers) == (status == 405)


def test_an_answer_does_not_wait_for_an_acknowledgement(server: Http) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as caller:
        caller.sendall(b"GET /live HTTP/1.1\r\nhost: here\r\n\r\n")
        assert caller.recv(12) == b"HTTP/1.1 200"
        with accepted_socket(caller.getsockname()) as theirs:
            assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def accepted_socket(peer: object) -> socket.socket:
    """Return a copy of this process's socket that is connected to `peer`: the server's end."""
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed meanwhile
            continue
        try:
            if copy.getpeername() == peer:
                return copy
        except OSError:
            pass
        copy.close()
    pytest.fail(f"no socket is connected to {peer}")
