"""Lengths in headers that are wrong, and several files in one body: all sound is read."""

from __future__ import annotations

import io
import struct

import pytest

from audio_files import correlation, decoded, encode_audio, tone
from talkmill.engine import AudioTooLong, InvalidAudio
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.parts import parts_of
from talkmill.engine.types import Samples

pytestmark = pytest.mark.usefixtures("quiet_ffmpeg")

CUT_OFF = "audio is cut off: the end of the file is missing"
W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
# container, codec, what comes before the length of the audio, and how that is written
LENGTHS = [
    pytest.param("wav", "pcm_s16le", b"data", "<I", id="wav"),
    pytest.param("aiff", "pcm_s16be", b"SSND", ">I", id="aiff"),
    pytest.param("caf", "pcm_s16le", b"data", ">Q", id="caf"),
    pytest.param("w64", "pcm_s16le", W64_DATA, "<Q", id="w64"),
]


def with_length(file: bytes, before: bytes, code: str, length: int) -> bytes:
    """Return a file whose header states another length of the audio."""
    place = file.index(before) + len(before)
    return file[:place] + struct.pack(code, length) + file[place + struct.calcsize(code) :]


@pytest.mark.parametrize(("container", "codec", "before", "code"), LENGTHS)
def test_audio_beyond_the_length_in_the_header_is_read_with_a_warning(
    speech: Samples, container: str, codec: str, before: bytes, code: str
) -> None:
    expected = speech[: 5 * SAMPLE_RATE]
    file = with_length(encode_audio(expected, container, codec), before, code, 2 * SAMPLE_RATE)
    found, warnings = decoded(file)
    assert len(found) == len(expected)
    assert correlation(found, expected) > 0.999
    [warning] = warnings
    assert "the header states" in warning


@pytest.mark.parametrize(("container", "codec", "before", "code"), LENGTHS)
@pytest.mark.parametrize("is_half", [False, True])
@pytest.mark.parametrize("below", [0, 1, 36, 4000])
def test_a_length_that_means_unknown_is_no_cut(
    container: str, codec: str, before: bytes, code: str, is_half: bool, below: int
) -> None:
    top = 256 ** struct.calcsize(code)
    length = (top // 2 if is_half else top) - 1 - below
    file = with_length(encode_audio(tone(440, 2.0), container, codec), before, code, length)
    found, warnings = decoded(file)
    assert warnings == []
    assert len(found) == 2 * SAMPLE_RATE


@pytest.mark.parametrize(("container", "codec", "before", "code"), LENGTHS)
def test_a_length_of_0_means_unknown(container: str, codec: str, before: bytes, code: str) -> None:
    file = with_length(encode_audio(tone(440, 2.0), container, codec), before, code, 0)
    found, warnings = decoded(file)
    assert warnings == []
    assert len(found) == 2 * SAMPLE_RATE


def test_rf64_with_an_old_length_is_read_to_its_end() -> None:
    file = encode_audio(tone(440, 2.0))
    form = file[file.index(b"fmt ") :]
    form = with_length(form, b"data", "<I", 0xFFFF_FFFF)
    sizes = struct.pack("<QQQI", 0, 2 * SAMPLE_RATE, SAMPLE_RATE, 0)
    ds64 = b"ds64" + struct.pack("<I", len(sizes)) + sizes
    found, warnings = decoded(b"RF64\xff\xff\xff\xffWAVE" + ds64 + form)
    assert len(found) == 2 * SAMPLE_RATE
    assert len(warnings) == 1


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"LIST" + struct.pack("<I", 5000) + b"INFO" + bytes(4996), id="chunk"),
        pytest.param(b"id3 " + struct.pack("<I", 3) + b"ID3\0", id="chunk of odd length"),
        pytest.param(bytes(5000), id="zeros"),
        pytest.param(b"TAG" + b"title" * 25, id="tag"),
    ],
)
@pytest.mark.parametrize("num_samples", [SAMPLE_RATE, SAMPLE_RATE - 1])
def test_what_follows_the_audio_is_not_heard(tail: bytes, num_samples: int) -> None:
    sound = tone(440, 1.0)[:num_samples]
    found, warnings = decoded(encode_audio(sound, "wav", "pcm_mulaw") + tail)
    assert warnings == []
    assert len(found) - num_samples in (0, 1)  # the byte that aligns the next chunk


def test_a_header_that_states_more_than_is_there_is_cut_off() -> None:
    file = encode_audio(tone(440, 2.0))
    _, warnings = decoded(with_length(file, b"data", "<I", 3 * 2 * SAMPLE_RATE))
    assert CUT_OFF in warnings


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("wav", "adpcm_ima_wav"),
        ("w64", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
        ("caf", "pcm_s16le"),
        ("mp4", "aac"),
        ("mov", "pcm_s16le"),
        ("asf", "wmav2"),
        ("flv", "libmp3lame"),
        ("voc", "pcm_s16le"),
        ("tta", "tta"),
        ("flac", "flac"),
        ("ogg", "flac"),
        ("matroska", "flac"),
    ],
)
def test_files_one_after_the_other_are_all_heard(
    speech: Samples, container: str, codec: str
) -> None:
    rate = 44_100 if codec in ("libmp3lame", "wmav2") else SAMPLE_RATE
    bit_rate = 64_000 if codec == "wmav2" else None
    parts = [speech[: 2 * SAMPLE_RATE], speech[4 * SAMPLE_RATE : 7 * SAMPLE_RATE]]
    files = [encode_audio(part, container, codec, rate=rate, bit_rate=bit_rate) for part in parts]
    found, warnings = decoded(b"".join(files))
    assert warnings == []
    first, second = (decoded(file)[0] for file in files)
    assert abs(len(found) - len(first) - len(second)) < 100
    assert correlation(found[: len(first)], first) > 0.99
    assert correlation(found[-len(second) :], second) > 0.99


def test_a_second_file_of_another_form_is_heard() -> None:
    first = encode_audio(tone(440, 1.0))
    second = encode_audio(tone(440, 2.0), rate=44_100, channels=2)
    stale = with_length(first, b"data", "<I", 1000)
    found, warnings = decoded(stale + second)
    assert abs(len(found) - 3 * SAMPLE_RATE) < 100
    assert len(warnings) == 1


def test_a_second_file_that_cannot_be_read_is_a_warning() -> None:
    found, warnings = decoded(encode_audio(tone(440, 1.0)) + b"RIFF\x24\0\0\0WAVE" + bytes(2000))
    assert len(found) == SAMPLE_RATE
    assert warnings == ["file 2 in the body was left out: not an audio file of a known format"]


def test_thousands_of_files_in_a_body_are_not_opened() -> None:
    with_nothing = b"RIFF\x24\0\0\0WAVEfmt " + bytes(20)
    warnings: list[str] = []
    assert len(list(parts_of(io.BytesIO(with_nothing * 5000), warnings.append))) <= 100
    with pytest.raises((InvalidAudio, AudioTooLong)):
        decoded(with_nothing * 5000)
    files = encode_audio(tone(440, 0.1)) * 101
    found, warnings = decoded(files)
    assert len(found) == 100 * 1600
    assert warnings == ["the body has more than 100 files: the rest was not read"]


def test_a_part_is_read_as_a_file_of_its_own() -> None:
    first, second = encode_audio(tone(440, 0.1)), encode_audio(tone(300, 0.2))
    _, part = parts_of(io.BytesIO(first + second), pytest.fail)
    assert part.read() == second
    assert part.read() == b""
    assert part.seek(-10, io.SEEK_END) == len(second) - 10
    assert part.read(4) == second[-10:-6]
    assert part.seek(-4, io.SEEK_CUR) == len(second) - 10


@pytest.mark.parametrize("size", [8, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_box_of_any_size_ends_an_mp4(size: int) -> None:
    file = encode_audio(tone(440, 1.0), "mp4", "aac")
    box = struct.pack(">I4sQ", 1, b"free", size) + bytes(8)
    found, _ = decoded(file + box)
    assert abs(len(found) - len(decoded(file)[0])) < 100
