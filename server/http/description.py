"""The HTTP operations, their OpenAPI description, and the same as an HTML page.

`operations` is the one list of paths and methods: the description and the routes in `app` are both
made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.metadata import version

from ...engine import Task
from .schemas import (
    TEXT,
    Json,
    generation_schema,
    huggingface_answer,
    huggingface_body,
    huggingface_query,
    json_list,
    json_object,
    openai_answer,
    openai_form,
    openai_model,
)

_ERRORS = {
    400: "The body is malformed, or holds no audio that can be decoded.",
    401: "The bearer token is missing or unknown.",
    404: "No model of this name is served.",
    413: "The audio is over the limit on bytes or seconds.",
    415: "The body's media type cannot be audio.",
    422: "An option is unknown, out of range, or contradicts another.",
    429: "The server is at its limit of concurrent requests; see retry-after.",
    500: "The model failed on this audio.",
    503: "The model is loading, or the server is draining; see retry-after.",
    504: "The deadline passed before the answer.",
}
_MODEL_IN_PATH: Json = {"name": "model", "in": "path", "required": True, "schema": TEXT}
_CALL_HEADERS: list[Json] = [
    {"name": name, "in": "header", "schema": {"enum": ["true", "false"], "default": default}}
    for name, default in (("x-use-cache", "true"), ("x-wait-for-model", "false"))
]
_OPENAI_ERROR: Json = json_object(
    error=json_object(message=TEXT, type=TEXT, param={}, code={}),
)
_HUGGINGFACE_PATHS = (
    "/",
    "/predict",
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
    models = "The names of the model that is served."
    model_list = json_object(data=json_list(openai_model()))
    health = _health("Whether the server accepts requests.")
    metrics = _read("Metrics in Prometheus's text format.", TEXT, "text/plain")
    description = _public("This description, as OpenAPI.", {"type": "object"})
    page = _public("This description, as a page.", TEXT, "text/html")
    live = _public("Whether the process responds.", json_object(status=TEXT))
    return [
        *(Operation("POST", path, "transcribe", huggingface) for path in _HUGGINGFACE_PATHS),
        Operation("POST", "/v1/audio/transcriptions", "openai_transcriptions", transcriptions),
        Operation("POST", "/v1/audio/translations", "openai_translations", translations),
        Operation("GET", "/v1/models", "openai_models", _read(models, model_list)),
        Operation("GET", "/v1/models/{model}", "openai_model", _openai_model_operation()),
        Operation("GET", "/models", "models", _read(models, json_list({}))),
        Operation("GET", "/health", "health", health),
        Operation("GET", "/", "health", health),
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


def _huggingface_operation() -> Json:
    error = json_object(error=TEXT, field=TEXT, estimated_time={"type": "number"})
    return {
        "summary": "Transcribe, as the Hugging Face Inference API does",
        "parameters": [*_CALL_HEADERS, *huggingface_query()],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": huggingface_body()},
                "audio/*": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {"200": _content(huggingface_answer()), **_errors(error)},
    }


def _openai_operation(task: Task) -> Json:
    ok = _content(openai_answer())
    ok["content"]["text/plain"] = {"schema": TEXT}
    ok["content"]["text/event-stream"] = {"schema": TEXT}
    return {
        "summary": f"{task.value.capitalize()}, as OpenAI's API does",
        "parameters": _CALL_HEADERS,
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": openai_form()}},
        },
        "responses": {"200": ok, **_errors(_OPENAI_ERROR)},
    }


def _openai_model_operation() -> Json:
    """Return the operation that shows one model by its name."""
    operation = _read("A model by one of its names.", openai_model())
    unknown = {**_content(_OPENAI_ERROR), "description": _ERRORS[404]}
    return {**operation, "responses": {**operation["responses"], "404": unknown}}


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
    unauthenticated = {**_content(json_object(error={})), "description": _ERRORS[401]}
    return {"summary": meaning, "responses": {"200": ok, "401": unauthenticated}}


def _health(meaning: str) -> Json:
    answer = _content(json_object(status=TEXT))
    return {"summary": meaning, "security": [], "responses": {"200": answer, "503": answer}}


def _content(schema: Json) -> Json:
    return {"description": "The answer.", "content": {"application/json": {"schema": schema}}}


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
