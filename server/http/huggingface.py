"""The Hugging Face Inference API's schema for automatic speech recognition."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response

from ...engine import (
    InvalidOption,
    Segment,
    TranscribeOptions,
    Transcript,
    Word,
    language_name,
)
from ..call import CallOptions
from ..formats import to_detection, to_logprobs
from ..status import MalformedBody
from .body import check_audio_type, media_type
from .endpoint import Call
from .fields import read_bool, read_value, to_options
from .long_json import LongJson

# Names of the object with the generation parameters: the first is in HF's specification, HF's
# clients and its pipeline use the second.
_GROUPS = ("generation_parameters", "generate_kwargs")


async def transcribe(call: Call) -> Response:
    """Answer a file that is the body itself, or that JSON holds as base64.

    Parameters may stand in the query: HF's client for JavaScript sends none beside a raw file.
    """
    model = call.request.path_params.get("model", "")
    fields = _read_query(call.request.query_params)
    body = None
    if media_type(call.request) == "application/json":
        body = call.bodies.json("inputs")
    else:
        check_audio_type(call.request)
    with ExitStack() as unused:
        if body is not None:  # whole: the parameters may follow the audio
            audio = await call.receive(body)
            unused.callback(audio.close)
            in_body, call_options = _read_body(body.content, call.options)
            fields = _joined([fields, in_body])
            call = replace(call, options=call_options)
        has_languages = _pop_return_language(fields)
        options, warnings = to_options(fields)
        checked = await call.gateway.check(options, model, call.options)
        if body is None:
            audio = await call.receive()
        unused.pop_all()  # the engine closes the audio
    transcript = await call.transcribe(audio, checked, warnings)
    headers = call.gateway.compute_headers(transcript)
    # On a thread: a long answer takes a second.
    return await asyncio.to_thread(_respond, transcript, options, has_languages, headers)


def _respond(
    transcript: Transcript,
    options: TranscribeOptions,
    has_languages: bool,
    headers: dict[str, str],
) -> Response:
    answer = to_answer(
        transcript,
        timestamps=options.has_segments,
        words=options.words,
        languages=has_languages,
    )
    if options.token_logprobs:
        answer["logprobs"] = to_logprobs(transcript.logprobs)
    return LongJson(answer, headers=headers)


def to_answer(
    transcript: Transcript, *, timestamps: bool, words: bool = False, languages: bool = False
) -> dict[str, Any]:
    """Return a transcript in HF's schema.

    Where channels are split, each chunk has its `channel`.

    Args:
        transcript: The transcript.
        timestamps: Whether each chunk has its times: twice, as `timestamps` (HF's specification)
            and as `timestamp` (what HF's clients read).
        words: Whether each word is a chunk, as HF's pipeline answers, with its probability.
        languages: Whether each chunk has its language, by its English name as HF's pipeline says,
            and the answer how sure the model is of it.
    """
    answer: dict[str, Any] = {"text": transcript.text}
    if languages:
        answer |= to_detection(transcript)
    if words:
        answer["chunks"] = [
            {
                **_chunk(word, segment, transcript.language, timestamps, languages),
                "probability": word.probability,
            }
            for segment in transcript.segments
            for word in segment.words
        ]
    elif timestamps or languages:
        answer["chunks"] = [
            _chunk(segment, segment, transcript.language, timestamps, languages)
            for segment in transcript.segments
        ]
    if transcript.warnings:
        answer["warnings"] = list(transcript.warnings)
    return answer


def _chunk(
    piece: Segment | Word, segment: Segment, language: str, timestamps: bool, languages: bool
) -> dict[str, Any]:
    """Return a segment or one of its words; `language` is that of the transcript."""
    chunk: dict[str, Any] = {"text": piece.text}
    if timestamps:
        chunk["timestamp"] = chunk["timestamps"] = [piece.start_s, piece.end_s]
    if languages:
        chunk["language"] = language_name(segment.language or language)
    if segment.channel is not None:
        chunk["channel"] = segment.channel
    return chunk


def _read_query(query: QueryParams) -> dict[str, Any]:
    """Return the parameters in the query; the objects of `_GROUPS` are JSON."""
    for name in query:
        if len(query.getlist(name)) > 1:
            raise InvalidOption(f"{name} is given twice", name)
    return _flat({name: read_value(name, text) for name, text in query.items()})


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with those of the objects in them, `_GROUPS`."""
    alone = {name: value for name, value in parameters.items() if name not in _GROUPS}
    return _joined([alone, *(_object(name, parameters.get(name)) for name in _GROUPS)])


def _joined(groups: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of several places as one; refuse those that contradict each other."""
    fields: dict[str, Any] = {}
    for group in groups:
        for name, value in group.items():
            before = fields.get(name)
            if None not in (before, value) and before != value:
                raise InvalidOption(f"{name} is given twice, as {before!r} and as {value!r}", name)
            fields[name] = before if value is None else value
    return fields


def _pop_return_language(fields: dict[str, Any]) -> bool:
    """Take `return_language` out of the parameters: it is about the answer, not the engine."""
    value = fields.pop("return_language", None)
    return value is not None and read_bool("return_language", value)


def _read_body(
    body: Mapping[str, Any], call_options: CallOptions
) -> tuple[dict[str, Any], CallOptions]:
    """Return the request's options from every place in a JSON body, and the call's options."""
    known = {"inputs", "parameters", "options", *_GROUPS}
    _refuse_others("body", body, known)
    groups = {name: body[name] for name in _GROUPS if name in body}
    fields = _joined([_flat(_object("parameters", body.get("parameters"))), _flat(groups)])
    return fields, _with_body(call_options, _object("options", body.get("options")))


def _with_body(call_options: CallOptions, options: Mapping[str, Any]) -> CallOptions:
    """Return the call's options with those in the body, as older clients send; headers hold too."""
    _refuse_others("options", options, {"use_cache", "wait_for_model"})
    use_cache, wait = options.get("use_cache"), options.get("wait_for_model")
    if use_cache is not None:
        use_cache = read_bool("use_cache", use_cache)
        call_options = replace(call_options, use_cache=call_options.use_cache and use_cache)
    if wait is not None:
        wait = read_bool("wait_for_model", wait)
        wait_s = None if wait else call_options.loading_wait_s
        call_options = replace(call_options, loading_wait_s=wait_s)
    return call_options


def _object(name: str, value: object) -> Mapping[str, Any]:
    if value is None and name != "body":
        return {}
    if not isinstance(value, dict):
        raise MalformedBody(f"{name} is not a JSON object", name)
    return value


def _refuse_others(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := given.keys() - known:
        name = min(unknown)
        raise InvalidOption(f"{name} is not known in the {where}: {', '.join(sorted(known))}", name)
