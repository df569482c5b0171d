"""Answers in OpenAI's schema, held against the types of OpenAI's own client in strict mode."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
)
from openai.types.audio.transcription_text_segment_event import TranscriptionTextSegmentEvent
from pydantic import BaseModel

from fakes import tones_file
from http_calls import Http
from talkmill.engine import Segment, Timings, TokenLogprob, TranscribeOptions, Transcript
from talkmill.server.http.openai_answers import events, respond
from talkmill.server.http.openai_form import Form

SAID = (
    Segment(
        *(" A", 0.5, 1.25, (7, 8), -0.25, 0.125, 1.5, 0.25, 50),
        logprobs=(TokenLogprob(" A", -0.5, b" A"),),
    ),
    Segment(" ä", 2.0, None, (9,), channel=1, logprobs=(TokenLogprob("\ufffd", -1.0, b"\xc3"),)),
)
TRANSCRIPT = Transcript(
    text="A ä",
    segments=SAID,
    language="en",
    language_probability=1.0,
    duration_s=3.5,
    speech_s=2.0,
    timings=Timings(),
    logprobs=tuple(token for segment in SAID for token in segment.logprobs),
    warnings=("top_k has no effect",),
)
LOGPROBS = [
    {"token": " A", "logprob": -0.5, "bytes": [32, 65]},
    {"token": "\ufffd", "logprob": -1.0, "bytes": [195]},
]
EVENT_TYPES: dict[str, type[BaseModel]] = {
    "transcript.text.delta": TranscriptionTextDeltaEvent,
    "transcript.text.segment": TranscriptionTextSegmentEvent,
    "transcript.text.done": TranscriptionTextDoneEvent,
}


def form(shape: str = "json", *, logprobs: bool = False) -> Form:
    options = TranscribeOptions(token_logprobs=logprobs)
    return Form(
        io.BytesIO(),
        "",
        shape,
        is_streamed=False,
        has_segments=True,
        options=options,
        warnings=("first",),
    )


def answer(form: Form, transcript: Transcript = TRANSCRIPT) -> Any:
    return json.loads(bytes(respond(form, transcript, {}).body))


def events_of(form: Form) -> list[Any]:
    async def items() -> AsyncGenerator[Segment | Transcript]:
        for segment in SAID[1:]:
            yield segment
        yield TRANSCRIPT

    async def collect() -> list[str]:
        return [event async for event in events(form, SAID[0], items())]

    *found, last = asyncio.run(collect())
    assert last == "data: [DONE]\n\n"
    return [json.loads(event.removeprefix("data: ")) for event in found]


def test_json_is_openais_transcription() -> None:
    plain = answer(form())

    Transcription.model_validate(plain, strict=True)
    assert plain == {
        "text": "A ä",
        "usage": {"type": "duration", "seconds": 3.5},
        "warnings": ["top_k has no effect"],
    }


def test_log_probabilities_stand_in_json() -> None:
    with_logprobs = answer(form(logprobs=True))

    Transcription.model_validate(with_logprobs, strict=True)
    assert with_logprobs["logprobs"] == LOGPROBS


def test_verbose_json_is_openais_with_every_field() -> None:
    verbose = answer(form("verbose_json"))

    TranscriptionVerbose.model_validate(verbose, strict=True)
    assert verbose["language"] == "english"
    assert verbose["usage"] == {"type": "duration", "seconds": 3.5}
    assert verbose["segments"] == [
        {
            "id": 0,
            "seek": 50,
            "start": 0.5,
            "end": 1.25,
            "text": " A",
            "tokens": [7, 8],
            "temperature": 0.25,
            "avg_logprob": -0.25,
            "compression_ratio": 1.5,
            "no_speech_prob": 0.125,
        },
        {**verbose["segments"][1], "id": 1, "start": 2.0, "end": 3.5, "tokens": [9]},
    ]


def test_verbose_json_tells_how_sure_the_model_is_of_a_detected_language() -> None:
    others = (("de", 0.25), ("yue", 0.125))
    detected = replace(TRANSCRIPT, language_probability=0.5, other_languages=others)

    verbose = answer(form("verbose_json"), detected)

    TranscriptionVerbose.model_validate(verbose, strict=True)
    assert verbose["language_probability"] == 0.5
    assert verbose["other_languages"] == [
        {"language": "german", "probability": 0.25},
        {"language": "cantonese", "probability": 0.125},
    ]
    assert "language_probability" not in answer(form("verbose_json"))


@pytest.mark.parametrize("shape", ["json", "verbose_json"])
@pytest.mark.parametrize("logprobs", [False, True])
def test_each_event_is_one_of_openais(shape: str, logprobs: bool) -> None:
    for event in events_of(form(shape, logprobs=logprobs)):
        EVENT_TYPES[event["type"]].model_validate(event, strict=True)


def test_the_last_event_has_the_usage_and_all_warnings() -> None:
    *_, done = events_of(form())

    assert done["text"] == "A ä"
    assert done["usage"] == {
        "type": "tokens",
        "input_tokens": 175,
        "output_tokens": 3,
        "total_tokens": 178,
        "seconds": 3.5,
    }
    assert done["warnings"] == ["first", "top_k has no effect"]


def test_events_have_the_log_probabilities_of_their_text() -> None:
    first, second, done = events_of(form(logprobs=True))

    assert [first["logprobs"], second["logprobs"]] == [LOGPROBS[:1], LOGPROBS[1:]]
    assert done["logprobs"] == LOGPROBS


def test_verbose_events_have_the_times_of_each_segment() -> None:
    first, whole, _, last, _ = events_of(form("verbose_json"))

    assert first == {"type": "transcript.text.delta", "delta": " A", "segment_id": "seg_0"}
    assert whole == {
        "type": "transcript.text.segment",
        "id": "seg_0",
        "start": 0.5,
        "end": 1.25,
        "text": " A",
        "speaker": "",
    }
    assert (last["end"], last["speaker"]) == (2.0, "channel 1")


@pytest.mark.parametrize("shape", ["json", "verbose_json"])
def test_a_server_answers_in_openais_types(server: Http, shape: str) -> None:
    kinds: dict[str, type[BaseModel]] = {
        "json": Transcription,
        "verbose_json": TranscriptionVerbose,
    }

    response = server.upload(tones_file(10, 20), response_format=shape)

    kinds[shape].model_validate_json(response.content, strict=True)


def test_a_server_streams_openais_events(server: Http) -> None:
    response = server.upload(tones_file(10, 20), stream="true", response_format="verbose_json")

    *blocks, done, end, rest = response.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    types = []
    for block in [*blocks, done]:
        event = json.loads(block.removeprefix("data: "))
        EVENT_TYPES[event["type"]].model_validate(event, strict=True)
        types.append(event["type"].rpartition(".")[2])
    assert types == ["delta", "segment", "delta", "segment", "done"]
