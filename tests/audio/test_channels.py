"""Each channel of a file on its own, and what becomes of channels that are mixed."""

from __future__ import annotations

import numpy as np
import pytest

from audio_files import (
    correlation,
    decoded,
    decoded_channels,
    encode_audio,
    pcm_wav,
    tone,
)
from talkmill.engine import AudioTooLong, InvalidOption
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.resample import MAX_CHANNELS, Planes
from talkmill.engine.types import Samples

CANCEL = "the two channels cancel each other out when they are mixed: the first is used"


def tones(num_channels: int, duration_s: float = 1.0) -> Planes:
    """Return a tone of its own for each channel."""
    return np.stack([tone(300 + 200 * i, duration_s) for i in range(num_channels)])


@pytest.mark.parametrize(
    ("container", "codec", "rate", "num_channels"),
    [
        ("wav", "pcm_s16le", 16_000, 2),
        ("wav", "pcm_f32le", 44_100, 2),
        ("wav", "pcm_mulaw", 8_000, 2),
        ("wav", "pcm_s16le", 48_000, 6),
        ("flac", "flac", 48_000, 2),
        ("mp3", "libmp3lame", 44_100, 2),
        ("ogg", "libopus", 48_000, 2),
        ("ipod", "aac", 48_000, 2),
    ],
)
def test_each_channel_keeps_its_own_sound(
    container: str, codec: str, rate: int, num_channels: int
) -> None:
    expected = tones(num_channels)
    found, warnings = decoded_channels(encode_audio(expected, container, codec, rate=rate))
    assert warnings == []
    assert len(found) == num_channels
    likeness = [[correlation(heard, said) for said in expected] for heard in found]
    assert np.diag(likeness).min() > 0.97
    assert np.asarray(likeness)[~np.eye(num_channels, dtype=bool)].max() < 0.2


@pytest.mark.parametrize(("codec", "rate"), [("pcm_s16le", 16_000), ("pcm_s16le", 44_100)])
def test_mono_is_one_channel_as_if_it_were_mixed(codec: str, rate: int) -> None:
    file = encode_audio(tone(440, 2.0), codec=codec, rate=rate)
    np.testing.assert_array_equal(decoded_channels(file)[0], decoded(file)[0][None])


def test_no_sample_of_a_channel_is_lost_or_made() -> None:
    planes = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 100_003)).astype(np.float32)
    found, _ = decoded_channels(encode_audio(planes, codec="pcm_f32le"))
    np.testing.assert_array_equal(found, planes)


def test_more_channels_than_can_be_split_are_refused_with_the_limit() -> None:
    file = pcm_wav(np.zeros((9, 1600), np.float32))
    with pytest.raises(
        InvalidOption, match=f"at most {MAX_CHANNELS} channels, this has 9"
    ) as caught:
        decoded_channels(file)
    assert caught.value.field == "channels"


@pytest.mark.parametrize("num_channels", [3, 7, MAX_CHANNELS])
def test_channels_without_a_place_can_be_split(num_channels: int) -> None:
    planes = tones(num_channels)
    found, _ = decoded_channels(pcm_wav(planes))
    np.testing.assert_allclose(found, planes, atol=1e-4)


def test_each_channel_counts_towards_the_limit() -> None:
    file = encode_audio(tones(2, 5.0))
    assert decoded_channels(file, 10.0)[0].shape == (2, 5 * SAMPLE_RATE)
    with pytest.raises(AudioTooLong, match=r"limit of 9\.9 s, each of its 2 channels counted"):
        decoded_channels(file, 9.9)
    assert len(decoded(file, 5.0)[0]) == 5 * SAMPLE_RATE


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_change_of_the_number_of_channels_keeps_all_sound(
    speech: Samples, before: int, after: int
) -> None:
    first, second = speech[:64_000], speech[64_000:128_000]
    file = b"".join(
        encode_audio(part, "mp3", "libmp3lame", rate=44_100, channels=channels)
        for part, channels in ((first, before), (second, after))
    )
    found, warnings = decoded_channels(file)
    assert warnings[0] == (  # where the two files meet, a packet may be damaged
        f"the audio changes from {before} to {after} channels midway: the rest is mixed, the same "
        f"in each of the {before}"
    )
    assert len(found) == before
    for plane in found:
        assert correlation(plane[:64_000], first, 0.4) > 0.9
        assert correlation(plane[64_000:], second, 0.4) > 0.9


def test_a_fault_is_reported_with_its_channel() -> None:
    planes = tones(2, 20.0)
    planes[1, 5000::50_000] = np.nan
    found, warnings = decoded_channels(encode_audio(planes, codec="pcm_f32le"))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], planes[0])
    [warning] = warnings
    assert warning.startswith("channel 1 has samples that are NaN")


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("gains", [(1.0, -1.0), (1.0, -0.9), (-0.9, 1.0)])
def test_channels_that_cancel_each_other_out_are_not_mixed(
    speech: Samples, codec: str, rate: int, gains: tuple[float, float]
) -> None:
    expected = speech[: 5 * SAMPLE_RATE]
    planes = np.stack([gain * expected for gain in gains])
    found, warnings = decoded(encode_audio(planes, codec=codec, rate=rate))
    assert warnings == [CANCEL]
    assert correlation(found, planes[0]) > 0.999
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(planes[0]), rel=0.02)


def test_channels_cancel_only_where_both_are_the_same_sound(speech: Samples) -> None:
    first, second = speech[: 5 * SAMPLE_RATE], speech[-5 * SAMPLE_RATE :]
    silence = np.zeros_like(first)
    noise = np.random.default_rng(0).normal(0, 0.1, first.shape).astype(np.float32)
    pairs = [(first, second), (first, silence), (silence, silence), (first, first), (noise, -first)]
    for pair in pairs:
        found, warnings = decoded(encode_audio(np.stack(pair), codec="pcm_f32le"))
        assert warnings == []
        np.testing.assert_allclose(found, sum(pair) / 2, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_values_that_are_no_sound_do_not_cancel(value: float) -> None:
    planes = tones(2)
    planes[0, 5000:5010] = value
    _, warnings = decoded(encode_audio(planes, codec="pcm_f32le"))
    assert [warning for warning in warnings if warning == CANCEL] == []
    assert len(warnings) == 1
