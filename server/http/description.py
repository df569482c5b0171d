"""The HTTP operations, their OpenAPI description, and the same as an HTML page.

`operations` is the one list of paths and methods: the description and the routes in `app` are both
made from it. The generation parameters come from `PARAMETERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from typing import Any

from ...engine import PARAMETERS, EncoderWindow, Parameter, Task, VadMode
from .fields import WITHOUT_EFFECT
from .openai import FORMATS_OF_ANSWERS

Json = dict[str, Any]

_ERRORS = {
    400: "The body is malformed, or holds no audio that can be decoded.",
    401: "The bearer token is missing or unknown.",
    404: "The model named is not the one served.",
    413: "The audio is over the limit on bytes or seconds.",
    415: "The body's media type cannot be audio.",
    422: "An option is unknown, out of range, or contradicts another.",
    429: "The server is at its limit of concurrent requests; see retry-after.",
    500: "The model failed on this audio.",
    503: "The model is loading, or the server is draining; see retry-after.",
    504: "The deadline passed before the answer.",
}
_TEXT: Json = {"type": "string"}
_SECONDS: Json = {"type": "number", "description": "Seconds from the start of the audio."}
_MODEL_IN_PATH: Json = {"name": "model", "in": "path", "required": True, "schema": _TEXT}
_CALL_HEADERS: list[Json] = [
    {"name": name, "in": "header", "schema": {"enum": ["true", "false"], "default": default}}
    for name, default in (("x-use-cache", "true"), ("x-wait-for-model", "false"))
]
_HUGGINGFACE_PATHS = (
    "/",
    "/models/{model}/pipeline/automatic-speech-recognition",
    "/models/{model}",
    "/pipeline/automatic-speech-recognition",
    "/pipeline/automatic-speech-recognition/{model}",
)


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method: "GET" or "POST".
        path: As OpenAPI writes it. `{model}` is the name of a model, which may contain slashes.
        handler: The key of its handler in `app`.
        document: Its OpenAPI operation object.
    """

    method: str
    path: str
    handler: str
    document: Json


def operations() -> list[Operation]:
    """Return every operation; the first path that matches a request gets it."""
    huggingface = _huggingface_operation()
    transcriptions = _openai_operation(Task.TRANSCRIBE)
    translations = _openai_operation(Task.TRANSLATE)
    model = "The model that is served."
    metrics = _read("Metrics in Prometheus's text format.", _TEXT, "text/plain")
    description = _public("This description, as OpenAPI.", {"type": "object"})
    page = _public("This description, as a page.", _TEXT, "text/html")
    live = _public("Whether the process responds.", _object(status=_TEXT))
    return [
        *(Operation("POST", path, "transcribe", huggingface) for path in _HUGGINGFACE_PATHS),
        Operation("POST", "/v1/audio/transcriptions", "openai_transcriptions", transcriptions),
        Operation("POST", "/v1/audio/translations", "openai_translations", translations),
        Operation("GET", "/v1/models", "openai_models", _read(model, _object(data=_list({})))),
        Operation("GET", "/models", "models", _read(model, _list({}))),
        Operation("GET", "/health", "health", _health("Whether the server accepts requests.")),
        Operation("GET", "/live", "live", live),
        Operation("GET", "/metrics", "metrics", metrics),
        Operation("GET", "/openapi.json", "description", description),
        Operation("GET", "/docs", "page", page),
    ]


def describe() -> Json:
    """Return the OpenAPI 3.1 description of `operations`."""
    paths: Json = {}
    for operation in operations():
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = operation.document
        if "{model}" in operation.path:
            item["parameters"] = [_MODEL_IN_PATH]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "talkmill",
            "version": version("talkmill"),
            "description": "Speech to text: the Hugging Face and the OpenAI schema.",
        },
        "paths": paths,
        "components": {
            "schemas": {"GenerationParameters": generation_schema()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def generation_schema() -> Json:
    """Return the JSON schema of the generation parameters."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {parameter.name: _parameter(parameter) for parameter in PARAMETERS},
    }


def _parameter(parameter: Parameter) -> Json:
    value = _range(parameter)
    if parameter.is_list:
        value = _list(value)
    choices = [value, _list(value)] if parameter.or_list else [value]
    effect = f" Has an effect with: {parameter.idle_unless}." if parameter.idle_unless else ""
    return {
        "anyOf": [*choices, {"type": "null"}],
        "description": f"{parameter.meaning} Default: {parameter.default}.{effect}",
    }


def _range(parameter: Parameter) -> Json:
    limits = parameter.range
    if limits.kind is bool:
        also = [{"const": limits.also}] if limits.also else []
        return {"anyOf": [{"type": "boolean"}, *also]}
    return {
        "type": "integer" if limits.kind is int else "number",
        "exclusiveMinimum" if limits.above_low else "minimum": limits.low,
        "exclusiveMaximum" if limits.below_high else "maximum": limits.high,
    }


def _huggingface_operation() -> Json:
    generation = {"$ref": "#/components/schemas/GenerationParameters"}
    options = {
        "return_timestamps": {"type": "boolean", "description": "Return chunks with their times."},
        "language": {**_TEXT, "description": "Language spoken, e.g. en. Default: detected."},
        "task": {"enum": [task.value for task in Task]},
        "prompt": {**_TEXT, "description": "Text that precedes the audio."},
        "vad": {"enum": [mode.value for mode in VadMode]},
        "encoder_window": {"enum": [kind.value for kind in EncoderWindow]},
        **{name: {"description": f"Has no effect: {why}."} for name, why in WITHOUT_EFFECT.items()},
    }
    properties = generation_schema()["properties"]
    parameters = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **options,
            **properties,
            "generation_parameters": generation,
            "generate_kwargs": generation,
        },
    }
    body = {
        "type": "object",
        "additionalProperties": False,
        "required": ["inputs"],
        "properties": {
            "inputs": {**_TEXT, "contentEncoding": "base64", "description": "The audio file."},
            "parameters": parameters,
            "options": _object(use_cache={"type": "boolean"}, wait_for_model={"type": "boolean"}),
        },
    }
    chunk = _object(
        text=_TEXT,
        timestamp=_list({"anyOf": [_SECONDS, {"type": "null"}]}),
        timestamps=_list({"anyOf": [_SECONDS, {"type": "null"}]}),
    )
    answer = _object(text=_TEXT, chunks=_list(chunk), warnings=_list(_TEXT))
    return {
        "summary": "Transcribe, as the Hugging Face Inference API does",
        "parameters": _CALL_HEADERS,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": body},
                "audio/*": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": _content({**answer, "required": ["text"]}),
            **_errors(_object(error=_TEXT, field=_TEXT, estimated_time={"type": "number"})),
        },
    }


def _openai_operation(task: Task) -> Json:
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "model": {**_TEXT, "description": "The model served, or whisper-1 for any."},
            "language": _TEXT,
            "prompt": _TEXT,
            "vad": {"enum": [mode.value for mode in VadMode]},
            "encoder_window": {"enum": [kind.value for kind in EncoderWindow]},
            "response_format": {"enum": list(FORMATS_OF_ANSWERS)},
            "stream": {"type": "boolean", "description": "Answer in server-sent events."},
            "timestamp_granularities[]": _list({"enum": ["segment"]}),
            **generation_schema()["properties"],
        },
    }
    answer = _object(text=_TEXT, segments=_list({}), warnings=_list(_TEXT))
    ok = _content(answer)
    ok["content"]["text/plain"] = {"schema": _TEXT}
    ok["content"]["text/event-stream"] = {"schema": _TEXT}
    details = _object(message=_TEXT, type=_TEXT, param={}, code={})
    return {
        "summary": f"{task.value.capitalize()}, as OpenAI's API does",
        "parameters": _CALL_HEADERS,
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}},
        },
        "responses": {"200": ok, **_errors(_object(error=details))},
    }


def _errors(schema: Json) -> Json:
    return {
        str(code): {**_content(schema), "description": meaning} for code, meaning in _ERRORS.items()
    }


def _public(meaning: str, schema: Json, media_type: str = "application/json") -> Json:
    """Return an operation that needs no token and has one answer."""
    ok = {"description": meaning, "content": {media_type: {"schema": schema}}}
    return {"summary": meaning, "security": [], "responses": {"200": ok}}


def _read(meaning: str, schema: Json, media_type: str = "application/json") -> Json:
    """Return an operation that needs a token and has one answer."""
    ok = {"description": meaning, "content": {media_type: {"schema": schema}}}
    unauthenticated = {**_content(_object(error={})), "description": _ERRORS[401]}
    return {"summary": meaning, "responses": {"200": ok, "401": unauthenticated}}


def _health(meaning: str) -> Json:
    answer = _content(_object(status=_TEXT))
    return {"summary": meaning, "security": [], "responses": {"200": answer, "503": answer}}


def _content(schema: Json) -> Json:
    return {"description": "The answer.", "content": {"application/json": {"schema": schema}}}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def to_page(description: Json) -> str:
    """Return the description as one HTML page without external resources."""
    info = description["info"]
    parts = [f"<h1>{escape(info['title'])} {info['version']}</h1><p>{escape(info['description'])}"]
    parts.append('<p>For programs: <a href="openapi.json">openapi.json</a>.')
    for path, item in description["paths"].items():
        for method in item.keys() & {"get", "post"}:
            operation = item[method]
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation['summary'])}")
            content = operation.get("requestBody", {}).get("content", {})
            parts += [
                f"<h3>{escape(kind)}</h3>{_property_list(body['schema'])}"
                for kind, body in content.items()
            ]
            answers = operation["responses"].items()
            rows = (f"<li>{code}: {escape(answer['description'])}" for code, answer in answers)
            parts.append(f"<details><summary>Statuses</summary><ul>{''.join(rows)}</ul></details>")
    body = "\n".join(parts)
    style = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>talkmill</title>'
        f"<style>{style}</style><body>{body}</body></html>"
    )


def _property_list(schema: Json) -> str:
    rows = []
    for name, value in schema.get("properties", {}).items():
        meaning = escape(value.get("description", ""))
        rows.append(f"<li><code>{escape(name)}</code> {meaning}{_property_list(value)}")
    return f"<ul>{''.join(rows)}</ul>" if rows else ""
