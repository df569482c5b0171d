"""The command line: `talkmill demo`, `serve`, `token`, `tune`, `transcribe` and `live`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from ..engine import (
    Channels,
    EncoderWindow,
    EngineConfig,
    InvalidOption,
    TalkmillError,
    Task,
    TranscribeOptions,
    Transcript,
    VadMode,
    public_name,
)
from .auth import new_token
from .config import ServerConfig
from .demo import run_demo
from .destination import Destination, destination_options
from .formats import FORMATS, SUBTITLES
from .http.fields import to_options
from .live_command import live
from .logs import configure as configure_logging
from .process import serve as serve_until_stopped
from .settings import build, flag, parse_pairs, settings
from .subtitles import Layout, subtitle_options
from .transcribe import Result, in_process, over_grpc, transcribe_files
from .tune import run_tune

_TIMED_FORMATS = ("srt", "vtt", "tsv")  # formats that need timestamps
_REQUEST_OPTIONS = (
    "language",
    "languages",
    "task",
    "prompt",
    "hotwords",
    "vad",
    "encoder_window",
    "channels",
)
"""Options of `transcribe` that have the names and values of the API."""


def _split(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    return list(filter(None, value.split(",")))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="talkmill")
def main() -> None:
    """High-throughput speech to text: a Whisper server over gRPC and HTTP.

    Each setting can also be given as an environment variable, named beside its flag.
    """


main.add_command(live)


@main.command()
def demo() -> None:
    """Transcribe a bundled recording through a server on this machine.

    Starts a server with the embedded demo model on a free port, sends it the recording, prints the
    transcript and the time of each stage, and stops. Exits with 0 only if every word is right.
    """
    sys.exit(0 if run_demo(Console()) else 1)


@main.command()
@settings(ServerConfig)
def serve(**given: Any) -> None:
    """Serve a model over gRPC, and HTTP if asked, until SIGTERM; then finish accepted requests."""
    config = build(ServerConfig, given)
    configure_logging(config.log_level)

    def announce(port: int, http_port: int | None) -> None:
        scheme = "http" if config.tls_cert is None else "https"
        over_http = f" and {scheme}://{config.address(http_port)}" if http_port is not None else ""
        model = public_name(config.model)
        click.echo(f"talkmill serves {model} on {config.address(port)}{over_http}")

    try:
        code = asyncio.run(serve_until_stopped(config, announce))
    except (TalkmillError, OSError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


@main.command()
@click.argument("name")
def token(name: str) -> None:
    """Print a new token for the client NAME, and its entry for the server's settings."""
    try:
        secret, entry = new_token(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{secret}\n{entry}")
    click.echo(
        "Line 1 is the token, for the client. Line 2 is its entry for --auth-tokens-file or "
        "--auth-tokens; the token cannot be computed from it.",
        err=True,
    )


@main.command()
@settings(EngineConfig)
def tune(**given: Any) -> None:
    """Find the fastest workers, threads, encoder and batch sizes on this machine, and save them.

    Takes about a minute, several for a large model on a CPU; the machine should be idle. Settings
    that are given stay fixed. `serve` and `transcribe` then use the result for those not given.
    """
    try:
        run_tune(build(EngineConfig, given), Console())
    except (TalkmillError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@destination_options
@click.option(
    "--output",
    type=click.Choice(list(FORMATS)),
    default="txt",
    show_default=True,
    help="Format of the output.",
)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write one file per input into this folder instead of to standard output.",
)
@click.option(
    "--language",
    help="Language spoken: a code or an English name; multi detects that of each chunk. "
    "Default: detected from the first speech.",
)
@click.option(
    "--languages",
    metavar="LANGUAGE,...",
    default="",
    callback=_split,
    help="Languages that detection chooses from.",
)
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    default=Task.TRANSCRIBE.value,
    show_default=True,
    help="transcribe writes the language spoken, translate writes English.",
)
@click.option(
    "--prompt",
    default="",
    help="Text that precedes the audio; the model follows its names and style.",
)
@click.option(
    "--hotwords",
    metavar="WORD,...",
    default="",
    callback=_split,
    help="Words and names that are likely to occur.",
)
@click.option(
    "--vad",
    type=click.Choice([mode.value for mode in VadMode]),
    default=VadMode.AUTO.value,
    show_default=True,
    help="Detect speech and drop what has none: auto and on always, off never.",
)
@click.option(
    "--encoder-window",
    type=click.Choice([kind.value for kind in EncoderWindow]),
    help="Length of the encoder's window: fitted to each piece of audio, full (30 s), or as the "
    "model declares it. Default: what the server or --encoder-windows says.",
)
@click.option(
    "--channels",
    type=click.Choice([mode.value for mode in Channels]),
    default=Channels.MIX.value,
    show_default=True,
    help="mix transcribes the mean of all channels, split each channel on its own; the output "
    "then names the channel.",
)
@click.option(
    "-p",
    "--parameter",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A generation parameter, or an option without a flag of its own, by its name in the API; "
    "VALUE is JSON or plain text: -p num_beams=4. Can be repeated.",
)
@click.option(
    "--timestamps/--no-timestamps",
    default=None,
    help="Whether the model writes timestamps. Default: yes, except with --output txt.",
)
@subtitle_options
@settings(EngineConfig)
@click.pass_context
def transcribe(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    destination: Destination | None,
    output: str,
    output_dir: Path | None,
    pairs: tuple[str, ...],
    timestamps: bool | None,
    words: bool,
    layout: Layout,
    **given: Any,
) -> None:
    """Transcribe audio FILES in this process or on a server."""
    if output in _TIMED_FORMATS:
        if timestamps is False:
            raise click.UsageError(f"--output {output} needs timestamps")
        if len(files) > 1 and output_dir is None:
            raise click.UsageError(f"--output {output} of several files needs --output-dir")
    if output_dir is not None and len({path.name for path in files}) < len(files):
        names = [path.name for path in files]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise click.UsageError(f"--output-dir: two input files are named {duplicate}")
    fields = {name: given.pop(name) for name in _REQUEST_OPTIONS}
    has_times = output != "txt" if timestamps is None else timestamps
    fields["return_timestamps"] = "word" if words else has_times
    options = _read_options(fields, pairs)
    config = build(EngineConfig, given)
    typed = [name for name in given if _is_on_command_line(context, name)]
    if destination is not None and typed:
        raise click.UsageError(f"{flag(typed[0])} has no effect with --server")
    num_failed = 0
    try:
        with over_grpc(destination) if destination else in_process(config) as transcriber:
            results = transcribe_files(list(files), transcriber, options, Console(stderr=True))
            for path, result in results:
                num_failed += not _write(path, result, output, layout, output_dir)
    except TalkmillError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(1 if num_failed else 0)


def _read_options(fields: dict[str, Any], pairs: tuple[str, ...]) -> TranscribeOptions:
    """Return the options of the request, read as HTTP's are.

    Args:
        fields: The options that have a flag, by name.
        pairs: Others, as NAME=VALUE.
    """
    others = parse_pairs(pairs)
    if doubles := others.keys() & fields.keys():
        raise click.UsageError(f"--parameter {min(doubles)}: the option has a flag of its own")
    try:
        options, warnings = to_options({**fields, **others})
    except InvalidOption as error:
        raise click.UsageError(str(error)) from error
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    return options


def _is_on_command_line(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _write(path: Path, result: Result, output: str, layout: Layout, folder: Path | None) -> bool:
    """Write one file's transcript or error; return whether there is a transcript."""
    if not isinstance(result, Transcript):
        click.echo(f"{path}: {result}", err=True)
        return False
    for warning in result.warnings:
        click.echo(f"{path}: warning: {warning}", err=True)
    is_subtitle = output in SUBTITLES
    text = SUBTITLES[output](result, layout) if is_subtitle else FORMATS[output](result)
    if folder is None:
        click.echo(text, nl=False)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.name}.{output}").write_text(text, encoding="utf-8")
    return True
