"""Times the words of the chunks of one batch, from the encoder's output that the batch keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..audio.features import HOP_SAMPLES
from ..model.alignment import ALL_POSITIONS, AlignmentTask, seen_positions
from ..model.protocol import EncoderOutput, SpeechModel
from ..model.tokenizer import WhisperTokenizer
from ..transcript.words import with_words
from ..types import Segment, Span

_SAMPLES_PER_POSITION = 2 * HOP_SAMPLES


@dataclass(frozen=True)
class Untimed:
    """Segments of a chunk, whose words are to be timed.

    Attributes:
        row: The chunk's row in the encoder's output.
        prompt: The tokens that its answer followed, with timestamps.
        span: Where its audio comes from.
        segments: The segments with their tokens; at least one.
        speech: The speech that was detected in it.
        is_fitted: Whether its window is fitted, so that most of the row is silence.
    """

    row: int
    prompt: Sequence[int]
    span: Span
    segments: Sequence[Segment]
    speech: Sequence[Span] = ()
    is_fitted: bool = field(kw_only=True)

    def task(self, start_of_transcript: int) -> AlignmentTask:
        """Return what the model must align; text before the start of the transcript is left out."""
        num_positions = max(1, (self.span.end - self.span.start) // _SAMPLES_PER_POSITION)
        start = self.prompt[list(self.prompt).index(start_of_transcript) :]
        return AlignmentTask(
            row=self.row,
            start=tuple(start),
            tokens=tuple(token for segment in self.segments for token in segment.tokens),
            num_positions=num_positions,
            num_seen=seen_positions(num_positions) if self.is_fitted else ALL_POSITIONS,
        )


def time_words(
    replica: SpeechModel,
    tokenizer: WhisperTokenizer,
    output: EncoderOutput,
    chunks: Sequence[Untimed],
) -> list[list[Segment]]:
    """Return the segments of each chunk with their words.

    Args:
        replica: It aligns tokens with audio.
        tokenizer: The model's tokenizer.
        output: What the encoder returned, with a row for each chunk.
        chunks: Chunks with text.
    """
    tasks = [chunk.task(tokenizer.start_of_transcript) for chunk in chunks]
    alignments = replica.align(output, tasks)
    return [
        with_words(
            chunk.segments,
            alignment,
            chunk.span,
            tokenizer,
            tokenizer.language_of(task.start),
            chunk.speech,
        )
        for chunk, task, alignment in zip(chunks, tasks, alignments, strict=True)
    ]
