"""Of cut-off and damaged files, what can be decoded is; nothing raises an error of FFmpeg's."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_files import FORMATS, correlation, decoded, encode_audio, tone
from talkmill.engine import AudioTooLong, InvalidAudio
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.types import Samples

pytestmark = pytest.mark.usefixtures("quiet_ffmpeg")


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("ogg", "libopus"),
        ("aiff", "pcm_s16be"),
        ("flac", "flac"),
        ("matroska", "flac"),
        ("webm", "libopus"),
    ],
)
def test_what_is_there_of_a_cut_off_file_is_decoded(
    speech: Samples, container: str, codec: str
) -> None:
    expected = speech[: 8 * SAMPLE_RATE]
    rate = 48_000 if codec == "libopus" else SAMPLE_RATE
    file = encode_audio(expected, container, codec, rate=rate)
    found, warnings = decoded(file[: len(file) // 2])
    assert 2 * SAMPLE_RATE < len(found) < 5 * SAMPLE_RATE
    assert correlation(found, expected[: len(found)]) > 0.98
    assert any("cut off" in warning for warning in warnings)


def test_what_is_there_of_a_cut_off_mp4_is_decoded(speech: Samples, tmp_path: Path) -> None:
    file = fast_start_mp4(tmp_path / "fast.mp4", speech[: 8 * SAMPLE_RATE])
    found, warnings = decoded(file[: len(file) // 2])
    assert 2 * SAMPLE_RATE < len(found) < 6 * SAMPLE_RATE
    assert warnings


def fast_start_mp4(path: Path, samples: Samples) -> bytes:
    """Return an mp4 whose index stands before its sound, as files made for the web do."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream("aac", rate=SAMPLE_RATE)
        stream.layout = "mono"
        for start in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def test_mp4_without_its_index_is_invalid_audio(speech: Samples) -> None:
    file = encode_audio(speech[: 8 * SAMPLE_RATE], "mp4", "aac")
    with pytest.raises(InvalidAudio):
        decoded(file[: len(file) // 2])


@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("mp4", "aac")])
def test_most_of_a_damaged_file_is_decoded(speech: Samples, container: str, codec: str) -> None:
    expected = speech[: 8 * SAMPLE_RATE]
    file = bytearray(encode_audio(expected, container, codec))
    middle = len(file) // 2
    file[middle : middle + 400] = bytes([0xA5]) * 400
    found, warnings = decoded(bytes(file))
    assert 7 * SAMPLE_RATE < len(found) < 9 * SAMPLE_RATE
    assert any("damaged" in warning for warning in warnings)


def test_most_of_a_damaged_flac_is_decoded(speech: Samples) -> None:
    expected = speech[: 8 * SAMPLE_RATE]
    file = bytearray(encode_audio(expected, "flac", "flac"))
    middle = len(file) // 2
    file[middle : middle + 16_000] = bytes([0xA5]) * 16_000
    found, warnings = decoded(bytes(file))
    assert 6 * SAMPLE_RATE < len(found) < 8 * SAMPLE_RATE
    assert warnings


_SMALL = [
    case
    for case in FORMATS
    if case[0] != "asf" and case[:4] not in (("wav", "pcm_s16le", 48_000, 6),)
]
_small_files: dict[int, bytes] = {}


def small_file(index: int) -> bytes:
    if index not in _small_files:
        container, codec, rate, channels, _ = _SMALL[index]
        sound = tone(440, 0.5)
        _small_files[index] = encode_audio(sound, container, codec, rate=rate, channels=channels)
    return _small_files[index]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    file = bytearray(small_file(draw(st.integers(0, len(_SMALL) - 1))))
    reach = draw(st.sampled_from([64, 256, len(file)]))
    for _ in range(draw(st.integers(1, 12))):
        place = draw(st.integers(0, min(reach, len(file)) - 1)) if file else 0
        what = draw(st.sampled_from(["set", "cut", "insert"]))
        noise = draw(st.binary(min_size=1, max_size=4))
        if what == "set":
            file[place : place + len(noise)] = noise
        elif what == "cut":
            del file[place : place + draw(st.integers(1, 40))]
        else:
            file[place:place] = noise
    return bytes(file)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(mutations())
def test_no_damage_raises_anything_but_our_own_errors(file: bytes) -> None:
    try:
        found, _ = decoded(file, max_audio_s=10.0)
    except (InvalidAudio, AudioTooLong):
        return
    assert 0 < len(found) <= 10 * SAMPLE_RATE
    assert np.isfinite(found).all()
