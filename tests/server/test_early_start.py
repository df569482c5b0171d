"""TranscribeStream begins with a file before all of it has come."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Iterator

import grpc
import numpy as np
import pytest

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S
from talkmill.engine.types import Samples
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer, receiving
from waiting import wait_until

CONFIG = pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "EARLY_S", 0.05)


def said_twice() -> Samples:
    """Return the recording of the demo two times: the first of them is in half of a file."""
    return np.tile(decode_file(DEMO_FOLDER / "sample.flac"), 2)


def pieces(data: bytes) -> Iterator[pb.TranscribeStreamRequest]:
    for at in range(0, len(data), 5_000):
        yield pb.TranscribeStreamRequest(audio=data[at : at + 5_000])


def read(
    responses: Iterable[pb.TranscribeStreamResponse], has_segment: threading.Event
) -> list[pb.TranscribeStreamResponse]:
    found = []
    for response in responses:
        found.append(response)
        has_segment.set()
    return found


@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("webm", "libopus")]
)
def test_segments_come_while_the_file_is_sent(
    demo: BackgroundServer, sample_text: str, container: str, codec: str
) -> None:
    file = encode_audio(said_twice(), container, codec)
    has_segment = threading.Event()

    def messages() -> Iterator[pb.TranscribeStreamRequest]:
        yield CONFIG
        yield from pieces(file[: len(file) // 2])
        assert has_segment.wait(PATIENCE_S)
        yield from pieces(file[len(file) // 2 :])

    with grpc.insecure_channel(demo.address) as channel:
        stub = pb_grpc.TranscriptionStub(channel)
        responses = read(stub.TranscribeStream(messages(), timeout=PATIENCE_S), has_segment)
    heard = difflib.SequenceMatcher(
        None, responses[-1].result.text.split(), 2 * sample_text.split()
    )
    assert heard.ratio() > 0.95  # the demo model mishears a word in Opus
    assert not responses[-1].result.warnings


def test_a_file_that_stops_coming_fails_with_the_reason_of_its_upload(
    demo: BackgroundServer,
) -> None:
    sample = encode_audio(said_twice(), "flac", "flac")
    has_segment = threading.Event()

    def messages() -> Iterator[pb.TranscribeStreamRequest]:
        yield CONFIG
        yield from pieces(sample[: len(sample) // 2])
        assert has_segment.wait(PATIENCE_S)
        yield CONFIG  # a second one is refused

    with grpc.insecure_channel(demo.address) as channel:
        call = pb_grpc.TranscriptionStub(channel).TranscribeStream(messages())
        with pytest.raises(grpc.RpcError) as refused:
            read(call, has_segment)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    wait_until(lambda: demo.server.engine.num_requests == 0)


def test_a_caller_who_goes_leaves_nothing_behind(
    demo: BackgroundServer, stalled: Callable[..., Iterator[bytes]]
) -> None:
    sample = encode_audio(said_twice(), "flac", "flac")

    def messages() -> Iterator[pb.TranscribeStreamRequest]:
        yield CONFIG
        yield from pieces(sample[: len(sample) // 2])
        yield from (pb.TranscribeStreamRequest(audio=piece) for piece in stalled())

    with grpc.insecure_channel(demo.address) as channel:
        call = pb_grpc.TranscriptionStub(channel).TranscribeStream(messages())
        next(iter(call))
        call.cancel()
    wait_until(lambda: demo.server.engine.num_requests == 0)
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == "talkmill-upload"])
