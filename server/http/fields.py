"""Converts the named values of JSON or a form to `TranscribeOptions`. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from enum import Enum
from typing import Any, TypeVar

from ...engine import (
    PARAMETERS,
    Channels,
    EncoderWindow,
    GenerationParameters,
    InvalidOption,
    Task,
    TranscribeOptions,
    VadMode,
    VadOptions,
    check_text,
)

Choice = TypeVar("Choice", bound=Enum)

_GENERATION = {parameter.name for parameter in PARAMETERS}
# In a form or a query every other value is read as JSON.
_TEXTS = ("language", "task", "prompt", "vad", "encoder_window", "channels")

# Options of HF's pipeline that are accepted without effect, each with the reason.
WITHOUT_EFFECT = {
    "chunk_length_s": "audio of any length is cut at silences",
    "stride_length_s": "chunks do not overlap",
    "batch_size": "the server batches across requests",
}

# Lists in a form, by the names of their fields, which may be repeated; "keywords" is OpenAI's.
FORM_LISTS = {
    name + brackets: option
    for name, option in (
        ("keywords", "hotwords"),
        ("hotwords", "hotwords"),
        ("languages", "languages"),
    )
    for brackets in ("", "[]")
}


def to_options(fields: Mapping[str, Any]) -> tuple[TranscribeOptions, tuple[str, ...]]:
    """Return the options in `fields`, and a warning for each field without effect.

    Args:
        fields: Options and generation parameters by name; the value None means "not given".

    Raises:
        InvalidOption: A name is unknown, or an option has a value that it does not allow. The
            engine checks the values of generation parameters.
    """
    unknown = fields.keys() - _OPTIONS.keys() - _GENERATION - WITHOUT_EFFECT.keys()
    if unknown:
        name = min(unknown)
        raise InvalidOption(f"{name} is an unknown option", name)
    given = {name: value for name, value in fields.items() if value is not None}
    options = {
        field: read(name, given[name]) for name, (field, read) in _OPTIONS.items() if name in given
    }
    options["words"] = given.get("return_timestamps") == "word"
    generation: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in _GENERATION
    }
    warnings = [
        f"{name} has no effect: {why}" for name, why in WITHOUT_EFFECT.items() if name in given
    ]
    return (
        TranscribeOptions(**options, parameters=GenerationParameters(**generation)),
        tuple(warnings),
    )


def read_value(name: str, text: str) -> Any:
    """Return the value of a field that came as text, in a form or a query: None if it is empty.

    Numbers, lists and the like are JSON. Other text stays text, for the check of the option.
    """
    if name in _TEXTS or not text:
        return text or None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def add_to_list(fields: dict[str, Any], name: str, text: str) -> None:
    """Add a field of `FORM_LISTS` to the options in `fields`: one text, or a list in JSON."""
    try:
        value = json.loads(text) if text.lstrip().startswith("[") else text
    except (ValueError, RecursionError):
        value = text
    known = fields.setdefault(FORM_LISTS[name], [])
    known.extend(value if isinstance(value, list) else [value] if value else [])


def read_bool(name: str, value: object) -> bool:
    """Return `value`, which must be a boolean.

    Raises:
        InvalidOption: `value` is not true or false; the message names the field `name`.
    """
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} {value!r} is neither true nor false", name)
    return value


def _read_timestamps(name: str, value: object) -> bool:
    if value == "word":
        return True
    if not isinstance(value, bool):
        raise InvalidOption(f'{name} {value!r} is not true, false or "word"', name)
    return value


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidOption(f"{name} {value!r} is not a string", name)
    check_text(name, value)  # JSON allows lone surrogates
    return value


def _read_texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidOption(f"{name} {value!r} is not a list of strings", name)
    return tuple(_read_text(name, one) for one in value)


def _read_vad_options(name: str, value: object) -> VadOptions:
    if not isinstance(value, dict):
        raise InvalidOption(f"{name} {value!r} is not an object", name)
    known = [field.name for field in fields_of(VadOptions)]
    for member in value.keys() - set(known):
        raise InvalidOption(f"{member} is not one of {', '.join(known)}", member)
    return VadOptions(**value)


def _read_choice(choices: type[Choice]) -> Callable[[str, object], Choice]:
    def read(name: str, value: object) -> Choice:
        for choice in choices:
            if value == choice.value:
                return choice
        names = ", ".join(str(choice.value) for choice in choices)
        raise InvalidOption(f"{name} {value!r} is not one of {names}", name)

    return read


_OPTIONS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "return_timestamps": ("timestamps", _read_timestamps),
    "language": ("language", _read_text),
    "task": ("task", _read_choice(Task)),
    "prompt": ("prompt", _read_text),
    "vad": ("vad", _read_choice(VadMode)),
    "encoder_window": ("encoder_window", _read_choice(EncoderWindow)),
    "languages": ("languages", _read_texts),
    "hotwords": ("hotwords", _read_texts),
    "channels": ("channels", _read_choice(Channels)),
    "token_logprobs": ("token_logprobs", read_bool),
    "vad_options": ("vad_options", _read_vad_options),
}
