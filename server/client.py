"""A synchronous gRPC client, for the command line, the demo and the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import BinaryIO

import grpc

from ..engine import Encoding, Ended, Event, LiveOptions, Segment, TranscribeOptions, Transcript
from ..proto import transcription_pb2 as pb
from ..proto import transcription_pb2_grpc as pb_grpc
from .convert import from_options, to_segment, to_transcript
from .live_messages import from_config, to_event

PIECE_BYTES = 256 * 1024  # audio in one message of a stream


class Client:
    """A connection to one server. Thread-safe.

    with Client("127.0.0.1:50051") as client, open("speech.flac", "rb") as file:
        print(client.transcribe(file).text)
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Connect to HOST:PORT.

        Args:
            address: HOST:PORT of the server.
            token: The bearer token; None if the server needs none.
            credentials: For a server that speaks TLS, from `grpc.ssl_channel_credentials`; None for
                no encryption.
        """
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = (
            grpc.insecure_channel(address)
            if credentials is None
            else grpc.secure_channel(address, credentials)
        )
        self._stub = pb_grpc.TranscriptionStub(self._channel)

    def __enter__(self) -> Client:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._channel.close()

    def transcribe(
        self,
        audio: BinaryIO,
        options: TranscribeOptions | None = None,
        *,
        model: str = "",
        timeout_s: float | None = None,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Transcript:
        """Send a file and return its transcript. A file of `PIECE_BYTES` or more is streamed.

        Args:
            audio: The file, positioned at its start.
            options: Language, task and so on; None for the defaults.
            model: The model that must be served; empty for any.
            timeout_s: Deadline of the call; None for no deadline.
            on_segment: Called with each segment as it arrives; None to receive the result only.

        Raises:
            grpc.RpcError: The server cannot be reached, refused the call or failed.
        """
        wire_options = from_options(options or TranscribeOptions())
        first = audio.read(PIECE_BYTES)
        # One message costs half as much as a stream.
        if len(first) < PIECE_BYTES and on_segment is None:
            request = pb.TranscribeRequest(audio=first, model=model, options=wire_options)
            return to_transcript(
                self._stub.Transcribe(request, timeout=timeout_s, metadata=self._metadata)
            )
        config = pb.TranscribeStreamConfig(model=model, options=wire_options)

        def requests() -> Iterator[pb.TranscribeStreamRequest]:
            yield pb.TranscribeStreamRequest(config=config)
            piece = first
            while piece:
                yield pb.TranscribeStreamRequest(audio=piece)
                piece = audio.read(PIECE_BYTES)

        stream = self._stub.TranscribeStream(requests(), timeout=timeout_s, metadata=self._metadata)
        for response in stream:
            if response.WhichOneof("payload") == "result":
                return to_transcript(response.result)
            if on_segment is not None:
                on_segment(to_segment(response.segment))
        raise RuntimeError("the stream ended without a result. This is a bug.")

    def listen(
        self,
        pieces: Iterable[bytes],
        options: LiveOptions | None = None,
        *,
        encoding: Encoding | None = Encoding.PCM16,
        rate_hz: int = 16_000,
        num_channels: int = 1,
        model: str = "",
    ) -> Iterator[Event]:
        """Send audio as it comes, and yield the events of the session; the last one is `Ended`.

        `Ended` has the server's warnings. Events that only a newer version knows are left out.

        Args:
            pieces: The audio; taken from it on a thread of gRPC.
            options: What to do with it; None for the defaults.
            encoding: How samples are written; None for a container.
            rate_hz: Samples of each channel per second; of no effect with a container.
            num_channels: Channels whose samples take turns; of no effect with a container.
            model: The model that must be served; empty for any.

        Raises:
            grpc.RpcError: The server cannot be reached, refused the session or failed.
            Exception: What `pieces` raised, in place of the last event: what came before it is
                answered first.
        """
        config = from_config(options or LiveOptions(), encoding, rate_hz, num_channels, model)
        failures: list[Exception] = []

        def requests() -> Iterator[pb.StreamingTranscribeRequest]:
            yield pb.StreamingTranscribeRequest(config=config)
            try:
                for piece in pieces:
                    yield pb.StreamingTranscribeRequest(audio=piece)
            except Exception as error:  # gRPC would tell nobody what it was
                failures.append(error)

        stream = self._stub.StreamingTranscribe(requests(), metadata=self._metadata)
        try:
            for message in stream:
                event = to_event(message)
                if isinstance(event, Ended) and failures:
                    break
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            if failures:
                raise failures[0] from error
            raise
        if failures:
            raise failures[0]
