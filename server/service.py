"""The RPCs: message to gateway call to message. Nothing here waits for the model on the loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from ..engine import AudioTooLong, InvalidOption, Segment, Transcript
from ..proto import transcription_pb2 as pb
from ..proto import transcription_pb2_grpc as pb_grpc
from .call import CallOptions
from .config import ServerConfig
from .convert import from_segment, from_transcript, to_options
from .gateway import Gateway
from .grpc_errors import Context, errors_as_status

StreamRequests = AsyncIterator[pb.TranscribeStreamRequest]
StreamResponses = AsyncIterator[pb.TranscribeStreamResponse]


class TranscriptionService(pb_grpc.TranscriptionServicer):
    """`talkmill.v1.Transcription` on an engine."""

    def __init__(self, gateway: Gateway, config: ServerConfig) -> None:
        """Serve the engine of `gateway` within the limits of `config`."""
        self._gateway = gateway
        self._max_inline_bytes = config.max_inline_bytes

    async def Transcribe(
        self, request: pb.TranscribeRequest, context: Context
    ) -> pb.TranscribeResponse:
        """Answer one file that came inline."""
        async with errors_as_status(context):
            with self._admit(context) as call:
                options = to_options(request.options)
                checked = await self._gateway.check(options, request.model, call)
                self._check_inline_size(len(request.audio))
                call.permit.reserve(len(request.audio))
                transcript = await self._gateway.transcribe(request.audio, checked, call)
                self._send_compute_headers(context, transcript)
                return from_transcript(transcript, timestamps=options.has_segments)
        raise AssertionError("an error was swallowed. This is a bug.")

    async def TranscribeStream(
        self, request_iterator: StreamRequests, context: Context
    ) -> StreamResponses:
        """Take one file in pieces; yield segments as they are done, then the result."""
        async with errors_as_status(context):
            with self._admit(context) as call:
                async for response in self._stream(request_iterator, context, call):
                    yield response

    async def _stream(
        self, requests: StreamRequests, context: Context, call: CallOptions
    ) -> StreamResponses:
        config = await _read_config(requests)
        options = to_options(config.options)
        checked = await self._gateway.check(options, config.model, call)
        audio = await self._gateway.receive(_audio_of(requests), call)
        async for item in self._gateway.stream(audio, checked, call):
            if isinstance(item, Segment):
                yield pb.TranscribeStreamResponse(segment=from_segment(item))
            else:
                self._send_compute_headers(context, item)
                result = from_transcript(item, timestamps=options.has_segments)
                yield pb.TranscribeStreamResponse(result=result)

    def _admit(self, context: Context) -> AbstractContextManager[CallOptions]:
        pairs = context.invocation_metadata() or ()
        metadata = {key: value for key, value in pairs if isinstance(value, str)}
        return self._gateway.admit("grpc", metadata, context.time_remaining(), context.peer())

    def _check_inline_size(self, num_bytes: int) -> None:
        if num_bytes > self._max_inline_bytes:
            raise AudioTooLong(
                f"audio of {num_bytes} bytes is over the inline limit of "
                f"{self._max_inline_bytes} bytes; send it through TranscribeStream"
            )

    def _send_compute_headers(self, context: Context, transcript: Transcript) -> None:
        context.set_trailing_metadata(tuple(self._gateway.compute_headers(transcript).items()))


async def _read_config(requests: StreamRequests) -> pb.TranscribeStreamConfig:
    async for first in requests:
        if first.WhichOneof("payload") == "config":
            return first.config
        break
    raise InvalidOption("the first message of the stream must hold config", "config")


async def _audio_of(requests: StreamRequests) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("payload") != "audio":
            raise InvalidOption("after the first message only audio may follow", "config")
        yield request.audio
