"""The routes of the HTTP door, as one ASGI application."""

from __future__ import annotations

import uuid

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...engine import State
from ..config import ServerConfig
from ..gateway import Gateway
from . import huggingface, openai
from .description import describe, to_page
from .endpoint import Endpoint, Handler, ToResponse, View, ViewEndpoint
from .errors import huggingface_error, openai_error

_REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID = 200  # characters of the caller's own
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HUGGINGFACE_PATHS = (
    "/",
    "/models/{model:path}/pipeline/automatic-speech-recognition",
    "/models/{model:path}",
    "/pipeline/automatic-speech-recognition",
    "/pipeline/automatic-speech-recognition/{model:path}",
)


def make_app(gateway: Gateway, config: ServerConfig) -> ASGIApp:
    """Return the application that answers for what is behind `gateway`."""
    description = describe()
    page = to_page(description)

    def endpoint(handler: Handler, to_response: ToResponse) -> Endpoint:
        return Endpoint(handler, to_response, gateway, config)

    def view(view: View, to_response: ToResponse) -> ViewEndpoint:
        return ViewEndpoint(view, to_response, gateway)

    async def show_description(request: Request) -> Response:
        return JSONResponse(description)

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page)

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def health(request: Request) -> Response:
        state = gateway.state
        code = 200 if state is State.READY else 503
        return JSONResponse({"status": state.value}, code)

    def show_metrics() -> Response:
        return Response(gateway.metrics.render(), media_type=_METRICS_TYPE)

    def models() -> Response:
        status = gateway.state.value
        return JSONResponse([{"id": name, "status": status} for name in gateway.models])

    def openai_models() -> Response:
        constant = {"object": "model", "created": 0, "owned_by": "talkmill"}
        models = [{"id": name, **constant} for name in gateway.models]
        return JSONResponse({"object": "list", "data": models})

    transcribe = endpoint(huggingface.transcribe, huggingface_error)
    routes = [
        Route("/live", live),
        Route("/health", health),
        Route("/openapi.json", show_description),
        Route("/docs", show_page),
        Route("/metrics", view(show_metrics, huggingface_error), methods=["GET"]),
        Route("/models", view(models, huggingface_error), methods=["GET"]),
        Route("/v1/models", view(openai_models, openai_error), methods=["GET"]),
        Route(
            "/v1/audio/transcriptions",
            endpoint(openai.transcriptions, openai_error),
            methods=["POST"],
        ),
        Route(
            "/v1/audio/translations", endpoint(openai.translations, openai_error), methods=["POST"]
        ),
        *(Route(path, transcribe, methods=["POST"]) for path in _HUGGINGFACE_PATHS),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_RequestIds)],
        exception_handlers={HTTPException: _no_such_route},
    )


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


class _RequestIds:
    """Gives every response an id: the caller's own, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get(_REQUEST_ID, "")[:_MAX_REQUEST_ID]
        request_id = given if given.isprintable() and given else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
