"""Reads OpenAI's form: the file, the options, and how the answer is to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

from starlette.datastructures import FormData, UploadFile

from ...engine import InvalidOption, Task, TranscribeOptions, UnsupportedOption
from ..status import MalformedBody
from .fields import FORM_LISTS, add_to_list, read_value, to_options

FORMATS_OF_ANSWERS = ("json", "text", "srt", "verbose_json", "vtt")
TIMED_FORMATS = ("verbose_json", "srt", "vtt")
STREAMED_FORMATS = ("json", "text", "verbose_json")

_GRANULARITIES = "timestamp_granularities[]"
_INCLUDE = "include[]"
_STRATEGY = "chunking_strategy"
_REPEATED = {_GRANULARITIES, _INCLUDE, *FORM_LISTS}
_OF_SPEAKERS = ("known_speaker_names", "known_speaker_references")
_OWN = {"file", "model", "response_format", "stream", _GRANULARITIES, _INCLUDE, _STRATEGY}
# Options that this schema has under another name.
_SET_BY = {
    "task": "the path",
    "return_timestamps": "response_format",
    "token_logprobs": _INCLUDE,
    "vad_options": _STRATEGY,
}


@dataclass(frozen=True)
class Form:
    """What a form asks for.

    Attributes:
        audio: The uploaded file.
        model: The name of the model; empty for any.
        shape: One of `FORMATS_OF_ANSWERS`.
        is_streamed: Whether the answer is a stream of events.
        has_segments: Whether verbose_json has segments.
        options: The options of the request.
        warnings: One sentence for each field without effect.
    """

    audio: BinaryIO
    model: str
    shape: str
    is_streamed: bool
    has_segments: bool
    options: TranscribeOptions
    warnings: tuple[str, ...]


def read_form(form: FormData, task: Task) -> Form:
    """Return what a form asks for. A field that is empty is not given.

    Raises:
        MalformedBody: A field is a file where text belongs, or the other way round.
        InvalidOption: A field is unknown, stands twice, or has a value that it does not allow.
        UnsupportedOption: A field asks who speaks.
    """
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise MalformedBody("file is not an uploaded file", "file")
    _refuse_doubles(form)
    _refuse_speakers(form)
    shape = _read_shape(form)
    fields = _read_options(form)
    timing, idle = _read_granularities(form, shape)
    fields |= timing
    fields |= _read_include(form, shape)
    fields |= _read_strategy(form)
    options, warnings = to_options({**fields, "task": task.value})
    return Form(
        audio=file.file,
        model=str(form.get("model", "")),
        shape=shape,
        is_streamed=_read_stream(form, shape),
        has_segments=set(form.getlist(_GRANULARITIES)) != {"word"},
        options=options,
        warnings=(*idle, *warnings),
    )


def _refuse_doubles(form: FormData) -> None:
    for name in form:
        if name not in _REPEATED and len(form.getlist(name)) > 1:
            raise InvalidOption(f"{name} is given twice", name)


def _refuse_speakers(form: FormData) -> None:
    for name in form:
        if name.removesuffix("[]") in _OF_SPEAKERS:
            raise UnsupportedOption(
                f"{name} is not supported: this server does not tell speakers apart", name
            )


def _read_shape(form: FormData) -> str:
    shape = str(form.get("response_format", "")) or "json"
    if shape == "diarized_json":
        raise UnsupportedOption(
            "response_format diarized_json is not supported: this server does not tell speakers "
            'apart; speakers on channels of their own are told apart by channels "split"',
            "response_format",
        )
    if shape not in FORMATS_OF_ANSWERS:
        names = ", ".join(FORMATS_OF_ANSWERS)
        raise InvalidOption(f"response_format {shape!r} is not one of {names}", "response_format")
    return shape


def _read_granularities(form: FormData, shape: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the option that `timestamp_granularities[]` and `response_format` make, and warnings.

    Vercel's AI SDK sends "segment" with every `response_format`.
    """
    values = list(filter(None, form.getlist(_GRANULARITIES)))
    for value in values:
        if value not in ("word", "segment"):
            raise InvalidOption(
                f"{_GRANULARITIES} {value!r} is not word or segment", _GRANULARITIES
            )
    has_effect = shape == "verbose_json"
    wants_words = "word" in values and has_effect
    idle = f"{_GRANULARITIES} has no effect: response_format is {shape}"
    timing = {"return_timestamps": "word" if wants_words else shape in TIMED_FORMATS}
    return timing, (idle,) if values and not has_effect else ()


def _read_include(form: FormData, shape: str) -> dict[str, Any]:
    values = list(filter(None, form.getlist(_INCLUDE)))
    for value in values:
        if value != "logprobs":
            raise InvalidOption(f"{_INCLUDE} {value!r} is not logprobs", _INCLUDE)
        if shape != "json":
            raise InvalidOption(f"{_INCLUDE} logprobs needs response_format json", _INCLUDE)
    return {"token_logprobs": True} if values else {}


def _read_strategy(form: FormData) -> dict[str, Any]:
    """Return the option that `chunking_strategy` makes.

    It is "auto", or an object. That is JSON, or a field for each member, as OpenAI's clients send:
    `chunking_strategy[threshold]`.
    """
    members = {
        name.removeprefix(f"{_STRATEGY}[").removesuffix("]"): read_value(name, _text(name, value))
        for name, value in form.multi_items()
        if _is_member(name)
    }
    whole = read_value(_STRATEGY, _text(_STRATEGY, form.get(_STRATEGY, "")))
    if members and whole is not None:
        raise InvalidOption(f"{_STRATEGY} is given twice", _STRATEGY)
    strategy = members or whole
    if strategy is None:
        return {}
    if form.get("vad") == "off":
        raise InvalidOption(f'{_STRATEGY} contradicts vad "off"', _STRATEGY)
    if strategy == "auto":
        return {}
    if not isinstance(strategy, dict) or strategy.get("type") != "server_vad":
        raise InvalidOption(
            f'{_STRATEGY} {strategy!r} is neither "auto" nor an object of type server_vad',
            _STRATEGY,
        )
    return {"vad_options": {name: value for name, value in strategy.items() if name != "type"}}


def _is_member(name: str) -> bool:
    return name.startswith(f"{_STRATEGY}[") and name.endswith("]")


def _read_stream(form: FormData, shape: str) -> bool:
    stream = str(form.get("stream", "")).lower() or "false"
    if stream not in ("true", "false"):
        raise InvalidOption(f"stream {stream!r} is neither true nor false", "stream")
    if stream == "true" and shape not in STREAMED_FORMATS:
        raise InvalidOption(f"stream does not go with response_format {shape}", "stream")
    return stream == "true"


def _read_options(form: FormData) -> dict[str, Any]:
    """Return the fields that are options of the request."""
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in _OWN or _is_member(name):
            continue
        if name in _SET_BY:
            raise InvalidOption(f"{name} is not accepted here: {_SET_BY[name]} sets it", name)
        if name in FORM_LISTS:
            add_to_list(fields, name, _text(name, value))
            continue
        fields[name] = read_value(name, _text(name, value))
    temperature = fields.get("temperature")
    if temperature == 0 and not isinstance(temperature, bool):
        # OpenAI's default, which they describe as: higher temperatures where thresholds are hit.
        del fields["temperature"]
    return fields


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise MalformedBody(f"{name} is a file", name)
    return value
