"""What the server can be told, as frozen data checked once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from talkmill.engine import EngineConfig


class ServerConfig(EngineConfig):
    """The engine's settings and the server's own."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    max_inline_bytes: int = Field(
        64 * 2**20,
        gt=0,
        le=2**29,
        description="Largest audio file in one Transcribe message, in bytes; "
        "TranscribeStream takes larger ones.",
    )
    drain_timeout_s: float = Field(
        300.0,
        ge=0,
        description="How long SIGTERM waits for requests that were accepted, in seconds.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much to log, to standard error."
    )
