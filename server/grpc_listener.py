"""Serves the RPCs, health and reflection on one port; the server starts and stops it."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from .config import ServerConfig
from .gateway import Gateway
from .grpc_access import TokenGuard
from .grpc_guard import OpenServicesGuard
from .service import SERVICE_NAME, TranscriptionService

GRPC_DEFAULT_MESSAGE_BYTES = 4 * 2**20  # gRPC's own limit, which clients rely on

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


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
        self._health = health.aio.HealthServicer()
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
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, is_serving: bool) -> None:
        """Report over `grpc.health.v1` whether calls are taken."""
        for name in ("", SERVICE_NAME):
            await self._health.set(name, _SERVING if is_serving else _NOT_SERVING)

    async def report_shutdown(self) -> None:
        """Report from now on that no calls are taken, whatever `set_serving` says."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Accept no new call, wait up to `grace_s` for those in progress, then cancel them."""
        await self._server.stop(grace_s)


def _options(config: ServerConfig) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", 0),  # otherwise two servers share a port without an error
        # Above our own limit: our error says what to do instead, gRPC's does not.
        ("grpc.max_receive_message_length", _max_message_bytes(config)),
        ("grpc.max_send_message_length", -1),
    ]


def _max_message_bytes(config: ServerConfig) -> int:
    # A small inline limit must not refuse the pieces of a stream.
    return max(2 * config.max_inline_bytes, GRPC_DEFAULT_MESSAGE_BYTES)
