from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from audio_files import tone
from talkmill.engine.audio.features import CHUNK_FRAMES, CHUNK_SAMPLES, log_mel
from talkmill.engine.types import Samples

REFERENCE = Path(__file__).parents[1] / "data" / "log_mel_reference.npz"

# As in make_log_mel_reference.py.
CLIPS: dict[str, Callable[[Samples], Samples]] = {
    "padded": lambda speech: speech,
    "full": lambda speech: np.tile(speech, 3)[:CHUNK_SAMPLES],
    "almost_full": lambda speech: np.tile(speech, 3)[:479_900],
    "tiny": lambda speech: speech[40_000:40_001],
}


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("clip", CLIPS)
def test_features_equal_the_reference(speech: Samples, clip: str, n_mels: int) -> None:
    with np.load(REFERENCE) as reference:
        frames, expected = reference["frames"], reference[f"{clip}_{n_mels}"]
    features = log_mel(CLIPS[clip](speech), n_mels)
    assert features.shape == (n_mels, CHUNK_FRAMES)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, frames], expected, atol=1e-4)


@pytest.mark.parametrize(
    "num_samples", [1, 159, 160, 161, 200, 201, 399, 400, 401, 479_799, 479_801, 479_999, 480_000]
)
def test_padding_with_silence_beforehand_changes_nothing(speech: Samples, num_samples: int) -> None:
    clip = np.tile(speech, 3)[:num_samples]
    padded = np.pad(clip, (0, CHUNK_SAMPLES - num_samples))
    np.testing.assert_allclose(log_mel(clip, 80), log_mel(padded, 80), atol=1e-5)


def test_silence_is_flat() -> None:
    features = log_mel(np.zeros(16_000, np.float32), 80)
    assert np.ptp(features) == 0


def test_higher_tone_is_heard_in_a_higher_band() -> None:
    loudest = [int(log_mel(tone(hz, 1.0), 80).mean(1).argmax()) for hz in (200, 800, 2000, 6000)]
    assert loudest == sorted(set(loudest))


def test_threads_get_the_same_features(speech: Samples) -> None:
    clips = [speech[start:] for start in range(0, 64_000, 8_000)]
    alone = [log_mel(clip, 80) for clip in clips]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda clip: log_mel(clip, 80), clips * 2))
    for expected, found in zip(alone * 2, together, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_samples_are_left_as_they_were(speech: Samples) -> None:
    assert not speech.flags.writeable  # numpy raises on a write
    log_mel(speech, 128)


def test_a_shorter_window_has_the_same_frames_while_there_is_sound(speech: Samples) -> None:
    sound = speech[: 4 * 16_000]
    assert np.array_equal(log_mel(sound, 80, 500)[:, :390], log_mel(sound, 80)[:, :390])
    assert log_mel(sound, 80, 500).shape == (80, 500)
