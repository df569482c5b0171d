"""Calls of gRPC's StreamingTranscribe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pytest

from fakes import PATIENCE_S
from talkmill.engine.types import Samples
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc

PCM16, FLOAT32 = pb.AUDIO_ENCODING_PCM16, pb.AUDIO_ENCODING_FLOAT32


def pcm16(samples: Samples) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


def messages(pieces: Iterable[bytes], **config: Any) -> Iterator[pb.StreamingTranscribeRequest]:
    given = {"encoding": PCM16, **config}
    yield pb.StreamingTranscribeRequest(config=pb.StreamingConfig(**given))
    for piece in pieces:
        yield pb.StreamingTranscribeRequest(audio=piece)


def converse(
    address: str, sent: Iterable[pb.StreamingTranscribeRequest]
) -> list[pb.StreamingTranscribeResponse]:
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.TranscriptionStub(channel)
        return list(stub.StreamingTranscribe(iter(sent), timeout=PATIENCE_S))


def refusal(address: str, sent: Iterable[pb.StreamingTranscribeRequest]) -> tuple[Any, str | None]:
    with pytest.raises(grpc.RpcError) as refused:
        converse(address, sent)
    return refused.value.code(), refused.value.details()


def text_of(answers: Iterable[pb.StreamingTranscribeResponse]) -> str:
    return " ".join(one.final.text for one in answers if one.HasField("final"))
