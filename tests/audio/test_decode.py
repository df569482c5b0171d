from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_files import encode_audio, tone
from talkmill.engine import AudioTooLong, InvalidAudio, declared_duration_s
from talkmill.engine.audio.decode import SAMPLE_RATE, decode_audio
from talkmill.engine.types import Samples

# container, codec, rate, channels, least correlation with what was encoded
FORMATS = [
    ("wav", "pcm_s16le", 16_000, 1, 0.999),
    ("wav", "pcm_s16le", 44_100, 2, 0.999),
    ("wav", "pcm_s16le", 48_000, 6, 0.999),
    ("wav", "pcm_u8", 8_000, 1, 0.99),
    ("wav", "pcm_s24le", 48_000, 2, 0.999),
    ("wav", "pcm_f32le", 22_050, 1, 0.999),
    ("wav", "pcm_f64le", 96_000, 1, 0.999),
    ("wav", "pcm_mulaw", 8_000, 1, 0.99),
    ("wav", "pcm_alaw", 8_000, 1, 0.99),
    ("wav", "adpcm_ima_wav", 16_000, 1, 0.99),
    ("w64", "pcm_s16le", 16_000, 1, 0.999),
    ("flac", "flac", 16_000, 1, 0.999),
    ("flac", "flac", 96_000, 2, 0.999),
    ("mp3", "libmp3lame", 8_000, 1, 0.9),
    ("mp3", "libmp3lame", 44_100, 2, 0.99),
    ("ogg", "libopus", 48_000, 1, 0.99),
    ("ogg", "libopus", 16_000, 2, 0.99),
    ("ogg", "flac", 16_000, 1, 0.999),
    ("ipod", "aac", 44_100, 2, 0.99),
    ("mp4", "aac", 16_000, 1, 0.99),
    ("mp4", "alac", 44_100, 1, 0.999),
    ("mov", "pcm_s16le", 44_100, 1, 0.999),
    ("3gp", "libopencore_amrnb", 8_000, 1, 0.8),
    ("amr", "libopencore_amrnb", 8_000, 1, 0.8),
    ("adts", "aac", 22_050, 1, 0.98),
    ("webm", "libopus", 48_000, 2, 0.99),
    ("matroska", "pcm_s16le", 16_000, 1, 0.999),
    ("asf", "wmav2", 44_100, 2, 0.95),
    ("asf", "wmav1", 22_050, 1, 0.95),
    ("aiff", "pcm_s16be", 44_100, 1, 0.999),
    ("caf", "pcm_s16le", 16_000, 1, 0.999),
    ("au", "pcm_s16be", 8_000, 1, 0.999),
    ("voc", "pcm_s16le", 16_000, 1, 0.999),
    ("avi", "pcm_s16le", 16_000, 1, 0.999),
    ("flv", "libmp3lame", 44_100, 1, 0.98),
    ("mp2", "mp2", 32_000, 1, 0.95),
    ("mpeg", "mp2", 48_000, 1, 0.95),
    ("mpegts", "aac", 48_000, 1, 0.95),
    ("ac3", "ac3", 48_000, 2, 0.95),
    ("eac3", "eac3", 48_000, 2, 0.95),
    ("rm", "ac3", 44_100, 2, 0.95),
    ("tta", "tta", 16_000, 1, 0.999),
    ("wv", "wavpack", 16_000, 1, 0.999),
]


def named(cases: list[tuple[object, ...]]) -> list[object]:
    return [pytest.param(*case, id="-".join(map(str, case[:4]))) for case in cases]


def decode(file: bytes, max_audio_s: float = 60.0) -> tuple[Samples, list[str]]:
    warnings: list[str] = []
    blocks = list(decode_audio(io.BytesIO(file), max_audio_s, warnings.append))
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    return np.concatenate(blocks), warnings


def correlation(found: Samples, expected: Samples, reach_s: float = 0.1) -> float:
    """Return the best correlation at any shift of up to `reach_s`: codecs delay."""
    size = 1 << (len(found) + len(expected)).bit_length()
    spectrum = np.fft.rfft(found, size) * np.fft.rfft(expected, size).conj()
    products = np.fft.irfft(spectrum)
    reach = int(reach_s * SAMPLE_RATE)
    near = np.concatenate([products[:reach], products[-reach:]])
    return float(near.max() / np.linalg.norm(found) / np.linalg.norm(expected))


@pytest.mark.parametrize(("container", "codec", "rate", "channels", "least"), named(FORMATS))
def test_any_format_becomes_mono_at_16_khz(
    speech: Samples, container: str, codec: str, rate: int, channels: int, least: float
) -> None:
    expected = speech[: 3 * SAMPLE_RATE]
    bit_rate = 64_000 if codec.startswith("wma") else None
    file = encode_audio(expected, container, codec, rate=rate, channels=channels, bit_rate=bit_rate)
    found, warnings = decode(file)
    assert warnings == []
    assert abs(len(found) - len(expected)) < 0.15 * SAMPLE_RATE
    assert correlation(found, expected) > least


@pytest.mark.parametrize(
    ("codec", "channels"),
    [
        ("pcm_s16le", 1),
        ("pcm_f32le", 1),
        ("pcm_s16le", 2),
        ("pcm_f32le", 2),
        ("pcm_s16le", 6),
    ],
)
def test_mono_is_as_loud_as_each_of_its_channels(codec: str, channels: int) -> None:
    expected = tone(440, 1.0)
    found, _ = decode(encode_audio(expected, "wav", codec, channels=channels))
    assert np.abs(found).max() == pytest.approx(np.abs(expected).max(), rel=0.02)


def test_a_stream_that_changes_midway_is_decoded_on(speech: Samples) -> None:
    parts = [speech[:48_000], speech[48_000:96_000], speech[96_000:144_000], speech[:48_000]]
    forms = [(44_100, 2), (44_100, 1), (48_000, 2), (22_050, 1)]
    file = b"".join(
        encode_audio(part, "mp3", "libmp3lame", rate=rate, channels=channels)
        for part, (rate, channels) in zip(parts, forms, strict=True)
    )
    found, _ = decode(file)
    assert abs(len(found) - 4 * 48_000) < SAMPLE_RATE
    for i, part in enumerate(parts):
        assert correlation(found[i * 48_000 : (i + 1) * 48_000], part, 0.4) > 0.85


@pytest.mark.parametrize("num_samples", [1, 4_000, 16_000, 16_001, 64_000, 100_003])
def test_no_sample_is_lost_or_made(num_samples: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, num_samples).astype(np.float32)
    found, _ = decode(encode_audio(samples, "wav", "pcm_f32le"))
    np.testing.assert_array_equal(found, samples)


def silent_wav(channels: int) -> bytes:
    """Return a second of silence."""
    data = bytes(2 * channels * SAMPLE_RATE)
    fields = (1, channels, SAMPLE_RATE, SAMPLE_RATE * 2 * channels, 2 * channels, 16)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, *fields)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_more_channels_than_eight_are_mixed_where_they_have_places() -> None:
    found, _ = decode(silent_wav(16))
    assert len(found) == SAMPLE_RATE


@pytest.mark.parametrize("channels", [9, 64, 200])
def test_channels_without_a_place_are_refused(channels: int) -> None:
    with pytest.raises(InvalidAudio, match="form"):
        decode(silent_wav(channels))


def test_blocks_are_small_however_long_the_file() -> None:
    file = encode_audio(np.zeros(60 * SAMPLE_RATE, np.float32), "flac", "flac")
    blocks = list(decode_audio(io.BytesIO(file), 100, pytest.fail))
    assert sum(map(len, blocks)) == 60 * SAMPLE_RATE
    assert max(map(len, blocks)) < 10 * SAMPLE_RATE


def test_first_audio_stream_is_taken_where_there_is_video() -> None:
    found, _ = decode(video_file(tone(440, 1.0)))
    assert correlation(found, tone(440, 1.0)) > 0.95


def video_file(sound: Samples | None) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        audio = None
        if sound is not None:
            audio = output.add_stream("pcm_s16le", rate=SAMPLE_RATE)
            audio.layout = "mono"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for _ in range(5):
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(
                (sound * 32767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate = SAMPLE_RATE
            output.mux(audio.encode(frame))
            output.mux(audio.encode(None))
    return target.getvalue()


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0", id="one byte"),
        pytest.param(bytes(10_000), id="zeros"),
        pytest.param(random.Random(0).randbytes(10_000), id="noise"),
        pytest.param(b"It was a bright cold day in April.\n" * 100, id="text"),
        pytest.param(b"{}", id="json"),
        pytest.param(b"RIFF\x24\0\0\0WAVE", id="wav without chunks"),
        pytest.param(video_file(None), id="video only"),
        pytest.param(encode_audio(np.zeros(0, np.float32)), id="wav of no samples"),
        pytest.param(
            encode_audio(np.zeros(0, np.float32), "flac", "flac"), id="flac of no samples"
        ),
    ],
)
def test_nothing_to_decode_is_invalid_audio(file: bytes) -> None:
    with pytest.raises(InvalidAudio) as failure:
        decode(file)
    assert failure.value.field == "audio"


class CountedBytes(io.BytesIO):
    """Knows how far it was read."""

    furthest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return data


def test_audio_as_long_as_the_limit_is_taken() -> None:
    found, _ = decode(encode_audio(tone(440, 2.0)), max_audio_s=2.0)
    assert len(found) == 2 * SAMPLE_RATE


def test_decoding_stops_at_the_limit() -> None:
    file = encode_audio(np.zeros(1200 * SAMPLE_RATE, np.float32), "flac", "flac")
    assert len(file) < 300_000, "the bomb is no bomb"
    source = CountedBytes(file)
    blocks: list[Samples] = []
    with pytest.raises(AudioTooLong, match="20 s") as failure:
        blocks.extend(decode_audio(source, 20.0, pytest.fail))
    assert failure.value.field == "audio"
    assert sum(map(len, blocks)) <= 20 * SAMPLE_RATE


def test_decoding_reads_no_more_of_the_file_than_it_needs() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 300 * SAMPLE_RATE).astype(np.float32)
    source = CountedBytes(encode_audio(noise))
    with pytest.raises(AudioTooLong):
        list(decode_audio(source, 10.0, pytest.fail))
    assert source.furthest < 60 * SAMPLE_RATE * 2


@pytest.mark.parametrize("rate", [1, 100, 999])
def test_rate_that_makes_hours_of_a_few_bytes_is_refused(rate: int) -> None:
    file = bytearray(encode_audio(np.zeros(20_000, np.float32), "wav", "pcm_u8"))
    fields = file.index(b"fmt ") + 12
    file[fields : fields + 8] = struct.pack("<II", rate, rate)
    with pytest.raises(InvalidAudio):
        decode(bytes(file), max_audio_s=1e6)


def test_rate_beyond_any_hardware_is_refused() -> None:
    file = bytearray(encode_audio(np.zeros(20_000, np.float32), "au", "pcm_s16be"))
    file[16:20] = struct.pack(">I", 0x7FFFFFFF)
    with pytest.raises(InvalidAudio):
        decode(bytes(file))


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
    found, warnings = decode(file[: len(file) // 2])
    assert 2 * SAMPLE_RATE < len(found) < 5 * SAMPLE_RATE
    assert correlation(found, expected[: len(found)]) > 0.98
    assert any("cut off" in warning for warning in warnings)


def test_what_is_there_of_a_cut_off_mp4_is_decoded(speech: Samples, tmp_path: Path) -> None:
    file = fast_start_mp4(tmp_path / "fast.mp4", speech[: 8 * SAMPLE_RATE])
    found, warnings = decode(file[: len(file) // 2])
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
        decode(file[: len(file) // 2])


@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("mp4", "aac")])
def test_most_of_a_damaged_file_is_decoded(speech: Samples, container: str, codec: str) -> None:
    expected = speech[: 8 * SAMPLE_RATE]
    file = bytearray(encode_audio(expected, container, codec))
    middle = len(file) // 2
    file[middle : middle + 400] = bytes([0xA5]) * 400
    found, warnings = decode(bytes(file))
    assert 7 * SAMPLE_RATE < len(found) < 9 * SAMPLE_RATE
    assert any("damaged" in warning for warning in warnings)


def test_most_of_a_damaged_flac_is_decoded(speech: Samples) -> None:
    expected = speech[: 8 * SAMPLE_RATE]
    file = bytearray(encode_audio(expected, "flac", "flac"))
    middle = len(file) // 2
    file[middle : middle + 16_000] = bytes([0xA5]) * 16_000
    found, warnings = decode(bytes(file))
    assert 6 * SAMPLE_RATE < len(found) < 8 * SAMPLE_RATE
    assert warnings


def hls(path: Path) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(hls, id="hls"),
        pytest.param(lambda path: hls(Path(f"file:{path}")), id="hls with a file url"),
        pytest.param(lambda path: f"ffconcat version 1.0\nfile {path}\n", id="ffconcat"),
        pytest.param(
            lambda path: f"ffconcat version 1.0\nfile file:{path}\n", id="ffconcat with a url"
        ),
        pytest.param(lambda path: f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns={path}\n", id="sdp"),
        pytest.param(
            lambda path: (
                '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
                f'<Period><AdaptationSet mimeType="audio/wav"><Representation id="0"><BaseURL>'
                f"{path}</BaseURL></Representation></AdaptationSet></Period></MPD>"
            ),
            id="dash",
        ),
        pytest.param(lambda path: f"[playlist]\nFile1={path}\nNumberOfEntries=1\n", id="pls"),
    ],
)
def test_script_that_names_a_local_file_is_refused(
    tmp_path: Path, script: object, speech: Samples
) -> None:
    assert callable(script)
    target = tmp_path / "secret.wav"
    target.write_bytes(encode_audio(speech[:SAMPLE_RATE]))
    with pytest.raises(InvalidAudio):
        decode(script(target).encode())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_sound_are_silenced_with_a_warning(value: float) -> None:
    samples = tone(440, 1.0)
    samples[5000:5010] = value
    found, warnings = decode(encode_audio(samples, "wav", "pcm_f32le"))
    assert len(found) == len(samples)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0
    assert len(warnings) == 1


def test_a_fault_in_every_block_is_told_once() -> None:
    samples = np.full(60 * SAMPLE_RATE, np.nan, np.float32)
    _, warnings = decode(encode_audio(samples, "wav", "pcm_f32le"))
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")]
)
def test_declared_duration_is_that_of_the_audio(container: str, codec: str) -> None:
    file = encode_audio(tone(440, 5.0), container, codec)
    assert declared_duration_s(io.BytesIO(file)) == pytest.approx(5.0, abs=0.2)


def test_declared_duration_of_no_audio_is_invalid_audio() -> None:
    with pytest.raises(InvalidAudio):
        declared_duration_s(io.BytesIO(b"no audio"))


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
        found, _ = decode(file, max_audio_s=10.0)
    except (InvalidAudio, AudioTooLong):
        return
    assert 0 < len(found) <= 10 * SAMPLE_RATE
    assert np.isfinite(found).all()


@pytest.fixture(autouse=True)
def _quiet_ffmpeg() -> Iterator[None]:
    """Damaged files make FFmpeg talk."""
    av.logging.set_level(av.logging.PANIC)
    yield
    av.logging.set_level(None)
