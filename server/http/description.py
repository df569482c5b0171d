"""The OpenAPI description of the HTTP door, and a page that people can read.

The generation parameters come from their one definition, `PARAMETERS`.
"""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from typing import Any

from ...engine import PARAMETERS, Parameter, Task, VadMode
from .fields import IDLE
from .openai import FORMATS_OF_ANSWERS

Json = dict[str, Any]

_REFUSALS = {
    400: "The body is not what its type says, or no audio.",
    401: "No known bearer token.",
    404: "Another model than the one served.",
    413: "The audio is over a limit on bytes or seconds.",
    415: "The body is of a type that is never audio.",
    422: "An option is not known, out of range, or contradicts another.",
    429: "Too many requests at once; see retry-after.",
    500: "The model failed on this audio.",
    503: "The model is loading, or the server is draining; see retry-after.",
    504: "The time was up before the answer.",
}
_TEXT: Json = {"type": "string"}
_SECONDS: Json = {"type": "number", "description": "Seconds from the start of the audio."}


def describe() -> Json:
    """Return the description, as OpenAPI 3.1 has it."""
    huggingface = _huggingface_operation()
    named = {"name": "model", "in": "path", "required": True, "schema": _TEXT}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "talkmill",
            "version": version("talkmill"),
            "description": "Speech to text: the Hugging Face and the OpenAI schema.",
        },
        "paths": {
            "/": {"post": huggingface},
            "/models/{model}": {"post": huggingface, "parameters": [named]},
            "/pipeline/automatic-speech-recognition": {"post": huggingface},
            "/v1/audio/transcriptions": {"post": _openai_operation(Task.TRANSCRIBE)},
            "/v1/audio/translations": {"post": _openai_operation(Task.TRANSLATE)},
            "/v1/models": {"get": _read("The model that is served.", _object(data=_list({})))},
            "/models": {"get": _read("The model that is served.", _list({}))},
            "/health": {"get": _health("Whether requests are taken.")},
            "/live": {"get": _health("Whether the process answers.")},
            "/metrics": {"get": _read("What is counted, for Prometheus.", _TEXT, "text/plain")},
        },
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
    effect = f" Has an effect with: {parameter.idle_unless}." if parameter.idle_unless else ""
    return {
        "anyOf": [value, {"type": "null"}],
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
        "return_timestamps": {"type": "boolean", "description": "Give chunks with their times."},
        "language": {**_TEXT, "description": "Language spoken, e.g. en. Default: detected."},
        "task": {"enum": [task.value for task in Task]},
        "prompt": {**_TEXT, "description": "Text that came before."},
        "vad": {"enum": [mode.value for mode in VadMode]},
        **{name: {"description": f"Has no effect: {why}."} for name, why in IDLE.items()},
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
        "parameters": [_switch("x-use-cache", True), _switch("x-wait-for-model", False)],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": body},
                "audio/*": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": _content({**answer, "required": ["text"]}),
            **_refusals(_object(error=_TEXT, field=_TEXT, estimated_time={"type": "number"})),
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
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}},
        },
        "responses": {"200": ok, **_refusals(_object(error=details))},
    }


def _refusals(schema: Json) -> Json:
    return {
        str(code): {**_content(schema), "description": meaning}
        for code, meaning in _REFUSALS.items()
    }


def _read(meaning: str, schema: Json, media_type: str = "application/json") -> Json:
    ok = {"description": meaning, "content": {media_type: {"schema": schema}}}
    refused = {**_content(_object(error={})), "description": _REFUSALS[401]}
    return {"summary": meaning, "responses": {"200": ok, "401": refused}}


def _health(meaning: str) -> Json:
    answer = _content(_object(status=_TEXT))
    return {"summary": meaning, "security": [], "responses": {"200": answer, "503": answer}}


def _switch(name: str, default: bool) -> Json:
    schema = {"enum": ["true", "false"], "default": str(default).lower()}
    return {"name": name, "in": "header", "schema": schema}


def _content(schema: Json) -> Json:
    return {"description": "The answer.", "content": {"application/json": {"schema": schema}}}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def to_page(description: Json) -> str:
    """Return the description as a page of HTML that needs nothing else."""
    info = description["info"]
    parts = [f"<h1>{escape(info['title'])} {info['version']}</h1><p>{escape(info['description'])}"]
    parts.append('<p>For programs: <a href="openapi.json">openapi.json</a>.')
    for path, operations in description["paths"].items():
        for method in operations.keys() & {"get", "post"}:
            operation = operations[method]
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
