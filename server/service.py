"""The RPCs: message to gateway call to message. Nothing here waits for the model on the loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from ..engine import (
    AudioTooLong,
    Cancelled,
    CheckedOptions,
    InvalidOption,
    Overloaded,
    Segment,
    TranscribeOptions,
    Transcript,
)
from ..proto import transcription_pb2 as pb
from .call import CallOptions
from .config import ServerConfig
from .convert import from_segment, from_transcript, to_options
from .gateway import Gateway
from .grpc_errors import answer_or_status
from .grpc_messages import Context, Messages, metadata_of
from .live_service import stream_session
from .receiving import growing_upload
from .status import MalformedBody, SlowUpload
from .upload import UploadPace

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Transcription"].full_name

MAX_UNREAD = 64  # messages with a whole file that are received at the same time

_FILE_FIELD = pb.TranscribeRequest.AUDIO_FIELD_NUMBER
_PIECE_FIELD = pb.TranscribeStreamRequest.AUDIO_FIELD_NUMBER

StreamMessages = Messages[pb.TranscribeStreamRequest]


class TranscriptionService:
    """`talkmill.v1.Transcription` on an engine."""

    def __init__(self, gateway: Gateway, config: ServerConfig) -> None:
        """Serve the engine of `gateway` within the limits of `config`."""
        self._gateway = gateway
        self._config = config
        self._unread = asyncio.Semaphore(MAX_UNREAD)
        self._num_uploads = 0
        # The rest is for calls that are there whole.
        self._max_uploads = max(1, config.max_requests // 2)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return its methods, for a server."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Transcribe": grpc.stream_unary_rpc_method_handler(
                self.Transcribe,
                response_serializer=pb.TranscribeResponse.SerializeToString,
            ),
            "TranscribeStream": grpc.stream_stream_rpc_method_handler(
                self.TranscribeStream,
                response_serializer=pb.TranscribeStreamResponse.SerializeToString,
            ),
            "StreamingTranscribe": grpc.stream_stream_rpc_method_handler(
                self.StreamingTranscribe,
                response_serializer=pb.StreamingTranscribeResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)

    async def Transcribe(self, _: object, context: Context) -> pb.TranscribeResponse:
        """Answer one file that came inline."""
        return await answer_or_status(context, self._transcribe(context))

    async def TranscribeStream(self, _: object, context: Context) -> None:
        """Take one file in pieces; write segments as they are done, then the result."""
        await answer_or_status(context, self._transcribe_stream(context))

    async def StreamingTranscribe(self, _: object, context: Context) -> None:
        """Take audio while it is being spoken; write events as things happen."""
        await answer_or_status(context, self._stream_session(context))

    async def _stream_session(self, context: Context) -> None:
        with self._admit(context) as call:
            write = functools.partial(self._write, context)
            await stream_session(self._gateway, self._config, call, context, write)

    async def _transcribe(self, context: Context) -> pb.TranscribeResponse:
        with self._admit(context) as call:
            audio, model, options = await self._read_file(context)
            call.permit.reserve(len(audio))
            checked = await self._gateway.check(options, model, call)
            transcript = await self._gateway.transcribe(audio, checked, call)
            self._send_compute_headers(context, transcript)
            return from_transcript(transcript, timestamps=options.has_segments)

    async def _transcribe_stream(self, context: Context) -> None:
        messages = Messages(context, pb.TranscribeStreamRequest, _PIECE_FIELD)
        with self._admit(context) as call:
            options, checked = await self._read_options(messages, call)
            store = functools.partial(self._store, messages, call)
            async with (
                growing_upload(store) as audio,
                aclosing(self._gateway.stream(audio, checked, call)) as items,
            ):
                async for item in items:
                    if isinstance(item, Segment):
                        response = pb.TranscribeStreamResponse(segment=from_segment(item))
                    else:
                        self._send_compute_headers(context, item)
                        result = from_transcript(item, timestamps=options.has_segments)
                        response = pb.TranscribeStreamResponse(result=result)
                    await self._write(context, response)

    async def _read_file(self, context: Context) -> tuple[bytes, str, TranscribeOptions]:
        """Return audio, model and options of the one message. It is freed here: audio is copied."""
        timeout_s = self._config.upload_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._unread:
                request = await Messages(context, pb.TranscribeRequest, _FILE_FIELD).next(timeout_s)
        except TimeoutError:
            raise SlowUpload(
                f"the message was not received in {timeout_s:g} s; send the audio through "
                "TranscribeStream",
                "audio",
            ) from None
        if request is None:
            raise MalformedBody("the call has no message", "message")
        audio, limit = request.audio, self._config.max_inline_bytes
        if len(audio) > limit:
            raise AudioTooLong(
                f"audio of {len(audio)} bytes is over the inline limit of {limit} bytes; send it "
                "through TranscribeStream"
            )
        return audio, request.model, to_options(request.options)

    async def _read_options(
        self, messages: StreamMessages, call: CallOptions
    ) -> tuple[TranscribeOptions, CheckedOptions]:
        """Return the options of a stream, which are checked before the audio is received."""
        with self._uploading():
            config = await _read_config(messages, self._pace())
            options = to_options(config.options)
            return options, await self._gateway.check(options, config.model, call)

    async def _store(
        self, messages: StreamMessages, call: CallOptions, write: Callable[[bytes], None]
    ) -> None:
        with self._uploading():
            await self._gateway.store(_pieces(messages, self._pace()), call, write)

    def _pace(self) -> UploadPace:
        return UploadPace(self._config.upload_timeout_s, self._config.min_upload_bytes_per_s)

    @contextmanager
    def _uploading(self) -> Iterator[None]:
        if self._num_uploads >= self._max_uploads:
            raise Overloaded(
                f"over the limit of {self._max_uploads} concurrent uploads, half of max_requests"
            )
        self._num_uploads += 1
        try:
            yield
        finally:
            self._num_uploads -= 1

    async def _write(self, context: Context, response: Message) -> None:
        timeout_s = self._config.upload_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await context.write(response)
        except grpc.aio.BaseError:
            raise Cancelled("the client disconnected") from None
        except TimeoutError:
            raise Cancelled(f"the client did not read its answer for {timeout_s:g} s") from None

    def _admit(self, context: Context) -> AbstractContextManager[CallOptions]:
        timeout_s = context.time_remaining()
        return self._gateway.admit("grpc", metadata_of(context), timeout_s, context.peer())

    def _send_compute_headers(self, context: Context, transcript: Transcript) -> None:
        context.set_trailing_metadata(tuple(self._gateway.compute_headers(transcript).items()))


async def _read(messages: StreamMessages, pace: UploadPace) -> pb.TranscribeStreamRequest | None:
    try:
        return await messages.next(pace.wait_s)
    except TimeoutError:
        pace.fail()


async def _read_config(messages: StreamMessages, pace: UploadPace) -> pb.TranscribeStreamConfig:
    first = await _read(messages, pace)
    if first is None or first.WhichOneof("payload") != "config":
        raise InvalidOption("the first message of the stream must hold config", "config")
    return first.config


async def _pieces(messages: StreamMessages, pace: UploadPace) -> AsyncIterator[bytes]:
    while (request := await _read(messages, pace)) is not None:
        if request.WhichOneof("payload") != "audio":
            raise InvalidOption("after the first message only audio may follow", "config")
        piece = request.audio
        pace.count(len(piece))
        yield piece
