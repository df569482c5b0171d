"""How long the encoder's window is for a chunk, and how many positions the decoder sees of it.

Whisper was trained on windows of 30 s. A *fitted* window is as long as the chunk and a margin: the
encoder costs what the audio costs. Its output is followed by the encoder's output for silence
(see `silence`), without which the decoder does not know where to stop and repeats itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..types import EncoderWindow, Features
from .features import CHUNK_FRAMES, HOP_SAMPLES

# Found by trial on base and tiny.en: shorter margins cost word errors, longer ones time.
MARGIN_FRAMES = 60  # 0.6 s of silence after the chunk
GRID_FRAMES = 20  # lengths are multiples of 0.2 s, so that chunks share calls of the encoder

# Positions of the encoder's output and of silence that the decoder sees of a fitted window. The
# decoder's cost grows with them; with fewer than 300 of silence, or 700 in all, Whisper base
# repeated itself.
_FEW_POSITIONS = 900
_MIN_SILENCE = 300
_MAX_POSITIONS = CHUNK_FRAMES // 2


@dataclass(frozen=True)
class Window:
    """The window of one chunk.

    Attributes:
        kind: What decides its length.
        num_frames: Frames of 10 ms that the encoder sees; even.
        num_positions: Positions of the encoder's output that the decoder sees, of 20 ms each.
    """

    kind: EncoderWindow
    num_frames: int
    num_positions: int


FULL_WINDOW = Window(EncoderWindow.FULL, CHUNK_FRAMES, CHUNK_FRAMES // 2)


@dataclass(frozen=True)
class Windows:
    """The windows of one model.

    Attributes:
        kind: What decides their lengths unless a request asks for full windows.
        declared_frames: Lengths that the model was trained for, ascending, if it declares some.
    """

    kind: EncoderWindow = EncoderWindow.FULL
    declared_frames: tuple[int, ...] = ()

    @property
    def available(self) -> frozenset[EncoderWindow]:
        """What a request may ask for."""
        return frozenset({self.kind, EncoderWindow.FULL})

    @property
    def typical_frames(self) -> tuple[int, ...]:
        """Lengths to warm up and measure with, ascending."""
        if self.kind is EncoderWindow.DECLARED:
            return self.declared_frames
        return (500, CHUNK_FRAMES) if self.kind is EncoderWindow.FITTED else (CHUNK_FRAMES,)

    def of_frames(self, num_frames: int) -> Window:
        """Return the window with one of `typical_frames`."""
        return Window(self.kind, num_frames, _num_positions(self.kind, num_frames))

    def max_samples(self, kind: EncoderWindow) -> int:
        """Return the length of the longest chunk, in samples."""
        is_declared = kind is EncoderWindow.DECLARED
        return HOP_SAMPLES * (self.declared_frames[-1] if is_declared else CHUNK_FRAMES)

    def of(self, kind: EncoderWindow, num_samples: int) -> Window:
        """Return the window of a chunk.

        Args:
            kind: One of `available`.
            num_samples: Length of the chunk, at most `max_samples`.
        """
        if kind is EncoderWindow.DECLARED:
            frames = next(n for n in self.declared_frames if n * HOP_SAMPLES >= num_samples)
            return Window(kind, frames, _num_positions(kind, frames))
        wanted = math.ceil(num_samples / HOP_SAMPLES) + MARGIN_FRAMES
        frames = math.ceil(wanted / GRID_FRAMES) * GRID_FRAMES
        if kind is EncoderWindow.FULL or frames >= CHUNK_FRAMES:
            return FULL_WINDOW
        return Window(kind, frames, _num_positions(kind, frames))


def _num_positions(kind: EncoderWindow, num_frames: int) -> int:
    """Return how many positions the decoder sees: own ones, and silence in a fitted window."""
    own = num_frames // 2
    if kind is EncoderWindow.DECLARED:
        return own
    is_short = kind is EncoderWindow.FITTED and own + _MIN_SILENCE <= _FEW_POSITIONS
    return _FEW_POSITIONS if is_short else _MAX_POSITIONS


def groups_of_equal_length(features: Sequence[Features], max_size: int) -> list[list[int]]:
    """Return the indexes of features in groups for one call of the encoder each.

    Args:
        features: (n_mels, num_frames) each.
        max_size: Most features in a group; 0 for no limit.
    """
    by_length: dict[int, list[int]] = {}
    for i, one in enumerate(features):
        by_length.setdefault(one.shape[1], []).append(i)
    size = max_size or len(features)
    return [group[i : i + size] for group in by_length.values() for i in range(0, len(group), size)]
