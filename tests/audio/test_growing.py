"""Files that are decoded as they come: the same samples and warnings as the whole file."""

from __future__ import annotations

import io
import struct
import threading

import numpy as np
import pytest

from audio_files import decoded_channels, encode_audio, pcm_wav, tone
from fakes import PATIENCE_S
from talkmill.engine import Cancelled, Channels, InvalidAudio
from talkmill.engine.audio.decode import decode_growing
from talkmill.engine.audio.follower import HEAD_BYTES, can_follow
from talkmill.engine.audio.growing import GrowingFile
from talkmill.engine.audio.resample import Planes
from talkmill.engine.audio.sources import GrowingSource

SOUND = np.concatenate([tone(hz, 1.0) for hz in (300.0, 500.0, 700.0)])
STEREO = pcm_wav(np.stack([SOUND, SOUND[::-1] / 2]))
FLAC = encode_audio(SOUND, "flac", "flac")
OGG = encode_audio(SOUND, "ogg", "libopus")
WEBM = encode_audio(SOUND, "webm", "libopus")
MP3 = encode_audio(SOUND, "mp3", "libmp3lame")
WAV = encode_audio(SOUND, "wav", "pcm_s16le")


def with_length(wav: bytes, length: int) -> bytes:
    place = wav.index(b"data") + 4
    return wav[:place] + struct.pack("<I", length) + wav[place + 4 :]


def growing(file: bytes, size: int) -> tuple[Planes, list[str]]:
    """Return what is decoded of a file that comes in pieces, and the warnings."""
    body = GrowingFile(io.BytesIO())
    body.write(file[:HEAD_BYTES])

    def send() -> None:
        for at in range(HEAD_BYTES, len(file), size):
            body.write(file[at : at + size])
        body.end()

    sender = threading.Thread(target=send)
    sender.start()
    warnings: list[str] = []
    blocks = list(decode_growing(body, 60.0, warnings.append, Channels.SPLIT))
    sender.join(PATIENCE_S)
    return np.concatenate(blocks, 1), warnings


@pytest.mark.parametrize("size", [1_000, 50_000])
@pytest.mark.parametrize(
    "file",
    [
        FLAC,
        OGG,
        WEBM,
        WAV,
        STEREO,
        with_length(WAV, 32_000),  # the recorder died before it wrote the length
        WAV[:-40_000],  # cut off
        WAV + WAV,
        WAV + FLAC,
        OGG + OGG,
        OGG[:-2_000],
        WAV + b"LIST" + struct.pack("<I", 8_000) + bytes(8_000),
        with_length(WAV, len(WAV) + 10**6),
        OGG + bytes(70_000),
        OGG[: len(OGG) // 2] + bytes(70_000) + OGG[len(OGG) // 2 :],
    ],
    ids=[
        "flac",
        "ogg",
        "webm",
        "wav",
        "stereo",
        "stale length",
        "cut off",
        "two files",
        "another file",
        "chained",
        "ogg cut off",
        "chunk at the end",
        "length too large",
        "zeros at the end",
        "zeros inside",
    ],
)
def test_a_file_that_grows_gives_what_the_whole_file_gives(file: bytes, size: int) -> None:
    expected, expected_warnings = decoded_channels(file)
    found, warnings = growing(file, size)
    np.testing.assert_array_equal(found, expected)
    assert sorted(warnings) == sorted(expected_warnings)


@pytest.mark.parametrize("size", [1_000, 50_000])
@pytest.mark.parametrize(
    "file",
    [
        MP3,
        MP3[MP3.index(b"\xff\xf3") :],
        MP3 + b"TAG" + bytes(125),
        MP3[:-5_000],
        MP3 + MP3,
        MP3 + WAV,
    ],
    ids=["mp3", "no tag before it", "tag after it", "cut off", "two files", "another file"],
)
def test_an_mp3_that_grows_gives_the_same_but_for_the_padding_at_its_end(
    file: bytes, size: int
) -> None:
    expected, expected_warnings = decoded_channels(file)
    found, warnings = growing(file, size)
    num_samples = expected.shape[1]
    np.testing.assert_array_equal(found[:, :num_samples], expected)
    assert found.shape[1] - num_samples < 1_600
    assert warnings == expected_warnings


def test_audio_is_there_before_the_rest_has_come() -> None:
    long = encode_audio(np.tile(SOUND, 4), "wav", "pcm_s16le")
    body = GrowingFile(io.BytesIO())
    body.write(long[: len(long) // 2])  # FFmpeg looks at the first 64 KiB of a WAV before it begins
    blocks = decode_growing(body, 60.0, lambda warning: None)
    assert next(blocks).shape[1] >= 16_000
    body.close()


def test_the_length_of_what_has_come_is_known_by_its_bytes() -> None:
    body = GrowingFile(io.BytesIO())
    body.write(WAV[:40_000])
    source = GrowingSource(body)
    assert source.coming_s == pytest.approx(1.25)
    body.write(WAV[40_000:72_000])
    assert source.coming_s == pytest.approx(2.25)


def test_an_upload_that_fails_fails_for_its_reader() -> None:
    body = GrowingFile(io.BytesIO())
    body.write(FLAC[: len(FLAC) // 2])
    body.end(Cancelled("the upload was cancelled"))
    with pytest.raises(Cancelled):
        list(decode_growing(body, 60.0, lambda warning: None))


def test_garbage_behind_the_head_of_a_file_is_refused() -> None:
    body = GrowingFile(io.BytesIO())
    body.write(b"fLaC" + b"\xff" * 50_000)
    body.end()
    with pytest.raises(InvalidAudio):
        list(decode_growing(body, 60.0, lambda warning: None))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (FLAC, True),
        (OGG, True),
        (WEBM, True),
        (MP3, True),
        (encode_audio(SOUND, "adts", "aac"), False),
        (WAV, True),
        (with_length(WAV, 0), False),
        (with_length(WAV, 0xFFFF_FFFF), False),
        (with_length(WAV, 0x7FFF_FFFF), False),
        (encode_audio(SOUND, "mp4", "aac"), False),
        (b"", False),
        (b"RIFF", False),
    ],
)
def test_some_formats_can_be_followed(file: bytes, expected: bool) -> None:
    assert can_follow(file[:HEAD_BYTES]) is expected
