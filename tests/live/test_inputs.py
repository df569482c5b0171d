from __future__ import annotations

import numpy as np
import pytest

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S
from live_sessions import talk
from talkmill.engine import ContainerInput, Encoding, Ended, InvalidAudio, PcmDecoder, PcmInput
from talkmill.engine.live.inputs import MAX_HELD_BYTES
from talkmill.engine.types import Samples

CONTAINERS = [
    ("wav", "pcm_s16le"),
    ("flac", "flac"),
    ("mp3", "libmp3lame"),
    ("ogg", "libopus"),
    ("webm", "libopus"),
]


class Heard(list[Samples]):
    """Stands where a session does, and keeps what it is fed."""

    is_full = False

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[tuple[str, Exception | None]] = []

    def feed(self, samples: Samples) -> None:
        self.append(samples)

    def close(self, reason: str, error: Exception | None = None) -> None:
        self.ended.append((reason, error))


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_a_file_is_decoded_as_it_comes(container: str, codec: str) -> None:
    sound = decode_file(DEMO_FOLDER / "sample.flac")[: 16_000 * 4]
    data = encode_audio(sound, container, codec)
    heard = Heard()
    source = ContainerInput(heard)  # type: ignore[arg-type]
    for at in range(0, len(data), 700):
        source.feed(data[at : at + 700])
    source.finish()
    source._thread.join(PATIENCE_S)
    assert [error for _, error in heard.ended] == [None]
    found = np.concatenate(heard)
    assert abs(len(found) - len(sound)) < 2_000


def test_what_is_there_is_decoded_before_the_rest_comes() -> None:
    data = encode_audio(decode_file(DEMO_FOLDER / "sample.flac"), "webm", "libopus")
    heard = Heard()
    source = ContainerInput(heard)  # type: ignore[arg-type]
    source.feed(data[: len(data) // 2])
    while sum(map(len, heard)) < 16_000:
        assert source._thread.is_alive()
        source._thread.join(0.01)
    source.give_up()
    source._thread.join(PATIENCE_S)


def test_what_is_no_audio_ends_the_session_with_an_error() -> None:
    one = talk()
    source = ContainerInput(one.session)
    source.feed(b"no audio at all" * 1_000)
    source.finish()
    assert one.session.wait(PATIENCE_S)
    [ended] = one.events
    assert isinstance(ended, Ended)
    assert isinstance(ended.error, InvalidAudio)


def test_bytes_that_wait_are_bounded_and_room_is_told() -> None:
    told: list[None] = []
    one = talk()
    source = ContainerInput(one.session, lambda: told.append(None))
    source.feed(b"\0" * MAX_HELD_BYTES)  # no format: read while FFmpeg looks for one
    source.finish()
    assert one.session.wait(PATIENCE_S)
    assert told
    assert not source.is_full


def test_samples_that_are_no_numbers_are_told_once() -> None:
    sound = np.full(16_000 * 3, np.nan, np.float32)
    heard = Heard()
    source = ContainerInput(heard)  # type: ignore[arg-type]
    source.feed(encode_audio(sound, "wav", "pcm_f32le"))
    source.finish()
    source._thread.join(PATIENCE_S)
    [(reason, error)] = heard.ended
    assert error is None
    assert reason.count("NaN or over") == 1


def test_half_a_sample_at_the_end_is_told() -> None:
    one = talk()
    source = PcmInput(one.session, PcmDecoder(Encoding.PCM16))
    source.feed(bytes(101))
    source.finish()
    assert one.events == [Ended("the audio has ended; the last 1 bytes are no whole sample")]
