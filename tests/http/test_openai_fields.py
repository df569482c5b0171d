"""OpenAI's fields beyond the words: what is included, how audio is cut, who speaks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from starlette.datastructures import FormData, UploadFile

from fakes import tones_file
from http_calls import Http
from talkmill.engine import (
    InvalidOption,
    Task,
    TranscribeOptions,
    UnsupportedOption,
    VadMode,
    VadOptions,
)
from talkmill.server.http.openai_form import read_form
from talkmill.server.status import MalformedBody

TONE = tones_file(10)
ALL_THREE = {"threshold": 0.25, "silence_duration_ms": 300, "prefix_padding_ms": 0}


def options_of(*fields: tuple[str, str]) -> TranscribeOptions:
    """Return what a form with a file and these fields asks for."""
    form = FormData([("file", UploadFile(io.BytesIO())), *fields])
    return read_form(form, Task.TRANSCRIBE).options


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            [("chunking_strategy", json.dumps({"type": "server_vad", **ALL_THREE}))], id="JSON"
        ),
        pytest.param(
            [
                ("chunking_strategy[type]", "server_vad"),
                *((f"chunking_strategy[{name}]", str(value)) for name, value in ALL_THREE.items()),
            ],
            id="a field for each member",
        ),
    ],
)
def test_the_numbers_of_server_vad_are_vad_options(fields: list[tuple[str, str]]) -> None:
    assert options_of(*fields).vad_options == VadOptions(**ALL_THREE)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["auto", '"auto"', '{"type": "server_vad"}', "", "null"])
def test_an_automatic_strategy_is_the_default(text: str) -> None:
    options = options_of(("chunking_strategy", text))

    assert (options.vad, options.vad_options) == (VadMode.AUTO, VadOptions())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([("chunking_strategy", "never")], "chunking_strategy"),
        ([("chunking_strategy", "[]")], "chunking_strategy"),
        ([("chunking_strategy", '{"threshold": 0.5}')], "chunking_strategy"),
        ([("chunking_strategy[threshold]", "0.5")], "chunking_strategy"),
        ([("chunking_strategy", '{"type": "semantic_vad"}')], "chunking_strategy"),
        ([("chunking_strategy", '{"type": "server_vad", "eagerness": 1}')], "eagerness"),
        (
            [("chunking_strategy", "auto"), ("chunking_strategy[type]", "server_vad")],
            "chunking_strategy",
        ),
        (
            [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[type]", "server_vad")],
            "chunking_strategy[type]",
        ),
        ([("chunking_strategy", "auto"), ("vad", "off")], "chunking_strategy"),
        ([("include[]", "words")], "include[]"),
        ([("include[]", "logprobs"), ("response_format", "text")], "include[]"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_name(
    fields: list[tuple[str, str]], field: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        options_of(*fields)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("threshold", 1.5, "threshold"),
        ("threshold", "high", "threshold"),
        ("threshold", True, "threshold"),
        ("silence_duration_ms", 99, "silence_duration_ms"),
        ("silence_duration_ms", 500.5, "silence_duration_ms"),
        ("prefix_padding_ms", 501, "prefix_padding_ms"),
    ],
)
def test_a_number_of_server_vad_out_of_range_is_refused(
    server: Http, name: str, value: object, field: str
) -> None:
    strategy = json.dumps({"type": "server_vad", name: value})

    response = server.upload(TONE, vad="auto", chunking_strategy=strategy)

    assert response.status_code == 422
    assert response.json()["error"]["param"] == field
    assert str(value) in response.json()["error"]["message"]


def test_vad_options_without_vad_give_a_warning_each(server: Http) -> None:
    answer = server.ask(TONE, {"vad": "off", "vad_options": ALL_THREE}).json()

    assert [warning.split()[0] for warning in answer["warnings"]] == list(ALL_THREE)


def test_lists_of_openai_are_options_under_their_own_names() -> None:
    options = options_of(
        *(("keywords[]", "Kyiv"), ("keywords[]", "123"), ("hotwords", '["Lviv"]')),
        *(("languages[]", "en"), ("languages[]", "de"), ("include[]", "logprobs")),
    )

    assert options.hotwords == ("Kyiv", "123", "Lviv")
    assert options.languages == ("en", "de")
    assert options.token_logprobs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_format", "diarized_json"),
        ("known_speaker_names[]", "agent"),
        ("known_speaker_references[]", "data:audio/wav;base64,AAA="),
        ("known_speaker_names", "agent"),
    ],
)
def test_who_speaks_is_refused_with_the_reason(name: str, value: str) -> None:
    with pytest.raises(UnsupportedOption, match="speakers apart") as caught:
        options_of((name, value))

    assert caught.value.field == name


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_query_is_refused(server: Http, path: str) -> None:
    response = server.upload(TONE, f"{path}?language=en")

    assert (response.status_code, response.json()["error"]["param"]) == (422, "language")


@pytest.mark.parametrize("name", ["keywords[]", "chunking_strategy", "chunking_strategy[type]"])
def test_a_file_where_text_belongs_is_refused(name: str) -> None:
    form = FormData([("file", UploadFile(io.BytesIO())), (name, UploadFile(io.BytesIO()))])

    with pytest.raises(MalformedBody) as caught:
        read_form(form, Task.TRANSCRIBE)

    assert caught.value.field == name


def test_more_pauses_cut_the_speech_of_a_request_into_more_chunks(
    http: Callable[..., Http], sample: bytes
) -> None:
    server = http()

    def num_chunks(**strategy: object) -> int:
        server.model.forget()
        text = json.dumps({"type": "server_vad", **strategy})
        assert server.upload(sample, vad="auto", chunking_strategy=text).status_code == 200
        return len(server.model.bands)

    assert num_chunks(silence_duration_ms=100) > num_chunks() >= 1
    assert num_chunks(threshold=1.0) == 0
