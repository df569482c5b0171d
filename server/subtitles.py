"""Cues of subtitles from a transcript, and the command line's options for them. Pure functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from ..engine import Segment, Transcript, Word

_LONG_PAUSE_S = 3.0  # between the starts of two words: a cue that spans segments ends there
_SHORTEST_S = 0.001  # WebVTT has no cue without length


@dataclass(frozen=True)
class Layout:
    """How words are laid out as cues, as by the options of openai/whisper's command line.

    Attributes:
        max_line_width: Most characters of a line; None for no limit. A longer word is a line.
        max_line_count: Most lines of a cue, only with `max_line_width`: cues are filled up across
            segments, up to a long pause. None: each segment is a cue.
        max_words_per_line: Most words of a cue, not with `max_line_width`; None for no limit.
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None


@dataclass(frozen=True)
class Cue:
    """Text that is shown at once. Times are seconds from the start of the audio.

    Attributes:
        start_s: Start.
        end_s: End.
        lines: Its lines of words; where the words are not known, the text is one.
    """

    start_s: float
    end_s: float
    lines: tuple[tuple[Word, ...], ...]

    @classmethod
    def of(cls, lines: Sequence[Sequence[Word]]) -> Cue:
        """Return the cue of these words, from the first one's start to the last one's end."""
        start_s, end_s = lines[0][0].start_s, lines[-1][-1].end_s
        return cls(start_s, max(end_s, start_s + _SHORTEST_S), tuple(map(tuple, lines)))


def timed_lines(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Yield start_s, end_s and text of each segment.

    A missing end is the next segment's start, and the audio's end for the last segment.
    """
    segments = transcript.segments
    starts = [*(segment.start_s for segment in segments), transcript.duration_s]
    for segment, next_start_s in zip(segments, starts[1:], strict=True):
        end_s = next_start_s if segment.end_s is None else segment.end_s
        yield segment.start_s, end_s, " ".join(segment.text.split())


def cues(transcript: Transcript, layout: Layout) -> Iterator[Cue]:
    """Yield the cues of a transcript: of its words where it has them, else of its segments."""
    if any(segment.words for segment in transcript.segments):
        yield from _cues_of_words(transcript.segments, layout)
        return
    for start_s, end_s, text in timed_lines(transcript):
        yield Cue(start_s, end_s, ((Word(text, start_s, end_s, 1.0),),))


def _cues_of_words(segments: Sequence[Segment], layout: Layout) -> Iterator[Cue]:
    keeps_segments = layout.max_line_width is None or layout.max_line_count is None
    lines: list[list[Word]] = []
    last_s = 0.0
    for segment in segments:
        size = layout.max_words_per_line or len(segment.words)
        for number, word in enumerate(segment.words):
            is_next_cue = keeps_segments and number % size == 0
            is_after_pause = not keeps_segments and word.start_s - last_s > _LONG_PAUSE_S
            last_s = word.start_s
            if lines and not (is_next_cue or is_after_pause) and _fits(lines[-1], word, layout):
                lines[-1].append(word)
                continue
            is_full = layout.max_line_count is not None and len(lines) >= layout.max_line_count
            if lines and (is_next_cue or is_after_pause or (is_full and not keeps_segments)):
                yield Cue.of(lines)
                lines = []
            lines.append([word])
    if lines:
        yield Cue.of(lines)


def _fits(line: Sequence[Word], word: Word, layout: Layout) -> bool:
    width = len("".join(one.text for one in (*line, word)).strip())
    return layout.max_line_width is None or width <= layout.max_line_width


def subtitle_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of subtitles to a command, which gets `words` and `layout` for them.

    Raises:
        click.UsageError: One of them has no effect without, or beside, another one.
    """

    @click.option(
        "--word-timestamps",
        is_flag=True,
        help="Give each word its times: in json, and in vtt as a tag before each word.",
    )
    @click.option(
        "--max-line-width",
        type=click.IntRange(min=1),
        help="Subtitles: most characters of a line. Needs --word-timestamps, as do the next two.",
    )
    @click.option(
        "--max-line-count",
        type=click.IntRange(min=1),
        help="Subtitles: most lines of a cue. Needs --max-line-width.",
    )
    @click.option(
        "--max-words-per-line",
        type=click.IntRange(min=1),
        help="Subtitles: most words of a cue; 1 gives each word a cue. Not with --max-line-width.",
    )
    @functools.wraps(command)
    def with_layout(*args: Any, word_timestamps: bool, **given: Any) -> None:
        limits = {name: given.pop(name) for name in Layout.__dataclass_fields__}
        _check(limits, word_timestamps, given["output"])
        if word_timestamps and given["timestamps"] is False:
            raise click.UsageError("--word-timestamps needs timestamps")
        command(*args, words=word_timestamps, layout=Layout(**limits), **given)

    return with_layout


def _check(limits: dict[str, int | None], words: bool, output: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name, limit in limits.items() if limit is not None]
    if given and not words:
        raise click.UsageError(f"{given[0]} needs --word-timestamps")
    if given and output not in ("srt", "vtt"):
        raise click.UsageError(
            f"{given[0]} has no effect on --output {output}, only on srt and vtt"
        )
    if words and output in ("txt", "tsv"):
        raise click.UsageError(f"--word-timestamps has no effect on --output {output}")
    if limits["max_line_count"] is not None and limits["max_line_width"] is None:
        raise click.UsageError("--max-line-count needs --max-line-width")
    if limits["max_words_per_line"] is not None and limits["max_line_width"] is not None:
        raise click.UsageError("--max-words-per-line has no effect with --max-line-width")
