"""The Hugging Face Inference API's schema for automatic speech recognition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from starlette.responses import JSONResponse, Response

from ...engine import InvalidOption, Transcript
from ..gateway import CallOptions
from ..status import MalformedBody
from .body import check_audio_type, media_type
from .endpoint import Call
from .fields import read_bool, to_options

# Names of the object with the generation parameters: the first is in HF's specification, HF's
# clients and its pipeline use the second.
_GROUPS = ("generation_parameters", "generate_kwargs")


async def transcribe(call: Call) -> Response:
    """Answer a file that is the body itself, or that JSON holds as base64."""
    model = call.request.path_params.get("model", "")
    audio: bytes | BinaryIO | None = None
    fields: dict[str, Any] = {}
    if media_type(call.request) == "application/json":
        body = _object("body", await call.bodies.json(call.request))
        audio = call.bodies.base64(body.get("inputs"), "inputs")
        fields, call_options = _read_body(body, call.options)
        call = replace(call, options=call_options)
    else:
        check_audio_type(call.request)
    options, warnings = to_options(fields)
    checked = await call.gateway.check(options, model, call.options)
    if audio is None:
        audio = await call.gateway.receive(call.bodies.pieces(call.request))
    transcript = await call.transcribe(audio, checked, warnings)
    answer = to_answer(transcript, timestamps=options.timestamps, words=options.words)
    return JSONResponse(answer, headers=call.gateway.compute_headers(transcript))


def to_answer(transcript: Transcript, *, timestamps: bool, words: bool = False) -> dict[str, Any]:
    """Return a transcript in HF's schema.

    Each chunk has its times twice: as `timestamps` (HF's specification) and as `timestamp` (what
    HF's clients read). With words each word is a chunk, as HF's pipeline answers, and has its
    probability too. HF has no log-probabilities; they are written as in OpenAI's
    schema.
    """
    answer: dict[str, Any] = {"text": transcript.text}
    if words:
        answer["chunks"] = [
            {
                "text": word.text,
                "timestamp": times,
                "timestamps": times,
                "probability": word.probability,
            }
            for segment in transcript.segments
            for word in segment.words
            for times in [[word.start_s, word.end_s]]
        ]
    elif timestamps:
        answer["chunks"] = [
            {"text": segment.text, "timestamp": times, "timestamps": times}
            for segment in transcript.segments
            for times in [[segment.start_s, segment.end_s]]
        ]
    if transcript.logprobs:
        answer["logprobs"] = [
            {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}
            for token in transcript.logprobs
        ]
    if transcript.warnings:
        answer["warnings"] = list(transcript.warnings)
    return answer


def _read_body(
    body: Mapping[str, Any], call_options: CallOptions
) -> tuple[dict[str, Any], CallOptions]:
    """Return the request's options from every place in a JSON body, and the call's options."""
    known = {"inputs", "parameters", "options", *_GROUPS}
    _refuse_others("body", body, known)
    parameters = _object("parameters", body.get("parameters"))
    groups = [
        {name: value for name, value in parameters.items() if name not in _GROUPS},
        *(_object(name, parameters.get(name)) for name in _GROUPS),
        *(_object(name, body.get(name)) for name in _GROUPS),
    ]
    fields: dict[str, Any] = {}
    for group in groups:
        for name, value in group.items():
            before = fields.get(name)
            if None not in (before, value) and before != value:
                raise InvalidOption(f"{name} is given twice, as {before!r} and as {value!r}", name)
            fields[name] = before if value is None else value
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
        call_options = replace(call_options, wait_for_model=call_options.wait_for_model or wait)
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
