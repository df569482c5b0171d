"""Named values, as JSON or a form has them, to `TranscribeOptions`. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

from ...engine import (
    PARAMETERS,
    GenerationParameters,
    InvalidOption,
    Task,
    TranscribeOptions,
    UnsupportedOption,
    VadMode,
)

Choice = TypeVar("Choice", bound=Enum)

_GENERATION = {parameter.name for parameter in PARAMETERS}

# What HF's pipeline takes and talkmill has no use for, each with the reason.
IDLE = {
    "chunk_length_s": "audio of any length is cut at silences",
    "stride_length_s": "chunks do not overlap",
    "batch_size": "the server batches across requests",
}


def to_options(fields: Mapping[str, Any]) -> tuple[TranscribeOptions, tuple[str, ...]]:
    """Return what the fields ask for, and a warning for each that has no effect.

    Args:
        fields: Names of options and of generation parameters; None is: not given.

    Raises:
        InvalidOption: A name or a value is not known; ranges are the engine's to check.
        UnsupportedOption: A value is known, but not honoured yet.
    """
    unknown = fields.keys() - _OPTIONS.keys() - _GENERATION - IDLE.keys()
    if unknown:
        name = min(unknown)
        raise InvalidOption(f"{name} is not known here", name)
    given = {name: value for name, value in fields.items() if value is not None}
    options = {
        field: read(name, given[name]) for name, (field, read) in _OPTIONS.items() if name in given
    }
    generation: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in _GENERATION
    }
    warnings = [f"{name} has no effect: {why}" for name, why in IDLE.items() if name in given]
    return (
        TranscribeOptions(**options, parameters=GenerationParameters(**generation)),
        tuple(warnings),
    )


def read_bool(name: str, value: object) -> bool:
    """Return a truth value.

    Raises:
        InvalidOption: It is none.
    """
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} {value!r} is neither true nor false", name)
    return value


def _read_timestamps(name: str, value: object) -> bool:
    if value == "word":
        raise UnsupportedOption(f'{name} "word" is not supported yet', name)
    if not isinstance(value, bool):
        raise InvalidOption(f'{name} {value!r} is not true, false or "word"', name)
    return value


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidOption(f"{name} {value!r} is no text", name)
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can write half a character
        raise InvalidOption(f"{name} {value!r} is no Unicode", name) from None
    return value


def _read_choice(choices: type[Choice]) -> Callable[[str, object], Choice]:
    def read(name: str, value: object) -> Choice:
        for choice in choices:
            if value == choice.value:
                return choice
        names = ", ".join(str(choice.value) for choice in choices)
        raise InvalidOption(f"{name} {value!r} is none of {names}", name)

    return read


_OPTIONS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "return_timestamps": ("timestamps", _read_timestamps),
    "language": ("language", _read_text),
    "task": ("task", _read_choice(Task)),
    "prompt": ("prompt", _read_text),
    "vad": ("vad", _read_choice(VadMode)),
}
