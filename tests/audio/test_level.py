"""Quiet speech is raised to a usual level; loud sound and steady noise stay as they are."""

from __future__ import annotations

import itertools
from io import BytesIO

import numpy as np
import pytest

from audio_files import encode_audio, tone
from talkmill.engine import VadMode
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.audio.level import leveled
from talkmill.engine.audio.preparation import Preparation
from talkmill.engine.audio.sources import WholeFile
from talkmill.engine.types import Samples


def raised(samples: Samples, sizes: list[int] | None = None) -> Samples:
    """Return one channel after `leveled`, fed in blocks of these lengths again and again."""
    blocks, start = [], 0
    for size in itertools.cycle(sizes or [64_000]):
        if start >= len(samples):
            break
        blocks.append(samples[None, start : start + size])
        start += size
    found: Samples = np.concatenate(list(leveled(blocks)), 1)[0]
    return found


def at_peak(samples: Samples, peak_db: float) -> Samples:
    return np.asarray(samples / np.abs(samples).max() * 10 ** (peak_db / 20), np.float32)


def speech_s(samples: Samples) -> tuple[float, list[str]]:
    """Return how much speech is found, in seconds, and the warnings."""
    file = BytesIO(encode_audio(samples, "wav", "pcm_f32le"))
    preparation = Preparation(WholeFile(file), VadMode.AUTO, 80, 1000.0)
    list(preparation)
    return preparation.report.speech_s, preparation.report.warnings


@pytest.mark.parametrize("peak_db", [-55, -65, -75])
def test_speech_is_found_however_quiet(speech: Samples, peak_db: float) -> None:
    usual, _ = speech_s(speech)
    found, warnings = speech_s(at_peak(speech, peak_db))
    assert found == pytest.approx(usual, rel=0.1)
    assert warnings == []


def test_a_far_speaker_is_found_after_a_near_one(speech: Samples) -> None:
    usual, _ = speech_s(speech)
    pair = np.concatenate([at_peak(speech, -3), at_peak(speech, -40), at_peak(speech, -3)])
    found, _ = speech_s(pair)
    assert found == pytest.approx(3 * usual, rel=0.1)


def noises() -> dict[str, Samples]:
    rng = np.random.default_rng(0)
    white = rng.standard_normal(20 * SAMPLE_RATE).astype(np.float32)
    beat = 1 + 0.9 * np.sin(2 * np.pi * 3 * np.arange(len(white)) / SAMPLE_RATE)
    return {
        "silence": np.zeros_like(white),
        "noise at -70 dB": white * 10 ** (-70 / 20),
        "noise at -50 dB": white * 10 ** (-50 / 20),
        "noise that comes and goes": (white * beat * 1e-3).astype(np.float32),
        "rounding": np.round(white * 0.7).astype(np.float32) / 32_768,
        "hum": tone(50, 20.0) * np.float32(2e-3),
    }


@pytest.mark.parametrize("name", list(noises()))
def test_no_noise_becomes_speech(name: str) -> None:
    found, _ = speech_s(noises()[name])
    assert found == 0


@pytest.mark.parametrize("name", ["silence", "noise at -70 dB", "noise at -50 dB", "hum"])
def test_steady_noise_is_not_raised(name: str) -> None:
    noise = noises()[name]
    np.testing.assert_array_equal(raised(noise), noise)


def test_usual_speech_stays_as_it_is(speech: Samples) -> None:
    np.testing.assert_array_equal(raised(speech), speech)


def test_the_gain_is_bounded() -> None:
    sound = np.concatenate([tone(440, 0.3), np.zeros(4800, np.float32)] * 10) * np.float32(1e-5)
    assert np.abs(raised(sound)).max() == pytest.approx(np.abs(sound).max() * 100, rel=1e-3)


def test_sound_beside_loud_sound_is_not_raised(speech: Samples) -> None:
    quiet = at_peak(speech[: 2 * SAMPLE_RATE], -50)
    audio = np.concatenate([quiet, at_peak(speech, -3)])
    found = raised(audio)
    assert np.abs(found).max() <= np.abs(audio).max()
    np.testing.assert_array_equal(found[len(quiet) :], audio[len(quiet) :])
    assert np.abs(found[SAMPLE_RATE // 2 : SAMPLE_RATE]).max() > 10 * np.abs(quiet).max() / 2


@pytest.mark.parametrize("sizes", [[1000], [1600], [64_000, 17], [999_999]])
@pytest.mark.parametrize("num_samples", [1, 1599, 1600, 100_003])
def test_the_result_does_not_depend_on_the_blocks(
    speech: Samples, sizes: list[int], num_samples: int
) -> None:
    audio = at_peak(speech, -50)[:num_samples]
    np.testing.assert_allclose(raised(audio, sizes), raised(audio), rtol=1e-5)
    assert len(raised(audio)) == num_samples


def test_each_channel_has_its_own_level(speech: Samples) -> None:
    pair = np.stack([at_peak(speech, -3), at_peak(speech, -50)])
    [*blocks] = leveled([pair])
    found = np.concatenate(blocks, 1)
    np.testing.assert_array_equal(found[0], pair[0])
    np.testing.assert_array_equal(found[1], raised(pair[1]))


def test_sound_without_speech_is_a_warning() -> None:
    found, warnings = speech_s(tone(440, 5.0))
    assert found == 0
    assert warnings == ["no speech was found, though the audio is not silent: -9 dBFS"]


def test_silence_is_no_warning() -> None:
    assert speech_s(noises()["noise at -70 dB"]) == (0, [])
