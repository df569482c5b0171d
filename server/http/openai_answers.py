"""Writes answers in OpenAI's schema: JSON, text, subtitles, and events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.responses import PlainTextResponse, Response

from ...engine import Segment, TalkmillError, Transcript, language_name
from ..formats import FORMATS, to_detection, to_logprobs
from ..subtitles import timed_lines
from .errors import openai_details
from .long_json import LongJson
from .openai_form import Form

_NAMES_OF_FORMATS = {"text": "txt", "srt": "srt", "vtt": "vtt"}
# OpenAI gives the words without the marks around them; the text has them.
_PUNCTUATION = "\"'“”¿¡([{}])-.。,，!！?？:：;；、"
_AUDIO_TOKENS_PER_S = 50  # positions of Whisper's encoder


def respond(form: Form, transcript: Transcript, headers: dict[str, str]) -> Response:
    """Return the answer to a form, with these headers."""
    if form.shape in _NAMES_OF_FORMATS:
        if transcript.warnings:
            headers["x-warnings"] = json.dumps(transcript.warnings)
        text = FORMATS[_NAMES_OF_FORMATS[form.shape]](transcript)
        return PlainTextResponse(text, headers=headers)
    answer: dict[str, Any] = {
        "text": transcript.text,
        "usage": {"type": "duration", "seconds": transcript.duration_s},
    }
    if form.shape == "verbose_json":
        answer |= {
            "task": form.options.task.value,
            "language": language_name(transcript.language),
            "duration": transcript.duration_s,
            **to_detection(transcript),
        }
        if form.has_segments:
            answer["segments"] = _segments(transcript)
        if form.options.words:
            answer["words"] = _words(transcript)
    if form.options.token_logprobs:
        answer["logprobs"] = to_logprobs(transcript.logprobs)
    if transcript.warnings:
        answer["warnings"] = list(transcript.warnings)
    return LongJson(answer, headers=headers)


async def events(
    form: Form, first: Segment | Transcript, others: AsyncGenerator[Segment | Transcript]
) -> AsyncIterator[str]:
    """Yield server-sent events: each segment's text as it is done, then all of it.

    Args:
        form: What is asked for.
        first: The first of the segments, or the transcript if there is none.
        others: The other segments, then the transcript.
    """
    num_segments = 0
    async with aclosing(others):  # a closed connection cancels the request
        try:
            item = first
            while isinstance(item, Segment):
                for content in _of_segment(form, item, num_segments):
                    yield _event(content)
                num_segments += 1
                item = await anext(others)
            yield _event(_done(form, item))
        except TalkmillError as error:  # the status is sent already: report it as an event
            yield _event({"error": openai_details(error)})
            raise
        yield "data: [DONE]\n\n"


def _segments(transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "seek": segment.seek,
            "start": start_s,
            "end": end_s,
            "text": segment.text,
            "tokens": list(segment.tokens),
            "temperature": segment.temperature,
            "avg_logprob": segment.avg_logprob,
            "compression_ratio": segment.compression_ratio,
            "no_speech_prob": segment.no_speech_prob,
            **_channel(segment),
        }
        for number, ((start_s, end_s, _), segment) in enumerate(
            zip(timed_lines(transcript), transcript.segments, strict=True)
        )
    ]


def _words(transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {
            "word": word.text.strip().strip(_PUNCTUATION) or word.text.strip(),
            "start": word.start_s,
            "end": word.end_s,
            "probability": word.probability,
            **_channel(segment),
        }
        for segment in transcript.segments
        for word in segment.words
    ]


def _channel(segment: Segment) -> dict[str, Any]:
    return {} if segment.channel is None else {"channel": segment.channel}


def _of_segment(form: Form, segment: Segment, number: int) -> list[dict[str, Any]]:
    """Return the events of a segment: its text, and with verbose_json its times.

    OpenAI's event with times names a speaker: here the channel, if channels are split.
    """
    delta: dict[str, Any] = {"type": "transcript.text.delta", "delta": segment.text}
    if form.options.token_logprobs:
        delta["logprobs"] = to_logprobs(segment.logprobs)
    if form.shape != "verbose_json":
        return [delta]
    name = f"seg_{number}"
    whole = {
        "type": "transcript.text.segment",
        "id": name,
        "start": segment.start_s,
        "end": segment.start_s if segment.end_s is None else segment.end_s,
        "text": segment.text,
        "speaker": "" if segment.channel is None else f"channel {segment.channel}",
    }
    return [{**delta, "segment_id": name}, whole]


def _done(form: Form, transcript: Transcript) -> dict[str, Any]:
    num_audio = round(transcript.duration_s * _AUDIO_TOKENS_PER_S)
    num_text = sum(len(segment.tokens) for segment in transcript.segments)
    done: dict[str, Any] = {
        "type": "transcript.text.done",
        "text": transcript.text,
        # OpenAI's type of this event knows tokens only; the seconds are ours.
        "usage": {
            "type": "tokens",
            "input_tokens": num_audio,
            "output_tokens": num_text,
            "total_tokens": num_audio + num_text,
            "seconds": transcript.duration_s,
        },
    }
    if form.options.token_logprobs:
        done["logprobs"] = to_logprobs(transcript.logprobs)
    if warnings := [*form.warnings, *transcript.warnings]:
        done["warnings"] = warnings
    return done


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
