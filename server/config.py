"""What the server can be told, as frozen data checked once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ..engine import EngineConfig, split_commas


class ServerConfig(EngineConfig):
    """The engine's settings and the server's own."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        50051, ge=0, le=65_535, description="Port to listen on for gRPC; 0 picks a free one."
    )
    http_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port to listen on for HTTP; 0 picks a free one. Default: no HTTP.",
    )
    auth_tokens_file: Path | None = Field(
        None,
        description="File with the tokens that callers need, a NAME:SHA256 in each line, as "
        "`talkmill token` makes them. Default: anyone on this machine may call.",
    )
    auth_tokens: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (), description="More of them, separated by commas."
    )
    allow_anonymous: bool = Field(
        False,
        description="Listen on an address that others can reach, and let anyone call.",
    )
    max_inline_bytes: int = Field(
        64 * 2**20,
        gt=0,
        le=2**29,
        description="Largest audio file in one Transcribe message or in JSON, in bytes; "
        "TranscribeStream and raw HTTP bodies take larger ones.",
    )
    http_timeout_s: float = Field(
        3600.0,
        gt=0,
        description="How long a request over HTTP may take from its first byte to its answer, in "
        "seconds; over gRPC the caller says.",
    )
    upload_timeout_s: float = Field(
        60.0, gt=0, description="How long HTTP waits for the next bytes of an upload, in seconds."
    )
    drain_timeout_s: float = Field(
        300.0,
        ge=0,
        description="How long SIGTERM waits for requests that were accepted, in seconds.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much to log, to standard error."
    )
