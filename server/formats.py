"""Output formats of a transcript: text, JSON and subtitles. Pure functions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..engine import TokenLogprob, Transcript, language_name
from .subtitles import Cue, Layout, cues, timed_lines

_PLAIN = Layout()


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


def to_srt(transcript: Transcript, layout: Layout = _PLAIN) -> str:
    """Return SubRip subtitles; `layout` is for a transcript with words."""
    return "".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n"
        f"{_label(cue.channel, 'Channel {}: ')}{_text(cue)}\n\n"
        for number, cue in enumerate(cues(transcript, layout), 1)
    )


def to_vtt(transcript: Transcript, layout: Layout = _PLAIN) -> str:
    """Return WebVTT subtitles, with the time of each word where there are words.

    The voice of a cue is its channel.
    """
    blocks = (
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        f"{_label(cue.channel, '<v Channel {}>')}{_karaoke(cue)}\n\n"
        for cue in cues(transcript, layout)
    )
    return "WEBVTT\n\n" + "".join(blocks)


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
SUBTITLES: dict[str, Callable[[Transcript, Layout], str]] = {"srt": to_srt, "vtt": to_vtt}


def _text(cue: Cue) -> str:
    return "\n".join("".join(word.text for word in line).strip() for line in cue.lines)


def _karaoke(cue: Cue) -> str:
    """Return the text of a cue with the start of each word that begins inside it as a tag."""
    last_ms, end_ms = round(cue.start_s * 1000), round(cue.end_s * 1000)
    lines = []
    for line in cue.lines:
        text = ""
        for word in line:
            start_ms = round(word.start_s * 1000)
            if not last_ms < start_ms < end_ms:  # WebVTT: after every earlier time of the cue
                text += _escape(word.text)
                continue
            last_ms = start_ms
            bare = word.text.lstrip()
            space = word.text[: len(word.text) - len(bare)]
            text += f"{space}<{_clock(word.start_s, '.')}>{_escape(bare)}"
        lines.append(text.strip())
    return "\n".join(lines)


def to_logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """Return the tokens of the segments as OpenAI's JSON has them."""
    return [
        {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}
        for token in tokens
    ]


def to_detection(transcript: Transcript) -> dict[str, Any]:
    """Return how probable a detected language is, and the next ones by their English names."""
    if not transcript.other_languages:
        return {}
    return {
        "language_probability": transcript.language_probability,
        "other_languages": [
            {"language": language_name(code), "probability": probability}
            for code, probability in transcript.other_languages
        ],
    }


def _has_channels(transcript: Transcript) -> bool:
    return any(segment.channel is not None for segment in transcript.segments)


def _labelled(transcript: Transcript, form: str) -> Iterator[tuple[str, tuple[float, float, str]]]:
    """Yield the lines of `timed_lines`, each with its channel in this form, or without one."""
    for segment, line in zip(transcript.segments, timed_lines(transcript), strict=True):
        yield _label(segment.channel, form), line


def _label(channel: int | None, form: str) -> str:
    return "" if channel is None else form.format(channel)


def _clock(time_s: float, decimal_mark: str) -> str:
    total_ms = round(time_s * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{decimal_mark}{ms % 1000:03}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
