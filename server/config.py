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
    host: str = Field(
        "127.0.0.1", description="Address to listen on; IPv6 with or without brackets."
    )
    port: int = Field(
        50051, ge=0, le=65_535, description="Port to listen on for gRPC; 0 picks a free one."
    )
    http_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port to listen on for HTTP; 0 picks a free one. Default: no HTTP.",
    )
    tls_cert: Path | None = Field(
        None,
        description="PEM file with the server's certificate and those between it and the root: "
        "gRPC and HTTP then speak TLS only. Read again when it changes, and on SIGHUP.",
    )
    tls_key: Path | None = Field(
        None,
        description="PEM file with the private key of tls_cert: RSA or ECDSA, no passphrase.",
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file with the roots of client certificates: only clients with a "
        "certificate from one of them are connected (mutual TLS).",
    )
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="Origins whose pages may call over HTTP from a browser (CORS), separated by "
        "commas, e.g. https://example.com; * for any. Default: none.",
    )
    auth_tokens_file: Path | None = Field(
        None,
        description="File with the tokens that clients need, one NAME:SHA256 per line, as printed "
        "by `talkmill token`. Read again when it changes, and on SIGHUP. Without tokens, host "
        "must be a loopback address unless tls_client_ca or allow_anonymous is set.",
    )
    auth_tokens: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (), description="More NAME:SHA256 entries, separated by commas."
    )
    max_requests_per_minute: float | None = Field(
        None,
        ge=1,
        description="Most requests of one token in a minute. After the token's entry, "
        "max_requests_per_minute=NUMBER sets its own limit. Default: no limit.",
    )
    max_audio_s_per_minute: float | None = Field(
        None,
        ge=1,
        description="Most audio transcribed for one token in a minute, in seconds; counted when "
        "its length is known, so that a long file delays the token's next request. After the "
        "token's entry, max_audio_s_per_minute=NUMBER sets its own limit. Default: no limit.",
    )
    open_metrics: bool = Field(
        False, description="Whether GET /metrics needs no token where tokens are set."
    )
    open_reflection: bool = Field(
        False, description="Whether gRPC's reflection service needs no token where tokens are set."
    )
    share_cache: bool = Field(
        False,
        description="Whether an answer from the cache may be one that was computed for another "
        "token. Then x-compute-type tells a caller that somebody has sent the same audio.",
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
        16 * 2**20,
        gt=0,
        le=2**29,
        description="Largest audio file in one Transcribe message or in JSON, in bytes; "
        "TranscribeStream and raw HTTP bodies allow up to max_audio_bytes.",
    )
    max_connections: int = Field(
        0,
        ge=0,
        description="Most connections over HTTP; at the limit a new one takes the place of the "
        "one that has been idle longest, or is refused with 503. 0: a third of the files that the "
        "process may open, since a request may need two and gRPC needs some.",
    )
    idle_timeout_s: float = Field(
        75.0,
        gt=0,
        description="How long a connection over HTTP may be without a request, in seconds: until "
        "the head of the first one is complete, and between two.",
    )
    max_uploads: int = Field(
        256,
        gt=0,
        description="Most uploads over HTTP that are open at the same time; further ones are "
        "refused as overload before they begin.",
    )
    max_grpc_connections: int = Field(
        0,
        ge=0,
        description="Most connections over gRPC; further ones are closed at once. 0: a third of "
        "the files that the process may open.",
    )
    max_connection_age_s: float = Field(
        0.0,
        ge=0,
        le=10**6,
        description="Age, give or take a tenth, at which a gRPC client is told to connect anew, "
        "so that clients spread over new replicas, in seconds. 0: no limit.",
    )
    max_connection_age_grace_s: float = Field(
        3600.0,
        ge=0,
        le=10**6,
        description="Longest time that open calls have on a connection that is too old, in "
        "seconds; then they are cancelled.",
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
        60.0,
        gt=0,
        description="Longest pause in an upload or in reading an answer over HTTP, and longest "
        "time of one gRPC message, in seconds.",
    )
    min_upload_bytes_per_s: float = Field(
        1000.0,
        gt=0,
        description="Slowest upload, in bytes per second from its start; a pause of "
        "upload_timeout_s is allowed on top.",
    )
    live_idle_s: float = Field(
        60.0,
        gt=0,
        description="Longest time for which a live session may be sent no audio, in seconds; then "
        "it ends.",
    )
    drain_timeout_s: float = Field(
        300.0,
        ge=0,
        description="Longest time to finish the accepted requests after SIGTERM, in seconds.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages to log, to standard error."
    )

    def address(self, port: int) -> str:
        """Return HOST:PORT; an IPv6 address is in brackets."""
        host = self.host.strip("[]")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
