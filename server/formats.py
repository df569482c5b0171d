"""Output formats of a transcript: text, JSON and subtitles. Pure functions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator

from ..engine import Transcript


def to_text(transcript: Transcript) -> str:
    """Return the text only; of split channels a line for each segment."""
    if not _has_channels(transcript):
        return transcript.text + "\n"
    lines = _labelled(transcript, "Channel {}: ")
    return "".join(f"{channel}{text}\n" for channel, (_, _, text) in lines)


def to_json(transcript: Transcript) -> str:
    """Return every field as JSON on one line."""
    known = dataclasses.asdict(transcript)
    known["encoder_window"] = transcript.encoder_window.value
    return json.dumps(known, ensure_ascii=False, default=list) + "\n"  # bytes as numbers


def to_srt(transcript: Transcript) -> str:
    """Return SubRip subtitles."""
    return "".join(
        f"{number}\n{_clock(start_s, ',')} --> {_clock(end_s, ',')}\n{channel}{text}\n\n"
        for number, (channel, (start_s, end_s, text)) in enumerate(
            _labelled(transcript, "Channel {}: "), 1
        )
    )


def to_vtt(transcript: Transcript) -> str:
    """Return WebVTT subtitles; the voice of a cue is its channel."""
    cues = (
        f"{_clock(start_s, '.')} --> {_clock(end_s, '.')}\n{channel}{_escape(text)}\n\n"
        for channel, (start_s, end_s, text) in _labelled(transcript, "<v Channel {}>")
    )
    return "WEBVTT\n\n" + "".join(cues)


def to_tsv(transcript: Transcript) -> str:
    """Return start and end in milliseconds and the text, separated by tabs, with a header.

    Split channels are a fourth column.
    """
    rows = (
        f"{round(start_s * 1000)}\t{round(end_s * 1000)}\t{text}{channel}\n"
        for channel, (start_s, end_s, text) in _labelled(transcript, "\t{}")
    )
    column = "\tchannel" if _has_channels(transcript) else ""
    return f"start\tend\ttext{column}\n" + "".join(rows)


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_text,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
}


def timed_lines(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Yield start_s, end_s and text of each segment.

    A missing end is the start of the next segment of its channel, and the audio's end for the last.
    """
    ends_s: list[float] = []
    next_start_s: dict[int | None, float] = {}
    for segment in reversed(transcript.segments):
        open_until_s = next_start_s.get(segment.channel, transcript.duration_s)
        ends_s.append(open_until_s if segment.end_s is None else segment.end_s)
        next_start_s[segment.channel] = segment.start_s
    for segment, end_s in zip(transcript.segments, reversed(ends_s), strict=True):
        yield segment.start_s, end_s, " ".join(segment.text.split())


def _has_channels(transcript: Transcript) -> bool:
    return any(segment.channel is not None for segment in transcript.segments)


def _labelled(transcript: Transcript, form: str) -> Iterator[tuple[str, tuple[float, float, str]]]:
    """Yield the lines of `timed_lines`, each with its channel in this form, or without one."""
    for segment, line in zip(transcript.segments, timed_lines(transcript), strict=True):
        yield "" if segment.channel is None else form.format(segment.channel), line


def _clock(time_s: float, decimal_mark: str) -> str:
    total_ms = round(time_s * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{decimal_mark}{ms % 1000:03}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
