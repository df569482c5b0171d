"""What the engine needs of a model. Knows tokens and features, nothing of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..decoding.exact import ExactLane
from ..decoding.hypothesis import Hypothesis
from ..decoding.plan import DecodePlan
from ..decoding.rules import Vocabulary
from .alignment import Alignment, AlignmentTask
from .silence import Silence

EncoderOutput = Any
"""What an encoder returns and its own decoder takes; opaque to everyone else."""

Detection = tuple[tuple[str, float], ...]
"""Codes of languages with their probabilities, the most probable first."""


class ArrayEncoder(Protocol):
    """An encoder other than CTranslate2's. Thread-safe.

    Attributes:
        number_type: Type of the computation, as NumPy calls it.
        silence: What windows shorter than 30 s attend to after their own positions, if anything.
    """

    number_type: str
    silence: Silence | None

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (batch, num_frames / 2, d_model) for (batch, n_mels, num_frames)."""


class SpeechModel(Protocol):
    """One replica on one device. Safe to call from several threads."""

    @property
    def n_mels(self) -> int:
        """Mel bands of the features it takes."""

    @property
    def num_tokens(self) -> int:
        """Tokens of the vocabulary: those that have a logit."""

    def encode(self, features: Sequence[NDArray[np.float32]], num_positions: int) -> EncoderOutput:
        """Return the encoder's output of a batch, a row for each chunk.

        Args:
            features: float32 (n_mels, num_frames) of each chunk; the numbers of frames may differ.
            num_positions: Positions of each row. Where a chunk's frames give fewer, the encoder's
                output for silence follows.
        """

    def row(self, encoded: EncoderOutput, index: int) -> EncoderOutput:
        """Return a copy of one row of what `encode` returned, without the others.

        Only `stack` takes it.
        """

    def stack(self, outputs: Sequence[EncoderOutput]) -> EncoderOutput:
        """Return one output with the rows of all, as `encode` would have; at least one is given.

        Args:
            outputs: What `encode` and `row` returned, with as many positions each.
        """

    def detect_languages(
        self, encoded: EncoderOutput, rows: Sequence[int], max_positions: int = 0
    ) -> list[Detection]:
        """Return the probability of every language for some rows.

        Args:
            encoded: What `encode` returned.
            rows: Indexes of the rows.
            max_positions: Positions to look at, from the first; 0 for all. The time grows with
                their number.
        """

    def generate(
        self, encoded: EncoderOutput, prompts: list[list[int]], plan: DecodePlan
    ) -> list[Hypothesis]:
        """Return the best hypothesis of each row.

        Args:
            encoded: What `encode` returned for the same rows.
            prompts: One for each row, all of one length.
            plan: How to search; one of the native lane.
        """

    def align(self, encoded: EncoderOutput, tasks: Sequence[AlignmentTask]) -> list[Alignment]:
        """Return when each token of some rows begins, in the order of `tasks`.

        Args:
            encoded: What `encode` returned.
            tasks: The rows and their tokens.
        """

    def exact_lane(self, vocabulary: Vocabulary) -> ExactLane:
        """Return an empty exact lane for one worker: HF's algorithms over `encode`'s output."""
