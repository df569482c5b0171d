"""OpenAI's schema for speech to text, as most tools speak it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ...engine import InvalidOption, Task
from .endpoint import Call
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
    content = await call.bodies.form(call.request)  # whole: fields may follow the file
    try:
        form = read_form(content, task)
        checked = await call.gateway.check(form.options, form.model, call.options)
    except BaseException:
        await content.close()
        raise
    audio = form.audio  # the engine closes it
    if form.is_streamed:
        items = call.gateway.stream(audio, checked, call.options)
        # Wait for the first item: a request that is refused still gets its own status.
        first = await call.unless_disconnected(anext(items))
        return StreamingResponse(events(form, first, items), media_type="text/event-stream")
    transcript = await call.transcribe(audio, checked, form.warnings)
    return respond(form, transcript, call.gateway.compute_headers(transcript))


def _refuse_query(request: Request) -> None:
    for name in request.query_params:
        raise InvalidOption(f"{name} in the query has no effect: options are fields here", name)
