"""How much of the detected speech has text, of all channels and of each."""

from __future__ import annotations

from collections import Counter

from ..audio.decode import SAMPLE_RATE

MIN_COVERAGE = 0.98  # less gives a warning


def coverage(written: Counter[int], speech: Counter[int]) -> float:
    """Return the share of the speech that has text, 0 to 1; 1 if there is no speech.

    Args:
        written: Samples of speech with text, of each channel.
        speech: Samples of speech, of each channel.
    """
    return _share(written.total(), speech.total())


def coverage_warnings(written: Counter[int], speech: Counter[int], *, is_split: bool) -> list[str]:
    """Return a sentence for each channel whose speech has too little text.

    Args:
        written: See `coverage`.
        speech: See there.
        is_split: Whether the sentences name the channel.
    """
    warnings = []
    for channel, num_samples in sorted(speech.items()):
        if (share := _share(written[channel], num_samples)) < MIN_COVERAGE:
            where = f"channel {channel}: " if is_split else ""
            speech_s = num_samples / SAMPLE_RATE
            warnings.append(
                f"{where}coverage {share:.2f}: {(1 - share) * speech_s:.1f} of {speech_s:.1f} s of "
                "speech has no text"
            )
    return warnings


def _share(num_written: int, num_samples: int) -> float:
    return min(1.0, num_written / num_samples) if num_samples else 1.0
