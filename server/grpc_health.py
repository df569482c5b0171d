"""`grpc.health.v1.Health`: whether the server takes calls.

The service of grpcio-health-checking holds a lock while it writes to a watcher: one who does not
read keeps everyone from setting the status, and so the server from its drain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from .grpc_messages import Context


class HealthService(HealthServicer):  # type: ignore[misc]
    """The same status for some services; watchers are told of changes."""

    def __init__(self, service_names: Iterable[str]) -> None:
        """Take the names that may be asked about; "" is the whole server. None is serving yet."""
        self._names = frozenset(service_names)
        self._status = HealthCheckResponse.NOT_SERVING
        self._is_ending = False
        self._changed = asyncio.Event()

    def shut_down(self) -> None:
        """Set the status to not serving for good."""
        self._is_ending = True
        self.set_serving(False)

    def set_serving(self, is_serving: bool) -> None:
        """Set the status, and tell the watchers."""
        is_serving = is_serving and not self._is_ending
        self._status = (
            HealthCheckResponse.SERVING if is_serving else HealthCheckResponse.NOT_SERVING
        )
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        """Return the status of a service."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the service is unknown")
        return HealthCheckResponse(status=self._status)

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        """Write the status of a service now and whenever it changes."""
        while True:
            changed = self._changed
            is_known = request.service in self._names
            status = self._status if is_known else HealthCheckResponse.SERVICE_UNKNOWN
            await context.write(HealthCheckResponse(status=status))
            await changed.wait()
