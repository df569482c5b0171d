"""A batch through one replica: encode, language, prompt, generate, segments.

No threads and no clock: `worker` says when, and measures. What fails here raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..audio.decode import SAMPLE_RATE
from ..decoding.exact import ExactLane, ExactTask
from ..decoding.hypothesis import Hypothesis
from ..model.loading import LoadedModel
from ..model.protocol import EncoderOutput, SpeechModel
from ..transcript.checks import compression_ratio, is_unwritten, num_written, written_until
from ..transcript.segments import to_segments, with_confidence
from ..types import Segment
from .attempts import MAX_ATTEMPTS, judge, most_tokens, warnings_of, without_loop
from .pending_chunk import PendingChunk
from .request import Request

_MIN_ADVANCE_S = 0.5  # less written than this, and the rest is the same audio again


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
        segments: The segments of the whole chunk, in order, those of earlier attempts included.
        num_written: Samples of its speech that the segments cover.
        again: The chunk as it must be decoded again; None if the answer is accepted.
        reason: Why it must.
        encoded: The batch that holds the encoder's output of the chunk.
        row: The chunk's row in it.
        warnings: What the caller must know of the segments.
    """

    item: PendingChunk
    hypothesis: Hypothesis
    segments: list[Segment]
    num_written: int
    again: PendingChunk | None
    reason: str
    encoded: EncodedBatch
    row: int
    warnings: tuple[str, ...] = ()


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
        """Return the decoded chunks of a batch, in the order of `encode`."""
        return self.decode(self.encode(batch))

    def encode(self, batch: Sequence[PendingChunk]) -> EncodedBatch:
        """Encode a batch, detect the languages that are not known, and make the prompts.

        What was encoded before is not again; such chunks come after the others.
        """
        fresh = [item for item in batch if item.kept is None]
        kept = [item for item in batch if item.kept is not None]
        outputs: list[EncoderOutput] = [item.kept for item in kept]
        if fresh:
            positions = fresh[0].window.num_positions
            encoded = self._replica.encode([item.features for item in fresh], positions)
            self._detect_languages(encoded, fresh)
            outputs.insert(0, encoded)
        items = [*fresh, *kept]
        output = self._replica.stack(outputs) if kept else outputs[0]
        return EncodedBatch(items, output, [self._prompt(item.request) for item in items])

    def decode(self, encoded: EncodedBatch) -> list[DecodedChunk]:
        """Return the decoded chunks of an encoded batch, whose chunks share one key.

        Raises:
            RuntimeError: The model did not give one hypothesis for each chunk.
        """
        if (plan := encoded.items[0].key.plan) is not None:
            most = max(map(most_tokens, encoded.items))
            hypotheses = self._replica.generate(
                encoded.output, encoded.prompts, replace(plan, max_new_tokens=most)
            )
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
                plan=replace(item.plan, max_new_tokens=most_tokens(item)),
                seed=item.request.seed if item.plan.seed is None else item.plan.seed,
                chunk=item.index + (item.num_failed << 32),  # each attempt draws differently
                is_wanted=functools.partial(self._is_wanted, item.request),
            )
            for item, prompt in zip(encoded.items, encoded.prompts, strict=True)
        ]

    def finish(self, encoded: EncodedBatch, row: int, hypothesis: Hypothesis) -> DecodedChunk:
        """Return one chunk of an encoded batch with its segments, or with the next attempt."""
        item = encoded.items[row]
        text = self._tokenizer.decode(hypothesis.tokens)
        verdict = judge(item, hypothesis, text, self._tokenizer.timestamp_begin)
        if not verdict.reason or not self._is_wanted(item.request):
            return self._accept(encoded, row, verdict.hypothesis)
        if verdict.failed is None:
            again = item.in_full_window()
        else:
            kept = self._replica.row(encoded.output, row) if item.kept is None else item.kept
            again = item.at_next_temperature(kept, verdict.failed)
        return DecodedChunk(item, hypothesis, [], 0, again, verdict.reason, encoded, row)

    def _accept(self, encoded: EncodedBatch, row: int, hypothesis: Hypothesis) -> DecodedChunk:
        item, decode = encoded.items[row], self._tokenizer.decode
        timestamps = item.request.options.timestamps
        loop = without_loop(item, hypothesis, self._tokenizer.timestamp_begin)
        tokens = hypothesis.tokens if loop is None else loop.kept
        found = to_segments(tokens, item.spans, self._tokenizer, timestamps=timestamps)
        cut = None if loop is None else (decode(loop.ngram).strip(), loop.num_repeats)
        warnings = warnings_of(item, hypothesis, found, cut)
        ratio = compression_ratio("".join(segment.text for segment in found))
        segments = [*item.accepted, *with_confidence(found, hypothesis, item.spans[0], ratio)]
        until = written_until(segments, item.spans[0], timestamps=timestamps)
        again, reason = self._rest(item, segments, until)
        written = num_written(until, item.speech)
        return DecodedChunk(
            item, hypothesis, segments, written, again, reason, encoded, row, warnings
        )

    def _rest(
        self, item: PendingChunk, segments: list[Segment], until: int
    ) -> tuple[PendingChunk | None, str]:
        """Return the audio after the last segment, if it must be decoded again, and why."""
        if item.num_attempts >= MAX_ATTEMPTS or not self._is_wanted(item.request):
            return None, ""
        has_advanced = until - item.spans[0].start >= _MIN_ADVANCE_S * SAMPLE_RATE
        if item.request.options.timestamps and has_advanced and is_unwritten(until, item.speech):
            return item.rest(until, tuple(segments)), "speech after the last segment"
        return None, ""

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
