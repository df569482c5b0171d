from __future__ import annotations

import struct

import numpy as np
import pytest

from audio_files import correlation, decoded, tone
from talkmill.engine import Encoding, InvalidOption, PcmDecoder
from talkmill.engine.types import Samples

NAMES = {Encoding.MULAW: 7, Encoding.ALAW: 6}  # in the header of a WAV file


def wav_of_bytes(codes: bytes, kind: int) -> bytes:
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, kind, 1, 16_000, 16_000, 1, 8
    )
    return head + struct.pack("<4sI", b"data", len(codes)) + codes


def fed(decoder: PcmDecoder, data: bytes, size: int) -> Samples:
    pieces = [decoder.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return np.concatenate([*pieces, decoder.finish()])


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
def test_every_byte_of_g711_is_what_ffmpeg_makes_of_it(encoding: Encoding) -> None:
    codes = bytes(range(256)) * 8
    expected, _ = decoded(wav_of_bytes(codes, NAMES[encoding]))
    np.testing.assert_array_equal(PcmDecoder(encoding).feed(codes), expected)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("encoding", [Encoding.PCM16, Encoding.FLOAT32])
def test_samples_may_be_cut_anywhere(encoding: Encoding, size: int) -> None:
    sound = tone(440.0, 0.1)
    kind = "<i2" if encoding is Encoding.PCM16 else "<f4"
    data = (sound * (32_767 if encoding is Encoding.PCM16 else 1)).astype(kind).tobytes()
    assert np.abs(fed(PcmDecoder(encoding), data, size) - sound).max() < 1e-4


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 44_100, 48_000])
def test_other_rates_are_resampled(rate_hz: int) -> None:
    data = (tone(440.0, 1.0, rate_hz) * 32_767).astype("<i2").tobytes()
    found = fed(PcmDecoder(Encoding.PCM16, rate_hz), data, 960)
    assert abs(len(found) - 16_000) <= 32
    assert correlation(found, tone(440.0, 1.0)) > 0.99


def test_channels_are_mixed() -> None:
    left, right = tone(440.0, 0.1), -tone(440.0, 0.1) / 2
    data = np.stack([left, right], 1).astype("<f4").tobytes()
    found = fed(PcmDecoder(Encoding.FLOAT32, 16_000, 2), data, 1_001)
    np.testing.assert_allclose(found, left / 4, atol=1e-6)


def test_floats_that_are_no_sound_are_clipped() -> None:
    data = np.array([np.nan, np.inf, -7.0], "<f4").tobytes()
    np.testing.assert_array_equal(PcmDecoder(Encoding.FLOAT32).feed(data), [0.0, 1.0, -1.0])


def test_half_a_sample_at_the_end_is_counted() -> None:
    decoder = PcmDecoder(Encoding.PCM16, num_channels=2)
    decoder.feed(bytes(7))
    assert decoder.num_rest_bytes == 3


@pytest.mark.parametrize(
    ("rate_hz", "num_channels", "field"),
    [(7_999, 1, "sample_rate_hz"), (192_001, 1, "sample_rate_hz"), (16_000, 9, "channels")],
)
def test_numbers_out_of_range_are_refused(rate_hz: int, num_channels: int, field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        PcmDecoder(Encoding.PCM16, rate_hz, num_channels)
    assert refused.value.field == field
