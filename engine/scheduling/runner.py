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
from ..model.previous_text import PreviousText
from ..model.protocol import EncoderOutput, SpeechModel
from ..transcript.checks import compression_ratio, is_unwritten, num_written, written_until
from ..transcript.logprobs import with_logprobs
from ..transcript.segments import to_segments, with_confidence
from ..types import Segment
from .attempts import (
    MAX_ATTEMPTS,
    find_endless_loop,
    has_fitted_failed,
    judge,
    most_tokens,
    suspicion_of,
    warnings_of,
)
from .pending_chunk import PendingChunk
from .request import Request
from .request_language import Heard, limited, positions_to_detect
from .word_times import add_words

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
        previous: What stands before the audio that follows.
        warnings: What the caller must know of the segments.
        has_fitted_failed: Whether a fitted window did badly by its audio; None if it does not say.
    """

    item: PendingChunk
    hypothesis: Hypothesis
    segments: list[Segment]
    num_written: int
    again: PendingChunk | None
    reason: str
    encoded: EncodedBatch
    row: int
    previous: PreviousText
    warnings: tuple[str, ...] = ()
    has_fitted_failed: bool | None = None

    @property
    def heard(self) -> Heard:
        """The languages that were detected in it."""
        item = self.item
        spans = item.speech or item.spans
        return Heard(
            index=item.index,
            detection=item.detection,
            start_s=spans[0].start / SAMPLE_RATE,
            num_samples=sum(span.end - span.start for span in spans),
            has_text=bool(self.segments),
        )


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
        self._model = model
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
        items = [item for item in batch if item.kept is None]
        kept = [item for item in batch if item.kept is not None]
        outputs: list[EncoderOutput] = [item.kept for item in kept]
        if items:
            positions = items[0].window.num_positions
            encoded = self._replica.encode([item.features for item in items], positions)
            items = self._detect_languages(encoded, items)
            outputs.insert(0, encoded)
        items += kept
        output = self._replica.stack(outputs) if kept else outputs[0]
        return EncodedBatch(items, output, [self._prompt(item) for item in items])

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

    def add_words(self, decoded: list[DecodedChunk]) -> list[DecodedChunk]:
        """Return decoded chunks of one batch, those with their words that ask for words."""
        return add_words(self._replica, self._tokenizer, decoded)

    def probe(self) -> None:
        """Run the package's recording through the replica; see `LoadedModel.probe`."""
        self._model.probe(self._replica)

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
        if item.request.checked.is_interim:
            return self._accept(encoded, row, hypothesis)
        text = self._tokenizer.decode(hypothesis.tokens)
        suspect = suspicion_of(item, hypothesis, text, self._tokenizer.timestamp_begin)
        verdict = judge(item, hypothesis, text, suspect)
        has_failed = has_fitted_failed(item, suspect)
        if not verdict.reason or not self._is_wanted(item.request):
            accepted = self._accept(encoded, row, verdict.hypothesis)
            return replace(accepted, has_fitted_failed=has_failed)
        if verdict.failed is None:
            again = item.in_full_window()
        else:
            kept = self._replica.row(encoded.output, row) if item.kept is None else item.kept
            again = item.at_next_temperature(kept, verdict.failed)
        return DecodedChunk(
            item=item,
            hypothesis=hypothesis,
            segments=[],
            num_written=0,
            again=again,
            reason=verdict.reason,
            encoded=encoded,
            row=row,
            previous=item.previous,
            has_fitted_failed=has_failed,
        )

    def _accept(self, encoded: EncodedBatch, row: int, hypothesis: Hypothesis) -> DecodedChunk:
        item = encoded.items[row]
        timestamps = item.request.options.timestamps
        loop = find_endless_loop(item, hypothesis, self._tokenizer.timestamp_begin)
        said = hypothesis if loop is None else hypothesis.until(len(loop.kept))
        found = to_segments(said.tokens, item.spans, self._tokenizer, timestamps=timestamps)
        cut = None if loop is None else (self._tokenizer.decode(loop.ngram).strip(), loop.times)
        warnings = warnings_of(item, hypothesis, found, cut)
        found = self._described(found, item, said)
        segments = [*item.accepted, *found]
        until = written_until(segments, item.spans[0], timestamps=timestamps)
        previous = _following(item, said) if found else item.previous
        again, reason = self._rest(item, segments, until, previous)
        written = num_written(until, item.speech)
        return DecodedChunk(
            item, said, segments, written, again, reason, encoded, row, previous, warnings
        )

    def _described(
        self, found: list[Segment], item: PendingChunk, hypothesis: Hypothesis
    ) -> list[Segment]:
        """Return the segments of an answer with what is known of it."""
        ratio = compression_ratio("".join(segment.text for segment in found))
        found = with_confidence(found, hypothesis, item.spans[0], ratio)
        found = with_logprobs(found, hypothesis, self._tokenizer)
        if item.request.checked.is_multi:
            found = [replace(segment, language=item.language or "") for segment in found]
        return found

    def _rest(
        self, item: PendingChunk, segments: list[Segment], until: int, previous: PreviousText
    ) -> tuple[PendingChunk | None, str]:
        """Return the audio after the last segment, if it must be decoded again, and why."""
        if item.num_attempts >= MAX_ATTEMPTS or not self._is_wanted(item.request):
            return None, ""
        has_advanced = until - item.spans[0].start >= _MIN_ADVANCE_S * SAMPLE_RATE
        if item.request.options.timestamps and has_advanced and is_unwritten(until, item.speech):
            rest = item.rest(until, tuple(segments))
            return rest.after(previous), "speech after the last segment"
        return None, ""

    def _detect_languages(
        self, output: EncoderOutput, batch: Sequence[PendingChunk]
    ) -> list[PendingChunk]:
        """Return the chunks with the languages that were detected in them."""
        items = list(batch)
        groups: dict[int, list[int]] = {}
        for row, item in enumerate(items):
            if item.request.checked.language is None and not item.detection:
                positions = positions_to_detect(item.request.checked, item.language)
                groups.setdefault(positions, []).append(row)
        for max_positions, rows in groups.items():
            found = self._replica.detect_languages(output, rows, max_positions)
            for row, detection in zip(rows, found, strict=True):
                possible = limited(detection, items[row].request.checked.languages)
                items[row] = replace(items[row], detection=possible)
        return items

    def _prompt(self, item: PendingChunk) -> list[int]:
        options, language = item.request.options, item.language
        assert language is not None
        return self._tokenizer.prompt(
            language, options.task, options.timestamps, item.previous.tokens
        )


def _following(item: PendingChunk, hypothesis: Hypothesis) -> PreviousText:
    """Return what stands before the audio that follows an answer."""
    if not item.request.checked.is_conditioned:
        return item.previous
    return item.previous.followed_by(hypothesis.tokens, hypothesis.temperature)
