"""The messages of a live session, and what the client of the package makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from talkmill.engine import Encoding, Ended, Event, Final, LiveOptions
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import BackgroundServer, Client
from talkmill.server.live_messages import from_config, to_event, to_live

PCM16 = pb.AUDIO_ENCODING_PCM16


def config_of(options: LiveOptions) -> pb.StreamingConfig:
    return from_config(options, Encoding.PCM16, 16_000, 1, "")


def test_an_interval_without_interim_text_is_warned_of() -> None:
    asked = to_live(pb.StreamingConfig(encoding=PCM16, interim_ms=500))
    assert asked.warnings == ("interim_ms has no effect: interim_results is false",)


@pytest.mark.parametrize(
    "config",
    [
        pb.StreamingConfig(encoding=PCM16),
        pb.StreamingConfig(encoding=PCM16, interim_results=True, interim_ms=100),
    ],
    ids=["neither", "both"],
)
def test_an_interval_that_has_an_effect_is_not_warned_of(config: pb.StreamingConfig) -> None:
    assert to_live(config).warnings == ()


@pytest.mark.parametrize(
    ("options", "num_warnings"),
    [
        (LiveOptions(), 0),
        (LiveOptions(interim_ms=100), 0),
        (LiveOptions(interim=False), 0),
        (LiveOptions(interim=False, interim_ms=100), 1),
    ],
)
def test_a_client_is_warned_of_an_interval_only_if_it_gave_one(
    options: LiveOptions, num_warnings: int
) -> None:
    asked = to_live(config_of(options))
    assert asked.options == options
    assert len(asked.warnings) == num_warnings


def test_an_event_of_a_newer_server_is_none() -> None:
    message = pb.StreamingTranscribeResponse.FromString(b"\x9a\x06\x00")  # field 99
    assert to_event(message) is None


def test_the_last_event_has_the_warnings_of_the_server() -> None:
    ended = pb.SessionEnded(reason="enough", warnings=["one", "two"])
    event = to_event(pb.StreamingTranscribeResponse(ended=ended))
    assert event == Ended("enough", warnings=("one", "two"))
    assert to_event(pb.StreamingTranscribeResponse(ended=pb.SessionEnded(reason="r"))) == Ended("r")


def test_what_the_pieces_raise_is_raised_after_the_answers(
    demo: BackgroundServer, sample: bytes, sample_text: str
) -> None:
    def pieces() -> Iterator[bytes]:
        yield sample
        raise ValueError("the microphone is gone")

    events: list[Event] = []

    def listen(client: Client) -> None:
        for event in client.listen(pieces(), encoding=None):
            events.append(event)  # what came before the exception, too

    with Client(demo.address) as client, pytest.raises(ValueError, match="microphone is gone"):
        listen(client)
    texts = [event.transcript.text for event in events if isinstance(event, Final)]
    assert " ".join(texts) == sample_text
    assert not isinstance(events[-1], Ended)


def test_what_the_pieces_raise_comes_before_a_refusal_of_the_server(demo: BackgroundServer) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"no container"
        raise ValueError("the microphone is gone")

    with Client(demo.address) as client, pytest.raises(ValueError, match="microphone is gone"):
        list(client.listen(pieces(), encoding=None))
