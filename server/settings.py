"""Command-line flags and `TALKMILL_*` variables made from the fields of a config class.

Click parses and documents them, pydantic validates them; an error names the flag.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Config = TypeVar("Config", bound=BaseModel)
Command = Callable[..., Any]


def flag(field: str) -> str:
    """Return the command-line flag of a config field."""
    return "--" + field.replace("_", "-")


def variable(field: str) -> str:
    """Return the environment variable of a config field."""
    return f"TALKMILL_{field.upper()}"


def settings(config: type[BaseModel]) -> Callable[[Command], Command]:
    """Return a decorator that adds one option for each field of `config` to a command."""

    def decorate(command: Command) -> Command:
        for name, field in reversed(ordered_fields(config)):
            option = click.option(
                flag(name),
                name,
                default=None,  # None means "not given"; the config class holds the default
                envvar=variable(name),
                show_envvar=True,
                show_default=show_default(field) or False,
                help=field.description,
                **_type(field),
            )
            command = option(command)
        return command

    return decorate


def build(config: type[Config], given: dict[str, Any]) -> Config:
    """Return the config for the option values `given`; None means "not given".

    Raises:
        click.UsageError: A value is not valid; the message names its flag, variable and value.
    """
    try:
        return config(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise click.UsageError(
            f"{flag(field)} (or {variable(field)}) {first['input']!r}: {first['msg']}"
        ) from error


def ordered_fields(config: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Return the fields in the order of the help: a class's own before inherited ones."""
    inherited = {
        name for base in config.__bases__ for name in getattr(base, "model_fields", {})
    }  # with another default, too
    return sorted(config.model_fields.items(), key=lambda item: item[0] in inherited)


def show_default(field: FieldInfo) -> str:
    """Return the default as it is typed on the command line; empty if it is None."""
    value = field.default
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def settings_table(config: type[BaseModel]) -> str:
    """Return the Markdown table of docs/configuration.md: one row for each field."""
    rows = ["| Setting | Variable | Default | Meaning |", "|---|---|---|---|"]
    for name, field in ordered_fields(config):
        default = show_default(field)
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{flag(name)}` | `{variable(name)}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def _type(field: FieldInfo) -> dict[str, Any]:
    if get_origin(field.annotation) is Literal:
        return {"type": click.Choice(get_args(field.annotation))}
    names = {bool: "BOOLEAN", int: "INTEGER", float: "NUMBER"}
    kind = type(field.default)
    return {"type": str, "metavar": names.get(kind, "TEXT")}


def parse_pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return what is given as NAME=VALUE, with VALUE as JSON or plain text.

    Raises:
        click.UsageError: A pair has no "=", or a name is given twice.
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--parameter {pair!r} is not NAME=VALUE")
        if name in given:
            raise click.UsageError(f"--parameter {name} is given twice")
        try:
            given[name] = json.loads(text)
        except (ValueError, RecursionError):
            given[name] = text
    return given
