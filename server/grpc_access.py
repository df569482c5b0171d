"""Asks callers of a service that knows no tokens, such as reflection, for a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from .gateway import Gateway
from .grpc_errors import answer_or_status
from .grpc_guard import Q, R, ServiceGuard
from .grpc_messages import Context, metadata_of


class TokenGuard(ServiceGuard):
    """Authenticates the calls of a service whose methods take and give streams."""

    def __init__(self, gateway: Gateway, service_name: str) -> None:
        """Guard the service of this name."""
        super().__init__(frozenset({service_name}))
        self._gateway = gateway

    def guarded(self, handler: grpc.RpcMethodHandler[Q, R]) -> grpc.RpcMethodHandler[Q, R]:
        """Return the handler, which authenticates first."""
        return grpc.stream_stream_rpc_method_handler(
            self._authenticated(handler),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _authenticate(self, context: Context) -> None:
        self._gateway.authenticate(metadata_of(context), context.peer())

    def _authenticated(self, handler: Any) -> Any:
        async def behave(requests: object, context: Context) -> AsyncIterator[Any]:
            await answer_or_status(context, self._authenticate(context))
            async for response in handler.stream_stream(requests, context):
                yield response

        return behave
