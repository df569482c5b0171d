"""What a call's headers and HF's `options` ask for: the cache, and how long to wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from http_calls import Http
from served import ModelThatCounts, Send
from talkmill.proto import transcription_pb2 as pb

TONE = tones_file(10)
CACHE = {"cache_bytes": 2**20}


def sources(responses: list[requests.Response]) -> list[str]:
    assert {response.status_code for response in responses} == {200}
    return [response.headers["x-compute-type"] for response in responses]


def test_an_answer_has_headers_about_its_computation(server: Http) -> None:
    headers = server.ask(TONE).headers

    assert headers["x-compute-type"] == "cpu"
    assert float(headers["x-compute-time"]) >= 0
    assert headers["x-compute-audio-length"] == "1.000"


def test_trailing_metadata_over_grpc_are_the_headers_of_http(
    http: Callable[..., Http], send: Send
) -> None:
    server = http(**CACHE)
    headers = server.ask(TONE).headers

    cached = send(server.served, TONE)
    computed = send(server.served, TONE, metadata=(("x-use-cache", "false"),))

    for call, source in ((cached, "cache"), (computed, "cpu")):
        assert call.answer().text == words(10)
        metadata = call.trailing_metadata()
        assert metadata.keys() == {n for n in headers if n.startswith("x-")} - {"x-request-id"}
        assert metadata["x-encoder-window"] == headers["x-encoder-window"] == "declared"
        assert metadata["x-compute-type"] == source
        assert float(metadata["x-compute-time"]) >= 0
        assert metadata["x-compute-audio-length"] == headers["x-compute-audio-length"] == "1.000"


def test_an_answer_says_what_share_of_the_speech_it_covers(
    server: Http, send: Send, speech_file: bytes
) -> None:
    without_detection = server.ask(speech_file)
    with_detection = server.ask(speech_file, {"vad": "auto"})
    call = send(server.served, speech_file, vad=pb.VAD_MODE_AUTO)

    assert "x-coverage" not in without_detection.headers
    assert with_detection.headers["x-coverage"] == "1.000"
    assert call.answer().coverage == 1.0
    assert call.trailing_metadata()["x-coverage"] == "1.000"
    unknown = send(server.served, speech_file)
    assert not unknown.answer().HasField("coverage")
    assert "x-coverage" not in unknown.trailing_metadata()


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


def test_grpc_and_http_share_the_cache(http: Callable[..., Http]) -> None:
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


def test_equal_questions_at_once_are_computed_once(
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


@pytest.mark.parametrize("how", ["ask", "upload"])
def test_an_answer_that_takes_too_long_is_not_waited_for(
    http: Callable[..., Http], how: str
) -> None:
    server = http(http_timeout_s=1.0)
    server.model.hold()

    response = getattr(server, how)(TONE)

    assert response.status_code == 504
    assert "deadline" in response.text
    server.model.release()
    assert server.ask(TONE).json() == {"text": words(10)}
