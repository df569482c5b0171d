"""Serves the RPCs, health and reflection on one port; the server starts and stops it."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from .config import ServerConfig
from .file_limit import file_limit
from .gateway import Gateway
from .grpc_access import TokenGuard
from .grpc_guard import OpenServicesGuard
from .grpc_health import HealthService
from .service import SERVICE_NAME, TranscriptionService

MAX_FILES = 2**20  # where the system sets no limit
MAX_PENDING_CALLS = 2**15
MAX_CALLS_PER_CONNECTION = 2**14
GRPC_DEFAULT_MESSAGE_BYTES = 4 * 2**20  # gRPC's own limit, which clients rely on


class GrpcListener:
    """A gRPC server on one port. Belongs to the event loop that it is made in."""

    def __init__(
        self, gateway: Gateway, config: ServerConfig, tls: grpc.ServerCredentials | None = None
    ) -> None:
        """Open the port; calls are answered after `start`, and health is not serving.

        Args:
            gateway: What answers.
            config: The settings.
            tls: The certificates; None for no encryption.

        Raises:
            OSError: The address is not available or the port is taken.
        """
        services = frozenset({health.SERVICE_NAME, reflection.SERVICE_NAME})
        guards: list[grpc.aio.ServerInterceptor] = [OpenServicesGuard(services)]
        if not config.open_reflection:
            guards.append(TokenGuard(gateway, reflection.SERVICE_NAME))
        self._server = grpc.aio.server(interceptors=guards, options=_options(config))
        self._server.add_generic_rpc_handlers([TranscriptionService(gateway, config).handler()])
        self._health = HealthService(("", SERVICE_NAME))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        address = config.address(config.port)
        try:
            self.port: int = (
                self._server.add_insecure_port(address)
                if tls is None
                else self._server.add_secure_port(address, tls)
            )
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error

    async def start(self) -> None:
        """Start answering calls."""
        await self._server.start()

    async def set_serving(self, is_serving: bool) -> None:
        """Report over `grpc.health.v1` whether calls are taken."""
        self._health.set_serving(is_serving)

    async def report_shutdown(self) -> None:
        """Report from now on that no calls are taken, whatever `set_serving` says."""
        self._health.shut_down()

    async def stop(self, grace_s: float) -> None:
        """Accept no new call, wait up to `grace_s` for those in progress, then cancel them."""
        await self._server.stop(grace_s)


def _options(config: ServerConfig) -> list[tuple[str, int]]:
    """Return gRPC's channel arguments; grpc/impl/channel_arg_names.h describes them."""
    options = {
        "so_reuseport": 0,  # otherwise two servers share a port without an error
        # Above our own limit: our error says what to do instead, gRPC's does not.
        "max_receive_message_length": _max_message_bytes(config),
        "max_send_message_length": -1,
        # Identity only. gRPC inflates a message before it looks at its limit on the length: a
        # kilobyte can become a megabyte. Audio is compressed already.
        "compression_enabled_algorithms_bitset": 1,
        # Calls that the event loop has not seen yet; further ones are answered with CANCELLED.
        "server.max_pending_requests": MAX_PENDING_CALLS,
        "server.max_pending_requests_hard_limit": MAX_PENDING_CALLS,
        # Far above `max_requests`: those who are over that are to be told so.
        "max_concurrent_streams": MAX_CALLS_PER_CONNECTION,
        "max_allowed_incoming_connections": _max_connections(config),
        "server_handshake_timeout_ms": 20_000,
        "max_connection_idle_ms": 600_000,
        # A connection whose client is gone is found within 80 s.
        "keepalive_time_ms": 60_000,
        "keepalive_timeout_ms": 20_000,
        # Clients may ping every 10 s, as meshes do, also without a call; one ping in 5 s is taken.
        "http2.min_ping_interval_without_data_ms": 5_000,
        "keepalive_permit_without_calls": 1,
    }
    if config.max_connection_age_s:
        options["max_connection_age_ms"] = round(1000 * config.max_connection_age_s)
        options["max_connection_age_grace_ms"] = round(1000 * config.max_connection_age_grace_s)
    return [(f"grpc.{name}", value) for name, value in options.items()]


def _max_connections(config: ServerConfig) -> int:
    return config.max_grpc_connections or max(1, min(file_limit(MAX_FILES), MAX_FILES) // 3)


def _max_message_bytes(config: ServerConfig) -> int:
    # A small inline limit must not refuse the pieces of a stream.
    return max(2 * config.max_inline_bytes, GRPC_DEFAULT_MESSAGE_BYTES)
