"""Bounds the services that need no token, health and reflection, in time, size and number.

What has arrived of a message stays in memory until the rest is there, so the rest must come soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from .grpc_messages import Context

MESSAGE_S = 2.0  # for the message of a call to arrive, which fits one packet
IDLE_S = 10.0  # between the messages of one call
MAX_MESSAGE_BYTES = 4096
MAX_STREAMS = 1000  # calls that stay open: health that is watched, reflection

Q = TypeVar("Q")
R = TypeVar("R")
Behavior = Callable[[object, Context], Awaitable[Any]]


class ServiceGuard(grpc.aio.ServerInterceptor):
    """Changes the handlers of some services; see `guarded`."""

    def __init__(self, service_names: frozenset[str]) -> None:
        """Guard the services of these names."""
        self._service_names = service_names

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Q, R] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, R] | None:
        """Return the handler of a call, `guarded` if it is of one of the services."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.split("/")[1]
        if handler is None or service not in self._service_names:
            return handler
        return self.guarded(handler)

    def guarded(self, handler: grpc.RpcMethodHandler[Q, R]) -> grpc.RpcMethodHandler[Q, R]:
        """Return what answers in place of the handler."""
        raise NotImplementedError


class OpenServicesGuard(ServiceGuard):
    """Reads the messages of some services itself, within bounds."""

    def __init__(self, service_names: frozenset[str]) -> None:
        """Guard the services of these names."""
        super().__init__(service_names)
        self._num_streams = 0

    def guarded(self, handler: grpc.RpcMethodHandler[Q, R]) -> grpc.RpcMethodHandler[Q, R]:
        """Return the handler with the bounds around it."""
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                _answer_one(handler), response_serializer=handler.response_serializer
            )
        behavior = _stream(handler) if handler.request_streaming else _answer_many(handler)
        return grpc.stream_stream_rpc_method_handler(
            self._if_few(behavior), response_serializer=handler.response_serializer
        )

    def _if_few(self, behavior: Behavior) -> Any:
        async def behave(requests: object, context: Context) -> None:
            if self._num_streams >= MAX_STREAMS:
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"over the limit of {MAX_STREAMS} open calls to health and reflection",
                )
            self._num_streams += 1
            try:
                await behavior(requests, context)
            except grpc.aio.AbortError:
                raise
            except grpc.aio.BaseError:  # a write to a client that is gone
                raise asyncio.CancelledError from None
            finally:
                self._num_streams -= 1

        return behave


def _answer_one(handler: Any) -> Any:
    async def behave(_: object, context: Context) -> Any:
        return await handler.unary_unary(await _only_message(handler, context), context)

    return behave


def _answer_many(handler: Any) -> Behavior:
    async def behave(_: object, context: Context) -> None:
        await handler.unary_stream(await _only_message(handler, context), context)

    return behave


def _stream(handler: Any) -> Behavior:
    async def requests(context: Context) -> AsyncIterator[Any]:
        try:
            while (message := await _message(handler, context, IDLE_S)) is not None:
                yield message
        except TimeoutError:  # a client that asks nothing more
            return

    async def behave(_: object, context: Context) -> None:
        async with aclosing(handler.stream_stream(requests(context), context)) as responses:
            async for response in responses:
                await context.write(response)

    return behave


async def _only_message(handler: Any, context: Context) -> Any:
    try:
        message = await _message(handler, context, MESSAGE_S)
    except TimeoutError:
        await context.abort(
            grpc.StatusCode.ABORTED, f"the message was not received in {MESSAGE_S:g} s"
        )
    if message is None:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
    return message


async def _message(handler: Any, context: Context, wait_s: float) -> Any:
    """Return the next message; None after the last one."""
    async with asyncio.timeout(wait_s):
        data = await context.read()
    if data is grpc.aio.EOF:
        return None
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    if (num_bytes := len(data)) > MAX_MESSAGE_BYTES:
        del data  # the error that `abort` raises keeps this frame until a garbage collection
        await context.abort(
            invalid, f"the message of {num_bytes} bytes is over the limit of {MAX_MESSAGE_BYTES}"
        )
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        await context.abort(invalid, "the message cannot be decoded")
