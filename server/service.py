"""The RPCs: message -> engine call -> message. The engine waits elsewhere; the loop stays free."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from talkmill.engine import AudioTooLong, Engine, InvalidOption, Segment
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server.config import ServerConfig
from talkmill.server.convert import from_segment, from_transcript, to_options
from talkmill.server.status import Context, errors_as_status

SPOOL_BYTES = 8 * 2**20  # an upload larger than this goes to disk

StreamRequests = AsyncIterator[pb.TranscribeStreamRequest]
StreamResponses = AsyncIterator[pb.TranscribeStreamResponse]


class TranscriptionService(pb_grpc.TranscriptionServicer):
    """`talkmill.v1.Transcription` on an engine."""

    def __init__(self, engine: Engine, config: ServerConfig) -> None:
        """Serve `engine` within the limits of `config`."""
        self._engine = engine
        self._config = config
        self._num_open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no RPC is open."""
        await self._idle.wait()

    async def Transcribe(
        self, request: pb.TranscribeRequest, context: Context
    ) -> pb.TranscribeResponse:
        """Answer one file that came inline."""
        with self._open():
            return await self._transcribe(request, context)

    async def _transcribe(
        self, request: pb.TranscribeRequest, context: Context
    ) -> pb.TranscribeResponse:
        async with errors_as_status(context):
            if len(request.audio) > self._config.max_inline_bytes:
                raise AudioTooLong(
                    f"audio of {len(request.audio)} bytes is over the inline limit of "
                    f"{self._config.max_inline_bytes} bytes; TranscribeStream takes more"
                )
            options = to_options(request.options)
            pending = self._engine.submit(
                request.audio, options, model=request.model, timeout_s=context.time_remaining()
            )
            # Cancelling the RPC cancels this await, and that the request.
            transcript = await asyncio.wrap_future(pending.future)
            return from_transcript(transcript, timestamps=options.timestamps)
        raise AssertionError("an error was swallowed. This is a bug.")

    async def TranscribeStream(
        self, request_iterator: StreamRequests, context: Context
    ) -> StreamResponses:
        """Take one file in pieces; give back segments as they are done, then the result."""
        with self._open():
            async for response in self._stream(request_iterator, context):
                yield response

    async def _stream(self, requests: StreamRequests, context: Context) -> StreamResponses:
        async with errors_as_status(context):
            config = await self._read_config(requests)
            options = to_options(config.options)
            self._engine.check(options, config.model)  # before the upload, not after
            audio = await self._read_audio(requests)
            loop = asyncio.get_running_loop()
            segments: asyncio.Queue[Segment | None] = asyncio.Queue()

            def put(segment: Segment | None) -> None:
                loop.call_soon_threadsafe(segments.put_nowait, segment)

            pending = self._engine.submit(
                audio,
                options,
                model=config.model,
                timeout_s=context.time_remaining(),
                on_segment=put,
            )
            pending.future.add_done_callback(lambda _: put(None))
            try:
                while (segment := await segments.get()) is not None:
                    yield pb.TranscribeStreamResponse(segment=from_segment(segment))
            finally:
                pending.cancel()
            transcript = pending.future.result()
            result = from_transcript(transcript, timestamps=options.timestamps)
            yield pb.TranscribeStreamResponse(result=result)

    @contextmanager
    def _open(self) -> Iterator[None]:
        self._num_open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._num_open -= 1
            if not self._num_open:
                self._idle.set()

    @staticmethod
    async def _read_config(requests: StreamRequests) -> pb.TranscribeStreamConfig:
        async for first in requests:
            if first.WhichOneof("payload") == "config":
                return first.config
            break
        raise InvalidOption("the first message of the stream must hold config", "config")

    async def _read_audio(self, requests: StreamRequests) -> BinaryIO:
        limit = self._engine.config.max_audio_bytes
        # Not closed here: the engine reads it from now on and closes it.
        spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115
        num_bytes = 0
        try:
            async for request in requests:
                if request.WhichOneof("payload") != "audio":
                    raise InvalidOption("after the first message only audio may follow", "config")
                num_bytes += len(request.audio)
                if num_bytes > limit:
                    raise AudioTooLong(f"audio is over the limit of {limit} bytes")
                spool.write(request.audio)
        except BaseException:
            spool.close()
            raise
        return cast(BinaryIO, spool)
