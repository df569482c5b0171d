"""The HTTP interface as one ASGI application: its handlers and routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from ...engine import State
from ..config import ServerConfig
from ..gateway import Gateway
from . import huggingface, openai
from .body import BodyReader
from .description import describe, operations, to_page
from .endpoint import Endpoint, Handler, ToResponse, View, ViewEndpoint
from .errors import huggingface_error, openai_content, openai_error, printable
from .middleware import middleware
from .realtime import RealtimeEndpoint

REALTIME_PATH = "/v1/realtime"
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def make_app(gateway: Gateway, config: ServerConfig) -> Starlette:
    """Return the application that serves `gateway`: a route for each of `operations`."""
    description = describe()
    page = to_page(description)

    bodies = BodyReader(config)

    def endpoint(handler: Handler, to_response: ToResponse) -> Endpoint:
        return Endpoint(handler, to_response, gateway, bodies, config.http_timeout_s)

    def view(view: View, to_response: ToResponse, *, is_open: bool = False) -> ViewEndpoint:
        return ViewEndpoint(view, to_response, gateway, is_open=is_open)

    async def show_description(request: Request) -> Response:
        return JSONResponse(description)

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page)

    async def health(request: Request) -> Response:
        state = gateway.state
        code = 200 if state is State.READY else 503
        return JSONResponse({"status": state.value}, code)

    handlers: dict[str, Callable[..., Any]] = {
        "transcribe": endpoint(huggingface.transcribe, huggingface_error),
        "openai_transcriptions": endpoint(openai.transcriptions, openai_error),
        "openai_translations": endpoint(openai.translations, openai_error),
        "openai_models": view(_openai_models, openai_error),
        "openai_model": view(_openai_model, openai_error),
        "models": view(_models, huggingface_error),
        "metrics": view(_metrics, huggingface_error, is_open=config.open_metrics),
        "health": health,
        "live": _live,
        "description": show_description,
        "page": show_page,
    }
    realtime = WebSocketRoute(REALTIME_PATH, RealtimeEndpoint(gateway, config))
    routes: list[BaseRoute] = [
        # The name of a model may contain slashes, which only `:path` matches.
        Route(
            operation.path.replace("{model}", "{model:path}"),
            handlers[operation.handler],
            methods=[operation.method],
        )
        for operation in operations()
    ]
    return Starlette(
        routes=[*routes, realtime],
        middleware=middleware(config.cors_origins),
        exception_handlers={HTTPException: _no_such_route},
    )


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "live"})


def _metrics(gateway: Gateway, request: Request) -> Response:
    return Response(gateway.metrics.render(), media_type=_METRICS_TYPE)


def _models(gateway: Gateway, request: Request) -> Response:
    status = gateway.state.value
    return JSONResponse([{"id": name, "status": status} for name in gateway.models.names])


def _openai_models(gateway: Gateway, request: Request) -> Response:
    return JSONResponse({"object": "list", "data": list(map(_openai_object, gateway.models.names))})


def _openai_model(gateway: Gateway, request: Request) -> Response:
    name = request.path_params["model"]
    gateway.models.check(name)
    return JSONResponse(_openai_object(name))


def _openai_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "talkmill"}


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = printable(f"{request.method} {request.url.path}: {error.detail}")
    is_openai = request.url.path.startswith("/v1/")
    content = openai_content(message) if is_openai else message
    return JSONResponse({"error": content}, error.status_code, error.headers)
