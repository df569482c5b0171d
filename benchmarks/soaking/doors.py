"""Sends the calls of a soak over gRPC and HTTP, and says how each ended for its client.

HTTP is spoken on bare connections, so that a client can be slow, stop in the middle of a header, or
go away. A call is ended by cancelling the coroutine that asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from benchmarks.soaking.messages import (
    Message,
    cut,
    grpc_messages,
    http_request,
    http_text,
    joined,
)
from benchmarks.soaking.plan import Call, Kind
from talkmill.proto import transcription_pb2 as pb

_NUM_PIECES = 8  # of an upload
_METHOD = "/talkmill.v1.Transcription/"
_NEVER_S = 3600.0
_NUM_CHANNELS = 4
_DROP_AFTER_S = 0.05
_MAX_DETAILS = 200  # characters of what the server says about an error
# What grpc.aio makes of a message that it cannot send, as the server has ended the call or the
# deadline has passed: the status that came for the call is lost.
_SEND_FAILED = "Internal error from Core"


@dataclass
class Answer:
    """What came back; see `ledger.Outcome`.

    Attributes:
        status: gRPC's name, HTTP's number, "CUT", "CLOSED" or "UNSEEN".
        text: The words after OK; else what the server says.
        uploaded_s: When the last byte was sent, on the loop's clock; 0 if it was not.
    """

    status: str = "CLOSED"
    text: str = ""
    uploaded_s: float = 0.0


class HttpDoor:
    """HTTP, with a connection for each call."""

    def __init__(self, host: str, port: int) -> None:
        """Take the server's address."""
        self._host = host
        self._port = port

    async def ask(self, call: Call, message: Message, answer: Answer) -> None:
        """Send a call and fill in its answer; cancel it to break the connection."""
        head, body = http_request(call, message)
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return
        sending = asyncio.create_task(self._send(writer, call, head, body, answer))
        reading = asyncio.create_task(_read_reply(reader))
        try:
            if call.kind is Kind.DROPPED:
                await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
                answer.status = "CUT"
            if call.kind is not Kind.DROPPED or reading.done():
                answer.status, content = await reading
                answer.text = (
                    http_text(call, content)
                    if answer.status == "200"
                    else content[:_MAX_DETAILS].decode(errors="replace")
                )
        except (OSError, EOFError):
            answer.status = "CLOSED"
        finally:
            reading.cancel()
            sending.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
            writer.transport.abort()

    async def _send(
        self, writer: asyncio.StreamWriter, call: Call, head: bytes, body: bytes, answer: Answer
    ) -> None:
        pieces = cut(body, _NUM_PIECES)
        if call.case == "half a header":
            writer.write(head[: len(head) // 2])
            await asyncio.sleep(_NEVER_S)
        writer.write(head)
        if call.case == "stalled" or call.kind is Kind.DROPPED:
            writer.writelines(pieces[: len(pieces) // 2])
            await writer.drain()
            await asyncio.sleep(_NEVER_S if call.case else 0)
            return
        for piece in pieces:
            if call.kind is Kind.SLOW:
                await asyncio.sleep(call.wait_s / len(pieces))
            writer.write(piece)
            await writer.drain()
        answer.uploaded_s = asyncio.get_running_loop().time()


async def _read_reply(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Return an answer's status and body.

    Raises:
        EOFError: The connection ends before the answer does.
        OSError: It breaks.
    """
    status = "100"
    while status.startswith("1"):  # interim answers: RFC 9110, 15.2
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = first.split()[1]
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    if headers.get("transfer-encoding") != "chunked":
        return status, await reader.readexactly(int(headers.get("content-length", 0)))
    content = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        content += await reader.readexactly(size)
        await reader.readexactly(2)
    return status, bytes(content)


class GrpcDoor:
    """gRPC: a few connections for all calls, and one of its own for a call that breaks it."""

    def __init__(self, address: str) -> None:
        """Take the server's address."""
        self._address = address
        self._channels = [self._connect(number) for number in range(_NUM_CHANNELS)]

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def ask(self, call: Call, message: Message, answer: Answer) -> None:
        """Send a call and fill in its answer; cancel it to cancel the RPC."""
        if call.kind is not Kind.DROPPED:
            channel = self._channels[call.number % _NUM_CHANNELS]
            await self._ask(channel, call, message, answer)
            return
        channel = self._connect(-1 - call.number)
        asking = asyncio.create_task(self._ask(channel, call, message, answer))
        await asyncio.wait({asking}, timeout=_DROP_AFTER_S)
        if not asking.done():
            answer.status = "CUT"
            asking.cancel()
        await channel.close()
        await asyncio.gather(asking, return_exceptions=True)

    async def _ask(
        self, channel: grpc.aio.Channel, call: Call, message: Message, answer: Answer
    ) -> None:
        messages = grpc_messages(call, message, _NUM_PIECES)
        given: dict[str, Any] = {
            "timeout": call.wait_s if call.kind is Kind.DEADLINE else None,
            "metadata": tuple(message.headers.items()),
        }
        if call.case == "compressed":
            given["compression"] = grpc.Compression.Gzip
        try:
            if call.door == "grpc":
                ask = channel.unary_unary(
                    _METHOD + "Transcribe",
                    request_serializer=bytes,
                    response_deserializer=pb.TranscribeResponse.FromString,
                )
                answer.text = (await ask(messages[0], **given)).text
            else:
                answer.text = await _stream(channel, call, messages, given, answer)
            answer.status = "OK"
        except grpc.aio.AioRpcError as error:
            answer.text = (error.details() or "")[:_MAX_DETAILS]
            answer.status = "UNSEEN" if answer.text == _SEND_FAILED else error.code().name

    def _connect(self, number: int) -> grpc.aio.Channel:
        # The number keeps gRPC from sharing a connection among channels.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("talkmill.soak", number),
            ("grpc.max_send_message_length", -1),
        ]
        return grpc.aio.insecure_channel(self._address, options=options)


async def _stream(
    channel: grpc.aio.Channel,
    call: Call,
    messages: Sequence[bytes],
    given: dict[str, Any],
    answer: Answer,
) -> str:
    async def send() -> AsyncIterator[bytes]:
        half = len(messages) // 2 if call.case == "stalled" or call.kind is Kind.DROPPED else None
        for message in messages[:half]:
            if call.kind is Kind.SLOW:
                await asyncio.sleep(call.wait_s / len(messages))
            yield message
        if half is not None:
            await asyncio.sleep(_NEVER_S)
        answer.uploaded_s = asyncio.get_running_loop().time()

    if call.door == "live":
        return await _speak(channel, send(), given)
    ask = channel.stream_stream(
        _METHOD + "TranscribeStream",
        request_serializer=bytes,
        response_deserializer=pb.TranscribeStreamResponse.FromString,
    )
    pieces: list[str] = []
    async for response in ask(send(), **given):
        if response.WhichOneof("payload") == "segment":
            pieces.append(response.segment.text)
        else:
            return joined(pieces, response.result.text)
    raise ValueError("the stream ended without a result")


async def _speak(
    channel: grpc.aio.Channel, messages: AsyncIterator[bytes], given: dict[str, Any]
) -> str:
    ask = channel.stream_stream(
        _METHOD + "StreamingTranscribe",
        request_serializer=bytes,
        response_deserializer=pb.StreamingTranscribeResponse.FromString,
    )
    finals = [one.final.text async for one in ask(messages, **given) if one.HasField("final")]
    return " ".join(finals)
