"""OpenAI's schema for speech to text, as most tools speak it."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ...engine import InvalidOption, Task
from .endpoint import Call
from .form_body import FormBody
from .openai_answers import events, respond
from .openai_form import read_form


async def transcriptions(call: Call) -> Response:
    """Transcribe an uploaded file in its language."""
    return await _answer(call, Task.TRANSCRIBE)


async def translations(call: Call) -> Response:
    """Translate an uploaded file into English."""
    return await _answer(call, Task.TRANSLATE)


async def _answer(call: Call, task: Task) -> Response:
    _refuse_query(call.request)
    body = call.bodies.form(call.request)
    audio = await call.receive(body)  # whole: fields may follow the file
    try:
        form = read_form(_with_file(body, audio), task)
        checked = await call.gateway.check(form.options, form.model, call.options)
    except BaseException:
        audio.close()
        raise
    # The engine closes the audio.
    if form.is_streamed:
        items = call.gateway.stream(audio, checked, call.options)
        # Wait for the first item: a request that is refused still gets its own status.
        first = await call.unless_disconnected(anext(items))
        return StreamingResponse(events(form, first, items), media_type="text/event-stream")
    transcript = await call.transcribe(audio, checked, form.warnings)
    headers = call.gateway.compute_headers(transcript)
    # On a thread: a long answer takes a second.
    return await asyncio.to_thread(respond, form, transcript, headers)


def _with_file(body: FormBody, file: BinaryIO) -> FormData:
    return FormData(
        [(name, UploadFile(file) if text is None else text) for name, text in body.items]
    )


def _refuse_query(request: Request) -> None:
    for name in request.query_params:
        raise InvalidOption(f"{name} in the query has no effect: options are fields here", name)
