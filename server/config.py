"""The server's settings, validated once and then immutable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ..engine import EngineConfig, split_commas


class ServerConfig(EngineConfig):
    """Settings of a server: the engine's and its own."""

    max_queue_s: float = Field(
        10.0, ge=0, description=EngineConfig.model_fields["max_queue_s"].description
    )
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
        description="File with the tokens that clients need, one NAME:SHA256 per line, as printed "
        "by `talkmill token`. Without tokens, host must be a loopback address unless "
        "allow_anonymous is set.",
    )
    auth_tokens: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (), description="More NAME:SHA256 entries, separated by commas."
    )
    allow_anonymous: bool = Field(
        False,
        description="Accept calls without a token on an address that other machines can reach.",
    )
    served_names: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        ("whisper-1",),
        description="More names that the model answers to, separated by commas, so that clients "
        "stay as they are, e.g. whisper-1,gpt-4o-transcribe,openai/whisper-large-v3. A request "
        "for another name is refused.",
    )
    max_inline_bytes: int = Field(
        64 * 2**20,
        gt=0,
        le=2**29,
        description="Largest audio file in one Transcribe message or in JSON, in bytes; "
        "TranscribeStream and raw HTTP bodies allow up to max_audio_bytes.",
    )
    http_timeout_s: float = Field(
        3600.0,
        gt=0,
        description="Longest time of an HTTP request from its first byte to its answer, in "
        "seconds; over gRPC the client's deadline applies.",
    )
    loading_wait_s: float = Field(
        1.0,
        ge=0,
        description="How long an HTTP request waits for a model that is loading before it is "
        "refused with 503, in seconds; some clients repeat a refused request at once.",
    )
    upload_timeout_s: float = Field(
        60.0, gt=0, description="Longest pause in an upload over HTTP, in seconds."
    )
    drain_timeout_s: float = Field(
        300.0,
        ge=0,
        description="Longest time to finish the accepted requests after SIGTERM, in seconds.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages to log, to standard error."
    )
