"""What a WebSocket says before it is accepted: where it comes from, its token, what it wants."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.websockets import WebSocket

from ...engine import InvalidOption
from ..status import ForbiddenOrigin
from .realtime_config import RealtimeConfig

SUBPROTOCOL = "realtime"
# A browser cannot set headers; OpenAI's own convention for its token among the sub-protocols.
_TOKEN_PREFIX = "openai-insecure-api-key."
_QUERY = {"intent", "model", "token"}


def headers_of(socket: WebSocket) -> dict[str, str]:
    """Return a connection's headers, with its token as `authorization` wherever it is."""
    headers = dict(socket.headers)
    protocols = socket.scope.get("subprotocols", [])
    named = [one.removeprefix(_TOKEN_PREFIX) for one in protocols if one.startswith(_TOKEN_PREFIX)]
    tokens = [*named, *socket.query_params.getlist("token")]
    if "authorization" not in headers and tokens:
        headers["authorization"] = f"Bearer {tokens[0]}"
    return headers


def subprotocol_of(socket: WebSocket) -> str | None:
    """Return the sub-protocol that is spoken, if the client named any that is known."""
    return SUBPROTOCOL if SUBPROTOCOL in socket.scope.get("subprotocols", []) else None


def check_origin(socket: WebSocket, allowed: tuple[str, ...]) -> None:
    """Refuse a browser's page of another site: browsers let any page open a WebSocket.

    Raises:
        ForbiddenOrigin: The origin is neither the server's own nor allowed.
    """
    origin = socket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        host = ""
    if not host or host != socket.headers.get("host"):
        raise ForbiddenOrigin(f"origin {origin!r} is not one of cors_origins", "origin")


def config_of(socket: WebSocket) -> RealtimeConfig:
    """Return the session that the address asks for.

    Raises:
        InvalidOption: A name in the query is unknown, or the intent is not transcription.
    """
    for name in socket.query_params.keys() - _QUERY:
        raise InvalidOption(f"{name} in the query is unknown", name)
    intent = socket.query_params.get("intent", "transcription")
    if intent != "transcription":
        raise InvalidOption(f"intent {intent!r} is not transcription", "intent")
    return RealtimeConfig(model=socket.query_params.get("model", ""))
