"""Files that are refused: no audio, too long, of an impossible rate, or naming other files."""

from __future__ import annotations

import contextlib
import ctypes
import io
import random
import struct
from pathlib import Path

import av
import av.frame
import numpy as np
import pytest
from fuzz_audio import forget_peak, peak_bytes

from audio_files import decoded, encode_audio, tone, video_file
from talkmill.engine import AudioTooLong, InvalidAudio
from talkmill.engine.audio.decode import SAMPLE_RATE, decode_audio
from talkmill.engine.types import Samples

pytestmark = pytest.mark.usefixtures("quiet_ffmpeg")


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
        decoded(file)
    assert failure.value.field == "audio"


class CountedBytes(io.BytesIO):
    """Records the end of the furthest read."""

    furthest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return data


def test_audio_as_long_as_the_limit_is_taken() -> None:
    found, _ = decoded(encode_audio(tone(440, 2.0)), max_audio_s=2.0)
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
        decoded(bytes(file), max_audio_s=1e6)


def test_rate_beyond_any_hardware_is_refused() -> None:
    file = bytearray(encode_audio(np.zeros(20_000, np.float32), "au", "pcm_s16be"))
    file[16:20] = struct.pack(">I", 0x7FFFFFFF)
    with pytest.raises(InvalidAudio):
        decoded(bytes(file))


def with_codec(tag: int, num_block_bytes: int, num_channels: int = 1) -> bytes:
    """Return a WAV of zeros that names a codec by its number."""
    file = bytearray(encode_audio(np.zeros(200_000, np.float32), "wav", "pcm_u8"))
    form = struct.pack("<HHIIHH", tag, num_channels, 16_000, 16_000, num_block_bytes, 16)
    start = file.index(b"fmt ") + 8
    file[start : start + 16] = form
    return bytes(file)


def test_a_codec_without_a_decoder_is_refused() -> None:
    with pytest.raises(InvalidAudio, match="no decoder for the audio in the wav file"):
        decoded(with_codec(0x71, 2))


SPEEX, AMR_WB, GSM, WMA = 0xA109, 0x78, 0x31, 0x161


def test_a_packet_of_thousands_of_frames_is_refused() -> None:
    # One of 64 KiB would become 34 million samples.
    with pytest.raises(InvalidAudio, match="nothing in the audio stream can be decoded"):
        decoded(with_codec(SPEEX, 65_535), max_audio_s=1e6)


@pytest.mark.parametrize("codec", [SPEEX, AMR_WB, GSM, WMA])
@pytest.mark.parametrize("num_block_bytes", [0, 2, 65_535])
@pytest.mark.parametrize("num_channels", [1, 2, 65_535])
def test_no_header_takes_hundreds_of_megabytes(
    codec: int, num_block_bytes: int, num_channels: int
) -> None:
    file = with_codec(codec, num_block_bytes, num_channels)
    forget_peak()
    before = peak_bytes()
    with contextlib.suppress(InvalidAudio, AudioTooLong):
        for _ in decode_audio(io.BytesIO(file), 60.0, lambda warning: None):
            pass
    assert peak_bytes() - before < 100e6


def test_ffmpeg_cannot_allocate_gigabytes_at_once() -> None:
    decoded(encode_audio(tone(440, 0.1)))
    library = ctypes.CDLL(av.frame.__file__)
    library.av_malloc.restype = ctypes.c_void_p
    assert library.av_malloc(ctypes.c_size_t(2**28)) is None
    place = library.av_malloc(ctypes.c_size_t(2**20))
    assert place is not None
    library.av_free(ctypes.c_void_p(place))


def test_packets_that_cannot_be_decoded_are_given_up_after_10_000() -> None:
    warnings: list[str] = []
    with pytest.raises(InvalidAudio):
        list(decode_audio(io.BytesIO(with_codec(GSM, 2)), 60.0, warnings.append))
    assert warnings == ["audio is damaged: 10000 packets could not be decoded"]


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
        decoded(script(target).encode())
