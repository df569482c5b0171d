"""The `talkmill demo` command: server, client and a bundled recording on this machine."""

from __future__ import annotations

import io
from importlib.resources import files

from rich.console import Console
from rich.table import Table

from ..engine import Timings, TranscribeOptions, Transcript
from .client import Client
from .config import ServerConfig
from .lifecycle import BackgroundServer

_RECORDING = files("talkmill.engine") / "demo_model" / "sample.flac"
_REFERENCE = files("talkmill.engine") / "demo_model" / "sample.txt"


def run_demo(console: Console) -> bool:
    """Transcribe the bundled recording over gRPC; return whether every word is right."""
    config = ServerConfig(port=0, log_level="warning")
    options = TranscribeOptions(timestamps=True)
    with BackgroundServer(config) as server, Client(server.address) as client:
        console.print(f"Serving the demo model on {server.address}.")
        transcript = client.transcribe(io.BytesIO(_RECORDING.read_bytes()), options)
    expected = " ".join(_REFERENCE.read_text(encoding="utf-8").split())
    console.print(f"\n[bold]{transcript.text}[/bold]\n")
    console.print(_chunk_table(transcript))
    console.print(_time_table(transcript.timings))
    rtfx = transcript.duration_s / transcript.timings.total_s
    console.print(
        f"{transcript.duration_s:.2f} s of audio, {transcript.speech_s:.2f} s of it speech, "
        f"in {transcript.timings.total_s:.3f} s: RTFx {rtfx:.1f}"
    )
    if transcript.text != expected:
        console.print(f"[red]Wrong; expected:[/red] {expected}")
    return transcript.text == expected


def _chunk_table(transcript: Transcript) -> Table:
    table = Table("start s", "end s", "text", title="Chunks", title_justify="left")
    for segment in transcript.segments:
        end = "" if segment.end_s is None else f"{segment.end_s:.2f}"
        table.add_row(f"{segment.start_s:.2f}", end, segment.text.strip())
    return table


def _time_table(timings: Timings) -> Table:
    table = Table("stage", "ms", title="Where the time went", title_justify="left")
    for stage in ("decode", "vad", "features", "queue", "encode", "generate", "total"):
        table.add_row(stage, f"{getattr(timings, stage + '_s') * 1000:.1f}")
    return table
