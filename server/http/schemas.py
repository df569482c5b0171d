"""The JSON schemas of requests and answers, for the OpenAPI description.

The generation parameters come from `PARAMETERS`.
"""

from __future__ import annotations

from typing import Any

from ...engine import PARAMETERS, Channels, Parameter, Task
from .fields import WITHOUT_EFFECT
from .openai_form import FORMATS_OF_ANSWERS
from .option_schemas import shared_options

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
_BOOLEAN: Json = {"type": "boolean"}
_INTEGER: Json = {"type": "integer"}
_NUMBER: Json = {"type": "number"}
_CHANNEL: Json = {**_INTEGER, "description": "Its channel, from 0, if channels are split."}
_SECONDS: Json = {"type": "number", "description": "Seconds from the start of the audio."}


def json_object(**properties: Json) -> Json:
    """Return the schema of an object."""
    return {"type": "object", "properties": properties}


def json_list(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def _whole(**properties: Json) -> Json:
    """Return the schema of an object that has all of its properties."""
    return {**json_object(**properties), "required": list(properties)}


_VAD_OPTIONS: Json = {
    **json_object(
        threshold={
            **_NUMBER,
            "minimum": 0,
            "maximum": 1,
            "description": "Probability at which speech starts. Default: 0.5.",
        },
        silence_duration_ms={
            **_INTEGER,
            "minimum": 100,
            "maximum": 30_000,
            "description": "The pause that ends a chunk. Default: 1500 to 500, by its length.",
        },
        prefix_padding_ms={
            **_INTEGER,
            "minimum": 0,
            "maximum": 500,
            "description": "Audio that is kept before speech. Default: 200.",
        },
    ),
    "additionalProperties": False,
    "description": "How speech is detected and cut.",
}
# Options of both schemas.
_OPTIONS: Json = {
    **shared_options(),
    "channels": {"enum": [channels.value for channels in Channels]},
}
_LOGPROB = _whole(token=TEXT, logprob=_NUMBER, bytes=json_list(_INTEGER))
_OTHER_LANGUAGES = json_list(json_object(language=TEXT, probability=_NUMBER))
_LOGPROBS: Json = {
    **json_list(_LOGPROB),
    "description": "The tokens of the text, if the request asks for them.",
}


def generation_schema() -> Json:
    """Return the schema of the generation parameters."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {parameter.name: _parameter(parameter) for parameter in PARAMETERS},
    }


def _parameter(parameter: Parameter) -> Json:
    value = _range(parameter)
    if parameter.is_list:
        value = json_list(value)
    choices = [value, json_list(value)] if parameter.or_list else [value]
    effect = f" Has an effect with: {parameter.idle_unless}." if parameter.idle_unless else ""
    return {
        "anyOf": [*choices, {"type": "null"}],
        "description": f"{parameter.meaning} Default: {parameter.default}.{effect}",
    }


def _range(parameter: Parameter) -> Json:
    limits = parameter.range
    if limits.kind is bool:
        also = [{"const": limits.also}] if limits.also else []
        return {"anyOf": [_BOOLEAN, *also]}
    return {
        "type": "integer" if limits.kind is int else "number",
        "exclusiveMinimum" if limits.above_low else "minimum": limits.low,
        "exclusiveMaximum" if limits.below_high else "maximum": limits.high,
    }


def _huggingface_parameters() -> Json:
    """Return the schema of each parameter of HF's schema, by its name."""
    generation = {"$ref": "#/components/schemas/GenerationParameters"}
    return {
        "return_timestamps": {"enum": [True, False, "word"], "description": "Chunks with times."},
        "return_language": {**_BOOLEAN, "description": "Return chunks with their languages."},
        "task": {"enum": [task.value for task in Task]},
        **_OPTIONS,
        "token_logprobs": {**_BOOLEAN, "description": "Return the tokens of the text."},
        "vad_options": _VAD_OPTIONS,
        **{name: {"description": f"Has no effect: {why}."} for name, why in WITHOUT_EFFECT.items()},
        **generation_schema()["properties"],
        "generation_parameters": generation,
        "generate_kwargs": generation,
    }


def huggingface_body() -> Json:
    """Return the schema of HF's JSON."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["inputs"],
        "properties": {
            "inputs": {
                **TEXT,
                "contentEncoding": "base64",
                "description": "The audio file; also as a data: URI.",
            },
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "properties": _huggingface_parameters(),
            },
            "options": json_object(use_cache=_BOOLEAN, wait_for_model=_BOOLEAN),
        },
    }


def huggingface_query() -> list[Json]:
    """Return the parameters of HF's schema as those of a query."""
    return [
        {
            "name": name,
            "in": "query",
            "description": "As in the JSON; what is no text or name is written as JSON.",
            "content": {"application/json": {"schema": schema}},
        }
        for name, schema in _huggingface_parameters().items()
    ]


def huggingface_answer() -> Json:
    """Return the schema of an answer in HF's schema."""
    times = json_list({"anyOf": [_SECONDS, {"type": "null"}]})
    chunk = {
        **json_object(
            text=TEXT, timestamp=times, timestamps=times, language=TEXT, channel=_CHANNEL
        ),
        "required": ["text"],
    }
    answer = json_object(
        text=TEXT,
        chunks=json_list(chunk),
        language_probability=_NUMBER,
        other_languages=_OTHER_LANGUAGES,
        logprobs=_LOGPROBS,
        warnings=json_list(TEXT),
    )
    return {**answer, "required": ["text"]}


def openai_form() -> Json:
    """Return the schema of OpenAI's form."""
    server_vad = {
        "type": "object",
        "additionalProperties": False,
        "required": ["type"],
        "properties": {"type": {"const": "server_vad"}, **_VAD_OPTIONS["properties"]},
    }
    return {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "model": {**TEXT, "description": "A name of GET /v1/models; empty for any."},
            **_OPTIONS,
            "response_format": {"enum": list(FORMATS_OF_ANSWERS)},
            "stream": {**_BOOLEAN, "description": "Answer in server-sent events."},
            "timestamp_granularities[]": json_list({"enum": ["segment", "word"]}),
            "include[]": {
                **json_list({"enum": ["logprobs"]}),
                "description": "What else the answer has, with response_format json.",
            },
            "chunking_strategy": {
                "anyOf": [{"const": "auto"}, server_vad],
                "description": "How speech is detected and cut: JSON, or a field for each member, "
                "such as chunking_strategy[threshold].",
            },
            "keywords[]": {**json_list(TEXT), "description": "OpenAI's name of hotwords."},
            "languages[]": {**json_list(TEXT), "description": "OpenAI's name of languages."},
            **generation_schema()["properties"],
        },
    }


def openai_answer() -> Json:
    """Return the schema of an answer in OpenAI's schema: json and verbose_json."""
    segment = _whole(
        id=_INTEGER,
        seek=_INTEGER,
        start=_SECONDS,
        end=_SECONDS,
        text=TEXT,
        tokens=json_list(_INTEGER),
        temperature=_NUMBER,
        avg_logprob=_NUMBER,
        compression_ratio=_NUMBER,
        no_speech_prob=_NUMBER,
    )
    word = _whole(word=TEXT, start=_SECONDS, end=_SECONDS, probability=_NUMBER)
    for piece in (segment, word):
        piece["properties"]["channel"] = _CHANNEL
    answer = json_object(
        text=TEXT,
        usage=_whole(type={"const": "duration"}, seconds=_NUMBER),
        task={"enum": [task.value for task in Task]},
        language=TEXT,
        language_probability=_NUMBER,
        other_languages=_OTHER_LANGUAGES,
        duration=_NUMBER,
        segments=json_list(segment),
        words=json_list(word),
        logprobs=_LOGPROBS,
        warnings=json_list(TEXT),
    )
    return {**answer, "required": ["text", "usage"]}


def openai_model() -> Json:
    """Return the schema of a model in OpenAI's schema."""
    return _whole(id=TEXT, object={"const": "model"}, created=_INTEGER, owned_by=TEXT)
