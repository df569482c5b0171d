"""An option is an option everywhere: over each interface, in the description, in the cache's key.

The tables below must name every option, so that a new one cannot be forgotten in one of the places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from fakes import FakeModel, loaded, small_config, tokenizer_file, tones_file
from talkmill.engine import (
    Channels,
    EncoderWindow,
    Engine,
    GenerationParameters,
    Task,
    TranscribeOptions,
    UnsupportedOption,
    VadMode,
    VadOptions,
)
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.proto import transcription_pb2 as pb
from talkmill.server.convert import from_options, to_options
from talkmill.server.http import fields as http_fields
from talkmill.server.http.description import describe

BASE = TranscribeOptions(vad=VadMode.OFF)
# For each option of the engine a value other than that of BASE.
OTHER: dict[str, Any] = {
    "language": "en",
    "task": Task.TRANSLATE,
    "prompt": "one two",
    "vad": VadMode.ON,
    "timestamps": True,
    "words": True,
    "encoder_window": EncoderWindow.FULL,
    "languages": ("en", "de"),
    "hotwords": ("talkmill",),
    "channels": Channels.SPLIT,
    "token_logprobs": True,
    "vad_options": VadOptions(threshold=0.25),
    "parameters": GenerationParameters(num_beams=2),
}
# For each option of the wire, as JSON has it, a value other than the default.
OVER_HTTP: dict[str, Any] = {
    "return_timestamps": True,
    "language": "en",
    "task": "translate",
    "prompt": "one two",
    "vad": "off",
    "encoder_window": "full",
    "languages": ["en", "de"],
    "hotwords": ["talkmill"],
    "channels": "split",
    "token_logprobs": True,
    "vad_options": {"threshold": 0.25},
    "num_beams": 2,
}
PARAMETERS = "generation_parameters"  # a message of its own; over HTTP its fields stand alone
WIRE_OPTIONS = [field.name for field in pb.TranscribeOptions.DESCRIPTOR.fields]


def other_values(field: Any) -> Iterator[Any]:
    """Yield values of a wire field that are not its default."""
    if field.name == PARAMETERS:
        yield pb.GenerationParameters(num_beams=2)
    elif field.name == "vad_options":
        yield pb.VadOptions(threshold=0.25)
    elif field.enum_type is not None:
        yield from (value.number for value in field.enum_type.values if value.number)
    else:
        yield {FieldDescriptor.CPPTYPE_STRING: "en", FieldDescriptor.CPPTYPE_BOOL: True}.get(
            field.cpp_type, 1
        )


def is_heeded(name: str, value: Any) -> bool:
    try:
        return to_options(pb.TranscribeOptions(**{name: value})) != TranscribeOptions()
    except UnsupportedOption:
        return True


def test_the_values_here_are_for_every_option() -> None:
    assert list(OTHER) == [field.name for field in fields(TranscribeOptions)]
    assert OVER_HTTP.keys() - {"num_beams"} == set(WIRE_OPTIONS) - {PARAMETERS}


@pytest.mark.parametrize("name", WIRE_OPTIONS)
def test_no_option_of_the_wire_is_ignored(name: str) -> None:
    field = pb.TranscribeOptions.DESCRIPTOR.fields_by_name[name]

    assert any(is_heeded(name, value) for value in other_values(field))


@pytest.mark.parametrize("name", OTHER)
def test_each_option_survives_the_wire(name: str) -> None:
    options = replace(BASE, **{name: OTHER[name]})

    assert to_options(from_options(options)) == options != BASE


@pytest.mark.parametrize("name", OVER_HTTP)
def test_each_option_is_honoured_over_http(name: str) -> None:
    options, warnings = http_fields.to_options({name: OVER_HTTP[name]})

    assert options != TranscribeOptions()
    assert warnings == ()


def test_each_option_is_in_the_description() -> None:
    content = describe()["paths"]["/"]["post"]["requestBody"]["content"]
    parameters = content["application/json"]["schema"]["properties"]["parameters"]["properties"]

    assert parameters.keys() >= set(WIRE_OPTIONS)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with a cache that has answered BASE; its model knows two languages."""
    folder: Path = tmp_path_factory.mktemp("model")
    path = tokenizer_file(folder, languages=["de"])
    model = FakeModel(WhisperTokenizer(path, is_multilingual=True))
    with Engine(small_config(cache_bytes=2**20), model=loaded(model)) as engine:
        engine.transcribe(tones_file(10), BASE)
        assert engine.transcribe(tones_file(10), BASE).is_cached
        yield engine


@pytest.mark.parametrize("name", OTHER)
def test_each_option_makes_another_question_to_the_cache(name: str, engine: Engine) -> None:
    options = replace(BASE, **{name: OTHER[name]})

    assert not engine.transcribe(tones_file(10), options).is_cached
