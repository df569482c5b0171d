"""The command line: `talkmill demo`, `serve`, `tune` and `transcribe`."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from ..engine import (
    EngineConfig,
    TalkmillError,
    Task,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from .auth import new_token
from .config import ServerConfig
from .demo import run_demo
from .formats import FORMATS
from .lifecycle import serve as serve_until_stopped
from .settings import build, flag, parse_parameters, settings
from .transcribe import Result, in_process, over_grpc, transcribe_files
from .tune import run_tune

_SUBTITLES = ("srt", "vtt", "tsv")  # formats that are nothing without times


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="talkmill")
def main() -> None:
    """Turn speech into text, fast: a Whisper server over gRPC.

    Settings can also be given as TALKMILL_* variables; each is named beside its flag.
    """


@main.command()
def demo() -> None:
    """Show the whole path at work on a bundled recording.

    Starts a server with the embedded demo model on a free port of this machine, sends it the
    recording, prints what it heard and where the time went, and stops. Exits with 0 only if the
    words are right.
    """
    sys.exit(0 if run_demo(Console()) else 1)


@main.command()
@settings(ServerConfig)
def serve(**given: Any) -> None:
    """Serve a model over gRPC, and HTTP, until SIGTERM, then finish what was accepted."""
    config = build(ServerConfig, given)
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )

    def announce(port: int, http_port: int | None) -> None:
        also = f" and http://{config.host}:{http_port}" if http_port is not None else ""
        click.echo(f"talkmill serves {config.model} on {config.host}:{port}{also}")

    try:
        code = asyncio.run(serve_until_stopped(config, announce))
    except (TalkmillError, OSError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


@main.command()
@click.argument("name")
def token(name: str) -> None:
    """Make a token for the caller NAME: prints it, and the entry that lets it in."""
    try:
        secret, entry = new_token(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{secret}\n{entry}")
    click.echo(
        "The first is the caller's; nobody can read it out of the second, the server's.", err=True
    )


@main.command()
@settings(EngineConfig)
def tune(**given: Any) -> None:
    """Measure which workers, threads and batch sizes are fastest here, and keep that.

    Takes about a minute, minutes for a large model on a CPU; the machine should be idle. What is
    given stays as it is, the rest is tried. `serve` and `transcribe` then take what was found.
    """
    try:
        run_tune(build(EngineConfig, given), Console())
    except (TalkmillError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--server", metavar="HOST:PORT", help="Send the files there instead of working here.")
@click.option(
    "--token",
    envvar="TALKMILL_TOKEN",
    show_envvar=True,
    help="What that server lets this caller in by.",
)
@click.option(
    "--output",
    type=click.Choice(list(FORMATS)),
    default="txt",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a file for each input there instead of to standard output.",
)
@click.option("--language", help="Language spoken, e.g. en. Default: detected.")
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    default=Task.TRANSCRIBE.value,
    show_default=True,
    help="Write the language spoken, or English.",
)
@click.option("--prompt", default="", help="Text that came before, to carry over names and style.")
@click.option(
    "--vad",
    type=click.Choice([mode.value for mode in VadMode]),
    default=VadMode.AUTO.value,
    show_default=True,
    help="Cut out silence where the audio is long, everywhere, or nowhere.",
)
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A generation parameter, e.g. num_beams=4; may be given many times.",
)
@click.option(
    "--timestamps/--no-timestamps",
    default=None,
    help="Ask the model for times. Default: where the output shows them.",
)
@settings(EngineConfig)
@click.pass_context
def transcribe(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    server: str | None,
    token: str | None,
    output: str,
    output_dir: Path | None,
    language: str | None,
    task: str,
    prompt: str,
    vad: str,
    parameters: tuple[str, ...],
    timestamps: bool | None,
    **given: Any,
) -> None:
    """Transcribe audio FILES, here or on a server."""
    if output in _SUBTITLES:
        if timestamps is False:
            raise click.UsageError(f"--output {output} needs timestamps")
        if len(files) > 1 and output_dir is None:
            raise click.UsageError(f"--output {output} of several files needs --output-dir")
    if output_dir is not None and len({path.name for path in files}) < len(files):
        names = [path.name for path in files]
        twin = next(name for name in names if names.count(name) > 1)
        raise click.UsageError(f"--output-dir cannot hold the results of two files named {twin}")
    options = TranscribeOptions(
        language=language,
        task=Task(task),
        prompt=prompt,
        vad=VadMode(vad),
        timestamps=output != "txt" if timestamps is None else timestamps,
        parameters=parse_parameters(parameters),
    )
    config = build(EngineConfig, given)
    typed = [name for name in given if _is_typed(context, name)]
    if server is not None and typed:
        raise click.UsageError(f"{flag(typed[0])} has no effect with --server")
    num_failed = 0
    try:
        with over_grpc(server, token) if server else in_process(config) as transcriber:
            results = transcribe_files(list(files), transcriber, options, Console(stderr=True))
            for path, result in results:
                num_failed += not _write(path, result, output, output_dir)
    except TalkmillError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(1 if num_failed else 0)


def _is_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _write(path: Path, result: Result, output: str, folder: Path | None) -> bool:
    """Write one file's result where it belongs; return whether there is one."""
    if not isinstance(result, Transcript):
        click.echo(f"{path}: {result}", err=True)
        return False
    for warning in result.warnings:
        click.echo(f"{path}: warning: {warning}", err=True)
    text = FORMATS[output](result)
    if folder is None:
        click.echo(text, nl=False)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.name}.{output}").write_text(text, encoding="utf-8")
    return True
