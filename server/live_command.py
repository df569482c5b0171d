"""`talkmill live`: shows what is said while it is being said, from a microphone or a file."""

from __future__ import annotations

import io
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import grpc
import numpy as np
from click.core import ParameterSource
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..engine import (
    Encoding,
    Ended,
    Engine,
    EngineConfig,
    Event,
    Failed,
    Final,
    Interim,
    LiveOptions,
    PcmDecoder,
    PcmInput,
    Session,
    TalkmillError,
    TranscribeOptions,
    VadOptions,
    decode_audio,
)
from .client import Client
from .destination import Destination, destination_options
from .settings import build, flag, settings

_PIECE_S = 0.1
_MAX_FILE_S = 1e6
_HZ = 16_000
_OF_STANDARD_INPUT = ("encoding", "rate", "inputs")
_NORMAL_END = "the audio has ended"


@dataclass(frozen=True)
class _Source:
    """Samples as they come, and how they are written."""

    pieces: Iterable[bytes]
    encoding: Encoding = Encoding.PCM16
    rate_hz: int = _HZ
    num_channels: int = 1


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@destination_options
@click.option("--language", help="Language spoken. Default: detected from the first speech.")
@click.option("--prompt", default="", help="Text that precedes the audio.")
@click.option(
    "--encoding",
    type=click.Choice([encoding.value for encoding in Encoding]),
    default=Encoding.PCM16.value,
    show_default=True,
    help="How the samples on standard input are written.",
)
@click.option("--rate", default=_HZ, show_default=True, help="Samples per second there.")
@click.option("--inputs", default=1, show_default=True, help="Channels there; they are mixed.")
@click.option(
    "--pause-ms", default=500, show_default=True, help="The pause that ends an utterance."
)
@click.option("--interim/--no-interim", default=True, help="Show text before it is final.")
@settings(EngineConfig)
@click.pass_context
def live(
    context: click.Context,
    /,
    file: Path | None,
    destination: Destination | None,
    language: str | None,
    prompt: str,
    encoding: str,
    rate: int,
    inputs: int,
    pause_ms: int,
    interim: bool,
    **given: Any,
) -> None:
    """Transcribe speech while it is being spoken: raw samples on standard input, or FILE.

    FILE is read at its own pace. Text that is not final is dim and may change; final text has the
    times of its speech. With a microphone: arecord -q -f S16_LE -r 16000 -t raw | talkmill live
    """
    if file is not None:
        _refuse_given(context, _OF_STANDARD_INPUT, "FILE")
    if destination is not None:
        _refuse_given(context, given, "--server")
    vad_options = VadOptions(silence_duration_ms=pause_ms)
    transcribe = TranscribeOptions(language=language, prompt=prompt, vad_options=vad_options)
    options = LiveOptions(transcribe, interim=interim)
    if file is None:
        source = _Source(_standard_input(), Encoding(encoding), rate, inputs)
    else:
        source = _Source(_paced(file), Encoding.FLOAT32)
    try:
        if destination is None:
            _show(_events_here(build(EngineConfig, given), options, source))
        else:
            _show(_events_there(destination, options, source))
    except (TalkmillError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except grpc.RpcError as error:
        raise click.ClickException(f"{error.code().name}: {error.details()}") from error


def _refuse_given(context: click.Context, names: Iterable[str], beside: str) -> None:
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flag(name)} has no effect with {beside}")


def _standard_input() -> Iterator[bytes]:
    stream = cast(io.BufferedReader, sys.stdin.buffer)
    while piece := stream.read1(2**16):  # what is there, without waiting for more
        yield piece


def _paced(path: Path) -> Iterator[bytes]:
    """Yield a file's samples as FLOAT32, each piece when it would have been spoken."""

    def warn(warning: str) -> None:
        click.echo(f"warning: {warning}", err=True)

    num_samples = round(_PIECE_S * _HZ)
    with path.open("rb") as audio:
        start_s, sent_s = time.monotonic(), 0.0
        for block in decode_audio(audio, _MAX_FILE_S, warn):
            for start in range(0, len(block), num_samples):
                piece = block[start : start + num_samples]
                sent_s += len(piece) / _HZ
                time.sleep(max(0.0, start_s + sent_s - time.monotonic()))
                yield piece.astype(np.float32).tobytes()


def _events_here(config: EngineConfig, options: LiveOptions, source: _Source) -> Iterator[Event]:
    """Yield the events of a session in this process."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    decoder = PcmDecoder(source.encoding, source.rate_hz, source.num_channels)
    with Engine(config) as engine:
        session = engine.open_session(options, on_event=events.put)
        feeder = threading.Thread(target=_feed, args=(session, decoder, source.pieces), daemon=True)
        feeder.start()
        while not isinstance(event := events.get(), Ended):
            yield event
        yield event


def _feed(session: Session, decoder: PcmDecoder, pieces: Iterable[bytes]) -> None:
    samples = PcmInput(session, decoder)
    try:
        for piece in pieces:
            samples.feed(piece)
        samples.finish()
    except TalkmillError as error:
        session.close(str(error), error)
    except Exception as error:  # of the file: the session must end, or its reader waits for ever
        session.close(str(error), TalkmillError(str(error)))


def _events_there(to: Destination, options: LiveOptions, source: _Source) -> Iterator[Event]:
    """Yield the events of a session on a server."""
    with Client(to.address, to.token, credentials=to.credentials) as client:
        yield from client.listen(
            source.pieces,
            options,
            encoding=source.encoding,
            rate_hz=source.rate_hz,
            num_channels=source.num_channels,
        )


def _show(events: Iterator[Event]) -> None:
    """Print final text, and on a terminal what comes before it; at last why the session has ended.

    Raises:
        TalkmillError: The session ended with an error.
    """
    console = Console(highlight=False)
    ended: Ended | None = None
    shown: set[str] = set()  # warnings
    with Live(console=console, transient=True, auto_refresh=False) as screen:
        for event in events:
            if isinstance(event, Interim) and console.is_terminal:
                rest = event.text[len(event.stable_text) :]
                screen.update(Text.assemble(event.stable_text, (rest, "dim")), refresh=True)
            elif isinstance(event, Final):
                screen.update(Text(""), refresh=True)
                if event.transcript.text:
                    times = f"[{event.start_s:.2f} - {event.end_s:.2f}] "
                    console.print(Text(times + event.transcript.text), soft_wrap=True)
                for warning in event.transcript.warnings:
                    shown.add(warning)
                    click.echo(f"warning: {warning}", err=True)
            elif isinstance(event, Failed):
                click.echo(f"error: {event.error}", err=True)
            elif isinstance(event, Ended):
                ended = event
    # Only now: where a session has failed on a server, its error follows the last event.
    if ended is None:
        return
    for warning in ended.warnings:
        if warning not in shown:  # utterances have those of their session, too
            click.echo(f"warning: {warning}", err=True)
    if ended.error is not None:
        raise ended.error
    if ended.reason != _NORMAL_END:
        click.echo(f"the session has ended: {ended.reason}", err=True)
