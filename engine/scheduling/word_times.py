"""Times the words of the chunks of one batch, from the encoder's output that the batch keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..audio.features import HOP_SAMPLES
from ..model.alignment import ALL_POSITIONS, AlignmentTask, seen_positions
from ..model.protocol import SpeechModel
from ..model.tokenizer import WhisperTokenizer
from ..transcript.words import with_words
from ..types import EncoderWindow, Segment

if TYPE_CHECKING:
    from .runner import DecodedChunk

_SAMPLES_PER_POSITION = 2 * HOP_SAMPLES


def add_words(
    replica: SpeechModel, tokenizer: WhisperTokenizer, decoded: list[DecodedChunk]
) -> list[DecodedChunk]:
    """Return decoded chunks of one batch, those with their words that ask for words.

    A chunk whose answer is thrown away gets none.

    Args:
        replica: It aligns tokens with audio.
        tokenizer: The model's tokenizer.
        decoded: Chunks of one batch, not necessarily all.
    """
    wanted = [
        i for i, one in enumerate(decoded) if one.item.request.options.words and _new_segments(one)
    ]
    if not wanted:
        return decoded
    tasks = [_task(decoded[i], tokenizer.start_of_transcript) for i in wanted]
    found = list(decoded)
    alignments = replica.align(decoded[wanted[0]].encoded.output, tasks)
    for i, task, alignment in zip(wanted, tasks, alignments, strict=True):
        item, new = decoded[i].item, _new_segments(decoded[i])
        language = tokenizer.language_of(task.start)
        timed = with_words(new, alignment, item.spans[0], tokenizer, language, item.speech)
        found[i] = _with_segments(decoded[i], timed)
    return found


def _new_segments(decoded: DecodedChunk) -> list[Segment]:
    """Return the segments of this attempt; none if they are thrown away."""
    num_accepted = len(decoded.item.accepted)
    if decoded.again is not None and len(decoded.again.accepted) == num_accepted:
        return []
    return decoded.segments[num_accepted:]


def _with_segments(decoded: DecodedChunk, new: list[Segment]) -> DecodedChunk:
    """Return the same answer with others in place of the segments of this attempt."""
    segments = [*decoded.item.accepted, *new]
    again = decoded.again and replace(decoded.again, accepted=tuple(segments))
    return replace(decoded, segments=segments, again=again)


def _task(decoded: DecodedChunk, start_of_transcript: int) -> AlignmentTask:
    """Return what the model must align; text before the start of the transcript is left out."""
    item, prompt = decoded.item, decoded.encoded.prompts[decoded.row]
    span = item.spans[0]
    num_positions = max(1, (span.end - span.start) // _SAMPLES_PER_POSITION)
    is_fitted = item.window.kind is EncoderWindow.FITTED  # most of the row may be silence
    return AlignmentTask(
        row=decoded.row,
        start=tuple(prompt[prompt.index(start_of_transcript) :]),
        tokens=tuple(token for segment in _new_segments(decoded) for token in segment.tokens),
        num_positions=num_positions,
        num_seen=seen_positions(num_positions) if is_fitted else ALL_POSITIONS,
    )
