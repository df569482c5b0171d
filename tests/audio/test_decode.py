"""Any file becomes mono audio at 16 kHz, all of it and as loud as it was."""

from __future__ import annotations

import io

import numpy as np
import pytest

from audio_files import (
    FORMATS,
    correlation,
    decoded,
    encode_audio,
    pcm_wav,
    tone,
    video_file,
)
from talkmill.engine import InvalidAudio, declared_duration_s
from talkmill.engine.audio.decode import SAMPLE_RATE, decode_audio
from talkmill.engine.types import Samples


@pytest.mark.parametrize(
    ("container", "codec", "rate", "channels", "least"),
    [pytest.param(*case, id="-".join(map(str, case[:4]))) for case in FORMATS],
)
def test_any_format_becomes_mono_at_16_khz(
    speech: Samples, container: str, codec: str, rate: int, channels: int, least: float
) -> None:
    expected = speech[: 3 * SAMPLE_RATE]
    bit_rate = 64_000 if codec.startswith("wma") else None
    file = encode_audio(expected, container, codec, rate=rate, channels=channels, bit_rate=bit_rate)
    found, warnings = decoded(file)
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
    found, _ = decoded(encode_audio(expected, "wav", codec, channels=channels))
    assert np.abs(found).max() == pytest.approx(np.abs(expected).max(), rel=0.02)


def test_a_stream_that_changes_midway_is_decoded_on(speech: Samples) -> None:
    parts = [speech[:48_000], speech[48_000:96_000], speech[96_000:144_000], speech[:48_000]]
    forms = [(44_100, 2), (44_100, 1), (48_000, 2), (22_050, 1)]
    file = b"".join(
        encode_audio(part, "mp3", "libmp3lame", rate=rate, channels=channels)
        for part, (rate, channels) in zip(parts, forms, strict=True)
    )
    found, _ = decoded(file)
    assert abs(len(found) - 4 * 48_000) < SAMPLE_RATE
    for i, part in enumerate(parts):
        assert correlation(found[i * 48_000 : (i + 1) * 48_000], part, 0.4) > 0.85


@pytest.mark.parametrize("num_samples", [1, 4_000, 16_000, 16_001, 64_000, 100_003])
def test_no_sample_is_lost_or_made(num_samples: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, num_samples).astype(np.float32)
    found, _ = decoded(encode_audio(samples, "wav", "pcm_f32le"))
    np.testing.assert_array_equal(found, samples)


def test_more_channels_than_eight_are_mixed_where_they_have_places() -> None:
    found, _ = decoded(pcm_wav(np.zeros((16, SAMPLE_RATE), np.float32)))
    assert len(found) == SAMPLE_RATE


@pytest.mark.parametrize("channels", [9, 64, 200])
def test_channels_without_a_place_are_refused(channels: int) -> None:
    with pytest.raises(InvalidAudio, match="form"):
        decoded(pcm_wav(np.zeros((channels, SAMPLE_RATE), np.float32)))


def test_blocks_are_small_however_long_the_file() -> None:
    file = encode_audio(np.zeros(60 * SAMPLE_RATE, np.float32), "flac", "flac")
    blocks = list(decode_audio(io.BytesIO(file), 100, pytest.fail))
    assert sum(map(len, blocks)) == 60 * SAMPLE_RATE
    assert max(map(len, blocks)) < 10 * SAMPLE_RATE


def test_first_audio_stream_is_taken_where_there_is_video() -> None:
    found, _ = decoded(video_file(tone(440, 1.0)))
    assert correlation(found, tone(440, 1.0)) > 0.95


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_sound_are_silenced_with_a_warning(value: float) -> None:
    samples = tone(440, 1.0)
    samples[5000:5010] = value
    found, warnings = decoded(encode_audio(samples, "wav", "pcm_f32le"))
    assert len(found) == len(samples)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0
    assert len(warnings) == 1


def test_a_fault_in_every_block_is_reported_once() -> None:
    samples = np.full(60 * SAMPLE_RATE, np.nan, np.float32)
    _, warnings = decoded(encode_audio(samples, "wav", "pcm_f32le"))
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
