"""The option channels over each interface: gRPC's two RPCs and both schemas of HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from audio_files import encode_audio, pcm_wav
from fakes import PATIENCE_S, chunk_tones, loaded, tones_file, words
from http_calls import Http
from served import ModelThatWaits, stream_messages, wire_options
from talkmill.proto import transcription_pb2 as pb

WAYS = ["unary", "stream", "huggingface", "openai"]
STEREO = encode_audio(np.stack([chunk_tones([10, 20]), chunk_tones([30, 40])]), "flac", "flac")

Said = list[tuple[str, int | None, float]]
"""The text, channel and start of each chunk of an answer."""

IN_ORDER: Said = [
    (words(10), 0, 0.0),
    (words(30), 1, 0.0),
    (words(20), 0, 30.0),
    (words(40), 1, 30.0),
]
CHANNELS = {"split": pb.CHANNELS_SPLIT, "mix": pb.CHANNELS_MIX}


class Found(NamedTuple):
    """An answer: its words, and its chunks."""

    text: str
    chunks: Said


class Refused(NamedTuple):
    """A refusal: the field that it names, and its message."""

    field: str | None
    message: str


def ask(
    server: Http, way: str, channels: str, audio: bytes = STEREO, *, timestamps: bool = False
) -> Found | Refused:
    if way in ("unary", "stream"):
        return over_grpc(server, way, channels, audio, timestamps=timestamps)
    if way == "huggingface":
        parameters = {"channels": channels, "return_timestamps": timestamps}
        response = server.ask(audio, parameters)
        name, times = "chunks", "timestamp"
    else:
        response = server.upload(audio, channels=channels, response_format="verbose_json")
        name, times = "segments", "start"
    body = response.json()
    if response.status_code != 200:
        if way == "huggingface":
            return Refused(body["field"], body["error"])
        return Refused(body["error"]["param"], body["error"]["message"])
    chunks = body.get(name, [])
    starts_s = [np.atleast_1d(chunk[times])[0] for chunk in chunks]
    rows = zip(chunks, starts_s, strict=True)
    said = [(chunk["text"].strip(), chunk.get("channel"), start_s) for chunk, start_s in rows]
    return Found(body["text"], said)


def over_grpc(
    server: Http, way: str, channels: str, audio: bytes, *, timestamps: bool
) -> Found | Refused:
    times = pb.RETURN_TIMESTAMPS_SEGMENT if timestamps else pb.RETURN_TIMESTAMPS_NONE
    options: dict[str, Any] = {"channels": CHANNELS[channels], "return_timestamps": times}
    call = getattr(server.served, way)(audio, **options)
    try:
        answer = call.answer()
    except grpc.RpcError:
        return Refused(call.refusal().field, call.details())
    return Found(answer.text, [said(chunk) for chunk in answer.chunks])


def said(chunk: pb.Chunk) -> tuple[str, int | None, float]:
    channel = chunk.channel if chunk.HasField("channel") else None
    return chunk.text.strip(), channel, chunk.start_s


@pytest.mark.parametrize("way", WAYS)
def test_each_channel_has_its_own_words_in_order_of_time(
    server: Http, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.model, "said_s", (0.0, 1.0))
    found = ask(server, way, "split")

    assert found == Found(" ".join(text for text, _, _ in IN_ORDER), IN_ORDER)
    assert sorted(server.model.bands) == [10, 20, 30, 40]


@pytest.mark.parametrize("way", WAYS)
def test_channels_are_mixed_unless_asked_for(server: Http, way: str) -> None:
    found = ask(server, way, "mix", timestamps=True)

    assert isinstance(found, Found)
    assert [channel for _, channel, _ in found.chunks] == [None, None]
    assert len(server.model.bands) == 2


@pytest.mark.parametrize("way", WAYS)
def test_mono_is_channel_0(server: Http, way: str) -> None:
    found = ask(server, way, "split", tones_file(10))

    assert isinstance(found, Found)
    assert [(text, channel) for text, channel, _ in found.chunks] == [(words(10), 0)]


@pytest.mark.parametrize("way", WAYS)
def test_more_channels_than_eight_are_refused_by_name_value_and_limit(
    server: Http, way: str
) -> None:
    audio = pcm_wav(np.zeros((16, 1600), np.float32))

    message = "channels 'split' takes audio of at most 8 channels, this has 16"
    assert ask(server, way, "split", audio) == Refused("channels", message)
    assert isinstance(ask(server, way, "mix", audio), Found)


@pytest.mark.parametrize("way", WAYS)
def test_each_channel_counts_towards_the_limit_on_seconds(
    http: Callable[..., Http], way: str
) -> None:
    server = http(max_audio_s=61)

    message = "audio is longer than the limit of 61 s, each of its 2 channels counted"
    assert ask(server, way, "split") == Refused("audio", message)
    assert isinstance(ask(server, way, "mix"), Found)


@pytest.mark.parametrize("way", ["huggingface", "openai"])
def test_an_unknown_value_is_refused_with_those_that_are_known(server: Http, way: str) -> None:
    message = "channels 'left' is not one of mix, split"
    assert ask(server, way, "left") == Refused("channels", message)


def test_the_answer_counts_the_file_once_and_its_speech_in_each_channel(server: Http) -> None:
    answer = server.served.unary(STEREO, channels=pb.CHANNELS_SPLIT).answer()

    assert (answer.duration_s, answer.speech_s) == (31.0, 62.0)
    assert not answer.warnings


def test_what_is_streamed_is_the_result_in_its_order(http: Callable[..., Http]) -> None:
    model = ModelThatWaits(30)
    server = http(loaded(model), max_batch_size=1)
    options = wire_options(channels=pb.CHANNELS_SPLIT)

    responses = server.served.stub.TranscribeStream(
        stream_messages(STEREO, "", options), timeout=PATIENCE_S
    )
    first = next(responses).segment  # before the second chunk, which waits, is done
    model.may_go_on.set()
    *others, last = responses

    streamed = [said(chunk) for chunk in (first, *(response.segment for response in others))]
    assert streamed == IN_ORDER == [said(chunk) for chunk in last.result.chunks]


@pytest.mark.parametrize(
    ("shape", "lines"),
    [
        ("text", ["Channel 0: heard 10", "Channel 1: heard 30"]),
        ("srt", ["Channel 0: heard 10", "Channel 1: heard 30"]),
        ("vtt", ["<v Channel 0>heard 10", "<v Channel 1>heard 30"]),
    ],
)
def test_lines_of_texts_say_their_channel(server: Http, shape: str, lines: list[str]) -> None:
    found = server.upload(STEREO, channels="split", response_format=shape).text.splitlines()

    assert [line for line in found if line in lines] == lines


def test_deltas_add_up_to_the_whole_text(server: Http) -> None:
    response = server.upload(STEREO, channels="split", stream="true")
    data = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    events = [json.loads(line) for line in data if line != "[DONE]"]

    deltas = [event["delta"] for event in events if event["type"] == "transcript.text.delta"]
    assert "".join(deltas).strip() == events[-1]["text"]
    assert len(deltas) == 4


def test_the_cache_tells_stereo_from_mono_and_split_from_mixed(http: Callable[..., Http]) -> None:
    server = http(cache_bytes=2**20)
    left, right = chunk_tones([10])[:8000], chunk_tones([30])[:8000]
    stereo = encode_audio(np.stack([left, right]))
    mono = encode_audio(np.stack([left, right], 1).reshape(-1))  # the same numbers
    for audio in (stereo, mono):
        for channels in ("split", "mix"):
            ask(server, "unary", channels, audio)
    assert len(server.model.bands) == 5

    as_flac = encode_audio(np.stack([left, right]), "flac", "flac")
    for audio in (stereo, as_flac):
        response = server.ask(audio, {"channels": "split"})
        assert response.headers["x-compute-type"] == "cache"


def test_words_of_split_channels_say_their_channel(server: Http) -> None:
    chunks = server.ask(STEREO, {"channels": "split", "return_timestamps": "word"}).json()["chunks"]
    granularities = {"timestamp_granularities[]": "word", "response_format": "verbose_json"}
    answer = server.upload(STEREO, channels="split", **granularities).json()

    expected = [(word, i) for text, i, _ in IN_ORDER for word in text.split()]
    assert [(one["text"].strip(), one["channel"]) for one in chunks] == expected
    assert [(one["word"], one["channel"]) for one in answer["words"]] == expected


@pytest.mark.parametrize("channels", ["mix", "split"])
def test_the_text_before_a_chunk_is_no_prompt_of_another_channel(
    server: Http, channels: str
) -> None:
    response = server.ask(STEREO, {"channels": channels, "condition_on_prev_tokens": True})

    if channels == "mix":
        assert response.status_code == 200
    else:
        assert response.status_code == 422
        assert response.json()["field"] == "condition_on_prev_tokens"
        assert 'not available with channels "split"' in response.json()["error"]
