"""The option encoder_window over each interface: gRPC's two RPCs and both schemas of HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import grpc
import pytest

from fakes import FakeModel, loaded, tones_file, words
from http_calls import Http
from served import Served
from talkmill.engine import EncoderWindow, TranscribeOptions, VadMode
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import Client

TONE = tones_file(10)
LOOP = 20
WAYS = ["unary", "stream", "huggingface", "openai"]
FULL = 3000


class Found(NamedTuple):
    """An answer: its words, and the window in its headers or metadata."""

    text: str
    window: str


class Refused(NamedTuple):
    """A refusal: the field that it names, and its message."""

    field: str | None
    message: str


def over_grpc(served: Served, way: str, audio: bytes, window: str | None) -> Found | Refused:
    number = pb.EncoderWindow.Value(f"ENCODER_WINDOW_{(window or 'unspecified').upper()}")
    call = getattr(served, way)(audio, encoder_window=number)
    try:
        answer = call.answer()
    except grpc.RpcError:
        refusal = call.refusal()
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        return Refused(refusal.field, call.details())
    told = pb.EncoderWindow.Name(answer.encoder_window).removeprefix("ENCODER_WINDOW_").lower()
    assert call.trailing_metadata()["x-encoder-window"] == told
    return Found(answer.text, told)


def over_http(server: Http, way: str, audio: bytes, window: str | None) -> Found | Refused:
    given = {"encoder_window": window} if window else {}
    is_hf = way == "huggingface"
    response = server.ask(audio, given) if is_hf else server.upload(audio, **given)
    body = response.json()
    if response.status_code == 422:
        if is_hf:
            return Refused(body["field"], body["error"])
        return Refused(body["error"]["param"], body["error"]["message"])
    assert response.status_code == 200
    return Found(body["text"], response.headers["x-encoder-window"])


def ask(server: Http, way: str, window: str | None = None, audio: bytes = TONE) -> Found | Refused:
    if way in ("unary", "stream"):
        return over_grpc(server.served, way, audio, window)
    return over_http(server, way, audio, window)


def windows(server: Http) -> list[int]:
    return [num_frames for batch in server.model.encoded for num_frames in batch.num_frames]


@pytest.fixture
def fitted(http: Callable[..., Http], model: FakeModel) -> Http:
    """A server with fitted windows and a cache."""
    return http(loaded(model, windows_s=()), cache_bytes=2**20)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("window", "told", "num_frames"),
    [(None, "fitted", 160), ("fitted", "fitted", 160), ("full", "full", FULL)],
)
def test_server_with_fitted_windows_uses_full_ones_on_demand(
    fitted: Http, way: str, window: str | None, told: str, num_frames: int
) -> None:
    assert ask(fitted, way, window) == Found(words(10), told)
    assert windows(fitted) == [num_frames]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("setting", "available"),
    [("full", "full"), ((5,), "declared, full"), ("auto", "declared, full")],
)
def test_fitted_windows_are_refused_by_a_server_without_them(
    http: Callable[..., Http], way: str, setting: object, available: str
) -> None:
    server = http(encoder_windows=setting)

    refused = ask(server, way, "fitted")

    message = f"encoder_window 'fitted' is not available for fake: {available}"
    assert refused == Refused("encoder_window", message)
    assert server.model.encoded == []
    assert isinstance(ask(server, way, "full"), Found)


@pytest.mark.parametrize("way", WAYS)
def test_declared_windows_are_refused_by_a_server_with_fitted_ones(fitted: Http, way: str) -> None:
    message = "encoder_window 'declared' is not available for fake: fitted, full"
    assert ask(fitted, way, "declared") == Refused("encoder_window", message)


@pytest.mark.parametrize("way", ["huggingface", "openai"])
@pytest.mark.parametrize("window", ["auto", "Full", "30", "nonsense"])
def test_unknown_window_is_refused_with_those_that_are_known(
    fitted: Http, way: str, window: str
) -> None:
    message = f"encoder_window {window!r} is not one of fitted, full, declared"
    assert ask(fitted, way, window) == Refused("encoder_window", message)


@pytest.mark.parametrize("value", [5, True, ["full"], {"full": 1}, ""])
def test_window_of_another_type_is_refused(fitted: Http, value: object) -> None:
    response = fitted.ask(TONE, {"encoder_window": value})

    assert (response.status_code, response.json()["field"]) == (422, "encoder_window")


def test_no_window_at_all_is_the_server_s_choice(fitted: Http, speech_file: bytes) -> None:
    null, raw = fitted.ask(TONE, {"encoder_window": None}), fitted.post("/", data=speech_file)
    empty = fitted.upload(TONE, encoder_window="")

    for response in (null, raw, empty):
        assert response.status_code == 200
        assert response.headers["x-encoder-window"] == "fitted"


def test_all_interfaces_share_the_cache_of_one_window(fitted: Http) -> None:
    for window in ("fitted", "full", None):
        for way in WAYS:
            found = ask(fitted, way, window)
            assert found == Found(words(10), window or "fitted")
    assert windows(fitted) == [160, FULL]


@pytest.mark.parametrize("way", WAYS)
def test_words_after_a_fallback_are_those_of_the_full_window(fitted: Http, way: str) -> None:
    fitted.model.loops = frozenset({LOOP})

    assert ask(fitted, way, audio=tones_file(LOOP)) == Found(words(LOOP), "fitted")
    assert windows(fitted) == [160, FULL]
    assert "talkmill_window_fallbacks_total 1.0\n" in fitted.get("/metrics").text


def test_client_of_the_package_asks_for_windows(fitted: Http) -> None:
    with Client(fitted.served.address) as client:
        for kind in (EncoderWindow.FITTED, EncoderWindow.FULL):
            options = TranscribeOptions(vad=VadMode.OFF, encoder_window=kind)
            assert client.transcribe(io.BytesIO(TONE), options).encoder_window is kind
