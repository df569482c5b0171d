"""OpenAI's schema for speech to text, as most tools speak it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from ...engine import (
    InvalidOption,
    Segment,
    TalkmillError,
    Task,
    Transcript,
    UnsupportedOption,
)
from ..formats import FORMATS, timed_lines
from ..status import MalformedBody
from .endpoint import Call
from .errors import openai_details
from .fields import to_options

ANY_MODEL = "whisper-1"
"""The model that many tools name whatever is served; it selects the model that is served."""

FORMATS_OF_ANSWERS = ("json", "text", "srt", "verbose_json", "vtt")
_NAMES_OF_FORMATS = {"text": "txt", "srt": "srt", "vtt": "vtt"}
_TIMED = ("verbose_json", "srt", "vtt")
_GRANULARITIES = "timestamp_granularities[]"
# Other fields are parsed as JSON: numbers, lists.
_TEXTS = ("language", "prompt", "vad", "encoder_window")


async def transcriptions(call: Call) -> Response:
    """Transcribe an uploaded file in its language."""
    return await _answer(call, Task.TRANSCRIBE)


async def translations(call: Call) -> Response:
    """Translate an uploaded file into English."""
    return await _answer(call, Task.TRANSLATE)


async def _answer(call: Call, task: Task) -> Response:
    form = await call.bodies.form(call.request)  # whole: fields may follow the file
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise MalformedBody("file is not an uploaded file", "file")
        _refuse_doubles(form)
        shape, is_streamed = _read_shape(form)
        model = str(form.get("model", ""))
        model = "" if model == ANY_MODEL else model
        fields = _read_fields(form)
        options, warnings = to_options(
            {**fields, "task": task.value, "return_timestamps": shape in _TIMED}
        )
        checked = await call.gateway.check(options, model, call.options)
    except BaseException:
        await form.close()
        raise
    audio = file.file  # the engine closes it
    if is_streamed:
        items = call.gateway.stream(audio, checked, call.options)
        # Wait for the first item: a request that is refused still gets its own status.
        first = await call.unless_disconnected(anext(items))
        return StreamingResponse(_events(first, items, warnings), media_type="text/event-stream")
    transcript = await call.transcribe(audio, checked, warnings)
    return _respond(call, transcript, shape, task)


def _refuse_doubles(form: FormData) -> None:
    for name in form:
        if name != _GRANULARITIES and len(form.getlist(name)) > 1:
            raise InvalidOption(f"{name} is given twice", name)


def _read_shape(form: FormData) -> tuple[str, bool]:
    """Return the format of the answer, and whether it is streamed as events."""
    shape = form.get("response_format", "json")
    if shape not in FORMATS_OF_ANSWERS:
        names = ", ".join(FORMATS_OF_ANSWERS)
        raise InvalidOption(f"response_format {shape!r} is not one of {names}", "response_format")
    for value in form.getlist(_GRANULARITIES):
        if value == "word":
            raise UnsupportedOption(f'{_GRANULARITIES} "word" is not supported yet', _GRANULARITIES)
        if value != "segment":
            raise InvalidOption(f"{_GRANULARITIES} {value!r} is not segment", _GRANULARITIES)
        if shape != "verbose_json":
            raise InvalidOption(
                f"{_GRANULARITIES} needs response_format verbose_json", _GRANULARITIES
            )
    stream = str(form.get("stream", "false")).lower()
    if stream not in ("true", "false"):
        raise InvalidOption(f"stream {stream!r} is neither true nor false", "stream")
    if stream == "true" and shape not in ("json", "text"):
        raise InvalidOption(f"stream does not go with response_format {shape}", "stream")
    return str(shape), stream == "true"


def _read_fields(form: FormData) -> dict[str, Any]:
    """Return the fields that are options of the request."""
    own = {"file", "model", "response_format", "stream", _GRANULARITIES}
    fields: dict[str, Any] = {}
    for name, text in form.multi_items():
        if name in own:
            continue
        if name in ("task", "return_timestamps"):
            raise InvalidOption(
                f"{name} is not accepted here: the path or response_format sets it", name
            )
        if not isinstance(text, str):
            raise MalformedBody(f"{name} is a file", name)
        fields[name] = (text or None) if name in _TEXTS else _read_json(text)
    if fields.get("temperature") == 0 and not isinstance(fields["temperature"], bool):
        # OpenAI's default, which they describe as: higher temperatures where thresholds are hit.
        del fields["temperature"]
    return fields


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # the check of the parameter's range refuses it


def _respond(call: Call, transcript: Transcript, shape: str, task: Task) -> Response:
    headers = call.gateway.compute_headers(transcript)
    if shape in _NAMES_OF_FORMATS:
        if transcript.warnings:
            headers["x-warnings"] = json.dumps(transcript.warnings)
        text = FORMATS[_NAMES_OF_FORMATS[shape]](transcript)
        return PlainTextResponse(text, headers=headers)
    answer: dict[str, Any] = {"text": transcript.text}
    if shape == "verbose_json":
        answer |= {
            "task": task.value,
            "language": transcript.language,
            "duration": transcript.duration_s,
            "segments": _segments(transcript),
        }
    if transcript.warnings:
        answer["warnings"] = list(transcript.warnings)
    return JSONResponse(answer, headers=headers)


def _segments(transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {"id": i, "start": start_s, "end": end_s, "text": segment.text}
        for i, ((start_s, end_s, _), segment) in enumerate(
            zip(timed_lines(transcript), transcript.segments, strict=True)
        )
    ]


async def _events(
    first: Segment | Transcript,
    others: AsyncGenerator[Segment | Transcript],
    warnings: tuple[str, ...],
) -> AsyncIterator[str]:
    """Yield server-sent events: each segment's text as it is done, then all of it."""
    async with aclosing(others):  # a closed connection cancels the request
        yield _event_of(first, warnings)
        try:
            async for item in others:
                yield _event_of(item, warnings)
        except TalkmillError as error:  # the status is sent already: report it as an event
            yield _event({"error": openai_details(error)})
            raise
        yield "data: [DONE]\n\n"


def _event_of(item: Segment | Transcript, warnings: tuple[str, ...]) -> str:
    if isinstance(item, Segment):
        return _event({"type": "transcript.text.delta", "delta": item.text})
    done: dict[str, Any] = {"type": "transcript.text.done", "text": item.text}
    if all_warnings := [*warnings, *item.warnings]:
        done["warnings"] = all_warnings
    return _event(done)


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
