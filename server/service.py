"""The RPCs: message -> gateway call -> message. The engine waits elsewhere; the loop stays free."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from ..engine import AudioTooLong, InvalidOption, Segment, Transcript
from ..proto import transcription_pb2 as pb
from ..proto import transcription_pb2_grpc as pb_grpc
from .config import ServerConfig
from .convert import from_segment, from_transcript, to_options
from .gateway import Gateway, Terms, read_switch
from .grpc_errors import Context, errors_as_status

StreamRequests = AsyncIterator[pb.TranscribeStreamRequest]
StreamResponses = AsyncIterator[pb.TranscribeStreamResponse]

_DOOR = "grpc"


class TranscriptionService(pb_grpc.TranscriptionServicer):
    """`talkmill.v1.Transcription` on an engine."""

    def __init__(self, gateway: Gateway, config: ServerConfig) -> None:
        """Serve what is behind `gateway` within the limits of `config`."""
        self._gateway = gateway
        self._config = config

    async def Transcribe(
        self, request: pb.TranscribeRequest, context: Context
    ) -> pb.TranscribeResponse:
        """Answer one file that came inline."""
        async with errors_as_status(context):
            with self._gateway.open(_DOOR):
                terms = await self._admit(context)
                if len(request.audio) > self._config.max_inline_bytes:
                    raise AudioTooLong(
                        f"audio of {len(request.audio)} bytes is over the inline limit of "
                        f"{self._config.max_inline_bytes} bytes; TranscribeStream takes more"
                    )
                options = to_options(request.options)
                transcript = await self._gateway.transcribe(
                    request.audio, options, request.model, terms
                )
                self._tell_source(context, transcript)
                return from_transcript(transcript, timestamps=options.timestamps)
        raise AssertionError("an error was swallowed. This is a bug.")

    async def TranscribeStream(
        self, request_iterator: StreamRequests, context: Context
    ) -> StreamResponses:
        """Take one file in pieces; give back segments as they are done, then the result."""
        async with errors_as_status(context):
            with self._gateway.open(_DOOR):
                async for response in self._stream(request_iterator, context):
                    yield response

    async def _stream(self, requests: StreamRequests, context: Context) -> StreamResponses:
        terms = await self._admit(context)
        config = await self._read_config(requests)
        options = to_options(config.options)
        self._gateway.engine.check(options, config.model)  # before the upload, not after
        audio = await self._gateway.receive(_audio_of(requests))
        async for item in self._gateway.stream(audio, options, config.model, terms):
            if isinstance(item, Segment):
                yield pb.TranscribeStreamResponse(segment=from_segment(item))
            else:
                self._tell_source(context, item)
                result = from_transcript(item, timestamps=options.timestamps)
                yield pb.TranscribeStreamResponse(result=result)

    async def _admit(self, context: Context) -> Terms:
        """Return the caller's terms, once the caller is known and the model is there."""
        pairs = context.invocation_metadata() or ()
        metadata = {key: value for key, value in pairs if isinstance(value, str)}
        self._gateway.authorize(metadata.get("authorization"))
        remaining_s = context.time_remaining()
        terms = Terms(
            use_cache=read_switch("x-use-cache", metadata.get("x-use-cache"), True),
            wait_for_model=read_switch("x-wait-for-model", metadata.get("x-wait-for-model"), False),
            deadline_s=None if remaining_s is None else time.monotonic() + remaining_s,
        )
        await self._gateway.ready(terms)
        return terms

    def _tell_source(self, context: Context, transcript: Transcript) -> None:
        source = "cache" if transcript.is_cached else self._gateway.engine.device
        context.set_trailing_metadata((("x-compute-type", source),))

    @staticmethod
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
