"""Asks callers of a service that knows no tokens, such as reflection, for a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from .gateway import Gateway
from .grpc_errors import answer_or_status
from .grpc_messages import Context

Q = TypeVar("Q")
R = TypeVar("R")


class TokenGuard(grpc.aio.ServerInterceptor):
    """Authenticates the calls of a service whose methods take and give streams."""

    def __init__(self, gateway: Gateway, service_name: str) -> None:
        """Guard the service of this name."""
        self._gateway = gateway
        self._service_name = service_name

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Q, R] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, R] | None:
        """Return the handler of a call, which authenticates first if the service is guarded."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.split("/")[1]
        if handler is None or service != self._service_name:
            return handler
        return grpc.stream_stream_rpc_method_handler(
            self._authenticated(handler),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _authenticate(self, context: Context) -> None:
        pairs = context.invocation_metadata() or ()
        metadata = {name: value for name, value in pairs if isinstance(value, str)}
        self._gateway.authenticate(metadata, context.peer())

    def _authenticated(self, handler: Any) -> Any:
        async def behave(requests: object, context: Context) -> AsyncIterator[Any]:
            await answer_or_status(context, self._authenticate(context))
            async for response in handler.stream_stream(requests, context):
                yield response

        return behave
