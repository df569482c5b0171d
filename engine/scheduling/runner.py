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
from ..decoding.plan import Strategy
from ..model.loading import LoadedModel
from ..model.previous_text import PreviousText
from ..model.protocol import EncoderOutput, SpeechModel
from ..transcript.checks import is_unwritten, max_tokens, num_written, suspicion, written_until
from ..transcript.logprobs import with_logprobs
from ..transcript.segments import to_segments
from ..types import EncoderWindow, Segment
from .pending_chunk import PendingChunk
from .request import Request
from .request_language import Heard, limited, positions_to_detect
from .word_times import add_words

MAX_ATTEMPTS = 2  # after the first
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
        self._is_wanted = is_wanted
        self._tokenizer = model.tokenizer
        self._vocabulary = model.vocabulary

    def run(self, batch: Sequence[PendingChunk]) -> list[DecodedChunk]:
        """Return the decoded chunks of a batch, in its order."""
        return self.decode(self.encode(batch))

    def encode(self, batch: Sequence[PendingChunk]) -> EncodedBatch:
        """Encode a batch, detect the languages that are not known, and make the prompts."""
        positions = batch[0].window.num_positions
        output = self._replica.encode([item.features for item in batch], positions)
        items = self._detect_languages(output, batch)
        return EncodedBatch(items, output, [self._prompt(item) for item in items])

    def decode(self, encoded: EncodedBatch) -> list[DecodedChunk]:
        """Return the decoded chunks of an encoded batch, whose chunks share one key.

        Raises:
            RuntimeError: The model did not give one hypothesis for each chunk.
        """
        if (plan := encoded.items[0].key.plan) is not None:
            most = max(map(_max_tokens, encoded.items))
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

    def new_lane(self) -> ExactLane:
        """Return an empty exact lane."""
        return self._replica.exact_lane(self._vocabulary)

    def tasks(self, encoded: EncodedBatch) -> list[ExactTask]:
        """Return a task of the exact lane for each chunk."""
        return [
            ExactTask(
                prompt=prompt,
                plan=replace(item.plan, max_new_tokens=_max_tokens(item)),
                seed=item.request.seed,
                chunk=item.index,
                is_wanted=functools.partial(self._is_wanted, item.request),
            )
            for item, prompt in zip(encoded.items, encoded.prompts, strict=True)
        ]

    def finish(self, encoded: EncodedBatch, row: int, hypothesis: Hypothesis) -> DecodedChunk:
        """Return one chunk of an encoded batch with its segments, or with the next attempt."""
        item = encoded.items[row]
        timestamps = item.request.options.timestamps
        found = to_segments(hypothesis.tokens, item.spans, self._tokenizer, timestamps=timestamps)
        found = with_logprobs(found, hypothesis, self._tokenizer)
        if item.request.checked.is_multi:
            found = [replace(segment, language=item.language or "") for segment in found]
        segments = [*item.accepted, *found]
        until = written_until(segments, item.spans[0], timestamps=timestamps)
        again, reason = self._next_attempt(item, hypothesis, segments, until)
        written = num_written(until, item.speech)
        previous = _following(item, hypothesis) if found else item.previous
        return DecodedChunk(
            item, hypothesis, segments, written, again, reason, encoded, row, previous
        )

    def _next_attempt(
        self, item: PendingChunk, hypothesis: Hypothesis, segments: list[Segment], until: int
    ) -> tuple[PendingChunk | None, str]:
        """Return the chunk as it must be decoded again, and why; None if the answer is accepted."""
        if item.num_attempts >= MAX_ATTEMPTS or not self._is_wanted(item.request):
            return None, ""
        if item.window.kind is EncoderWindow.FITTED and not _is_forced(item, hypothesis):
            text = "".join(segment.text for segment in segments[len(item.accepted) :])
            begin = self._tokenizer.timestamp_begin
            speech_s = (
                (item.speech[-1].end - item.spans[0].start) / SAMPLE_RATE if item.speech else 0
            )
            reason = suspicion(hypothesis, text, item.audio_s, speech_s, begin)
            if reason:
                return item.in_full_window(), reason
        has_advanced = until - item.spans[0].start >= _MIN_ADVANCE_S * SAMPLE_RATE
        if item.request.options.timestamps and has_advanced and is_unwritten(until, item.speech):
            rest = item.rest(until, tuple(segments))
            return rest.after(_following(item, hypothesis)), "speech after the last segment"
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


def _is_forced(item: PendingChunk, hypothesis: Hypothesis) -> bool:
    """Return whether the request's own parameters may have made an answer look suspect.

    That is an answer that was drawn, or is as short or as long as the request's limits say. A drawn
    one that is as long as a loop is suspect all the same.
    """
    plan, num_tokens = item.plan, len(hypothesis.tokens)
    if num_tokens >= plan.max_new_tokens or 0 < plan.min_new_tokens >= num_tokens:
        return True
    return plan.strategy is Strategy.SAMPLE and num_tokens < max_tokens(item.audio_s)


def _max_tokens(item: PendingChunk) -> int:
    """Return the most tokens to generate for a chunk: in a fitted window no more than a loop has.

    A loop's answer is not accepted, so that where it is cut makes no difference.
    """
    plan = item.plan
    if item.window.kind is not EncoderWindow.FITTED:
        return plan.max_new_tokens
    return min(plan.max_new_tokens, max(max_tokens(item.audio_s), plan.min_new_tokens))
