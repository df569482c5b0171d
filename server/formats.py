"""Output formats of a transcript: text, JSON and subtitles. Pure functions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..engine import TokenLogprob, Transcript


def to_text(transcript: Transcript) -> str:
    """Return the text only."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> str:
    """Return every field as JSON on one line."""
    known = dataclasses.asdict(transcript)
    known["encoder_window"] = transcript.encoder_window.value
    return json.dumps(known, ensure_ascii=False) + "\n"


def to_srt(transcript: Transcript) -> str:
    """Return SubRip subtitles."""
    return "".join(
        f"{number}\n{_clock(start_s, ',')} --> {_clock(end_s, ',')}\n{text}\n\n"
        for number, (start_s, end_s, text) in enumerate(timed_lines(transcript), 1)
    )


def to_vtt(transcript: Transcript) -> str:
    """Return WebVTT subtitles."""
    cues = (
        f"{_clock(start_s, '.')} --> {_clock(end_s, '.')}\n{_escape(text)}\n\n"
        for start_s, end_s, text in timed_lines(transcript)
    )
    return "WEBVTT\n\n" + "".join(cues)


def to_tsv(transcript: Transcript) -> str:
    """Return start and end in milliseconds and the text, separated by tabs, with a header."""
    rows = (
        f"{round(start_s * 1000)}\t{round(end_s * 1000)}\t{text}\n"
        for start_s, end_s, text in timed_lines(transcript)
    )
    return "start\tend\ttext\n" + "".join(rows)


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_text,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
}


def timed_lines(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Yield start_s, end_s and text of each segment.

    A missing end is the next segment's start, and the audio's end for the last segment.
    """
    segments = transcript.segments
    starts = [*(segment.start_s for segment in segments), transcript.duration_s]
    for segment, next_start_s in zip(segments, starts[1:], strict=True):
        end_s = next_start_s if segment.end_s is None else segment.end_s
        yield segment.start_s, end_s, " ".join(segment.text.split())


def to_logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """Return the tokens of the segments as OpenAI's JSON has them."""
    return [
        {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}
        for token in tokens
    ]


def _clock(time_s: float, decimal_mark: str) -> str:
    total_ms = round(time_s * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{decimal_mark}{ms % 1000:03}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
