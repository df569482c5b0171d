"""A batch through one replica: encode, language, prompt, generate, segments.

No threads and no clock: `worker` says when, and measures. What fails here raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..decoding.exact import ExactLane, ExactTask
from ..decoding.hypothesis import Hypothesis
from ..model.loading import LoadedModel
from ..model.protocol import EncoderOutput, SpeechModel
from ..transcript.segments import to_segments
from ..types import Segment
from .batcher import PendingChunk
from .request import Request


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """Chunks with the encoder's output, which lives until each of them is accepted.

    Attributes:
        items: The chunks.
        output: What the encoder returned, a row for each chunk.
        prompts: The tokens before each answer.
    """

    items: Sequence[PendingChunk]
    output: EncoderOutput
    prompts: list[list[int]]

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.items)


@dataclass(frozen=True, eq=False)
class DecodedChunk:
    """One chunk with its answer.

    Attributes:
        item: The chunk.
        hypothesis: The answer as tokens, with how sure the model is.
        segments: The answer as text with times, in order.
        encoded: The batch that holds the encoder's output of the chunk.
        row: The chunk's row in it.
    """

    item: PendingChunk
    hypothesis: Hypothesis
    segments: list[Segment]
    encoded: EncodedBatch
    row: int


class Runner:
    """Runs batches on one replica. Thread-safe: it holds no state of a batch."""

    def __init__(
        self,
        replica: SpeechModel,
        model: LoadedModel,
        is_wanted: Callable[[Request], bool] = lambda request: not request.is_done,
    ) -> None:
        """Take the replica.

        Args:
            replica: Where batches run.
            model: The model that it is a replica of.
            is_wanted: The exact lane asks it before each step of a chunk, and drops the chunk once
                it is False.
        """
        self._replica = replica
        self._is_wanted = is_wanted
        self._tokenizer = model.tokenizer
        self._vocabulary = model.vocabulary

    def run(self, batch: Sequence[PendingChunk]) -> list[DecodedChunk]:
        """Return the decoded chunks of a batch, in its order."""
        return self.decode(self.encode(batch))

    def encode(self, batch: Sequence[PendingChunk]) -> EncodedBatch:
        """Encode a batch, detect the languages that are not known, and make the prompts."""
        output = self._replica.encode(np.stack([item.features for item in batch]))
        self._detect_languages(output, batch)
        return EncodedBatch(batch, output, [self._prompt(item.request) for item in batch])

    def decode(self, encoded: EncodedBatch) -> list[DecodedChunk]:
        """Return the decoded chunks of an encoded batch, whose chunks share one key.

        Raises:
            RuntimeError: The model did not give one hypothesis for each chunk.
        """
        if (plan := encoded.items[0].key.plan) is not None:
            hypotheses = self._replica.generate(encoded.output, encoded.prompts, plan)
        else:
            hypotheses = self.new_lane().run(encoded.output, self.tasks(encoded))
        if len(hypotheses) != len(encoded):
            raise RuntimeError(
                f"{len(encoded)} chunks, {len(hypotheses)} hypotheses. This is a bug."
            )
        return [self.finish(encoded, row, found) for row, found in enumerate(hypotheses)]

    def new_lane(self) -> ExactLane:
        """Return an empty exact lane."""
        return self._replica.exact_lane(self._vocabulary)

    def tasks(self, encoded: EncodedBatch) -> list[ExactTask]:
        """Return a task of the exact lane for each chunk."""
        return [
            ExactTask(
                prompt=prompt,
                plan=item.request.plan,
                seed=item.request.seed,
                chunk=item.index,
                is_wanted=functools.partial(self._is_wanted, item.request),
            )
            for item, prompt in zip(encoded.items, encoded.prompts, strict=True)
        ]

    def finish(self, encoded: EncodedBatch, row: int, hypothesis: Hypothesis) -> DecodedChunk:
        """Return one chunk of an encoded batch with its hypothesis and segments."""
        item = encoded.items[row]
        segments = to_segments(
            hypothesis.tokens,
            item.spans,
            self._tokenizer,
            timestamps=item.request.options.timestamps,
        )
        return DecodedChunk(item, hypothesis, segments, encoded, row)

    def _detect_languages(self, output: EncoderOutput, batch: Sequence[PendingChunk]) -> None:
        # Only a request's first chunk comes here without a language: the others wait for it.
        unknown = [(row, item) for row, item in enumerate(batch) if item.request.language is None]
        if unknown:
            detected = self._replica.detect_language(output)
            for row, item in unknown:
                item.request.set_language(*detected[row])

    def _prompt(self, request: Request) -> list[int]:
        options = request.options
        assert request.language is not None
        return self._tokenizer.prompt(
            request.language, options.task, options.timestamps, request.previous
        )
