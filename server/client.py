"""A small client of the service, for the command line, the demo and the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO

import grpc

from ..engine import Segment, TranscribeOptions, Transcript
from ..proto import transcription_pb2 as pb
from ..proto import transcription_pb2_grpc as pb_grpc
from .convert import from_options, to_segment, to_transcript

PIECE_BYTES = 256 * 1024


class Client:
    """A connection to one server. Thread-safe.

    with Client("127.0.0.1:50051") as client, open("speech.flac", "rb") as file:
        print(client.transcribe(file).text)
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        """Connect to HOST:PORT, without encryption.

        Args:
            address: The server's.
            token: The bearer token, where the server asks for one.
        """
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = grpc.insecure_channel(address)
        self._stub = pb_grpc.TranscriptionStub(self._channel)

    def __enter__(self) -> Client:
        """Return itself."""
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
        """Send a file, a large one in pieces, and return its transcript.

        Args:
            audio: The file, at its start.
            options: What to do with it.
            model: The model expected; empty for any.
            timeout_s: Give up after so long.
            on_segment: Called with each segment as it arrives.

        Raises:
            grpc.RpcError: The server refused, failed or is not there.
        """
        wire_options = from_options(options or TranscribeOptions())
        first = audio.read(PIECE_BYTES)
        if len(first) < PIECE_BYTES and on_segment is None:  # one message is half the work of many
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
