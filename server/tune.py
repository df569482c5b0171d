"""What `talkmill tune` shows."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..engine import EngineConfig
from ..engine.tuning import Measured, Setup, tune


def run_tune(config: EngineConfig, console: Console) -> None:
    """Measure, and print what was tried, the best, and where it is kept.

    Raises:
        ConfigError: The settings cannot work on this machine.
    """
    measured: list[Measured] = []
    with console.status("measuring") as status:

        def show(one: Measured) -> None:
            measured.append(one)
            status.update(f"{len(measured)} measured; {one.chunks_per_s:.2f} chunks/s")

        best, path = tune(config, show)
    table = Table()
    names = list(Setup.model_fields)
    for name in (*names, "chunks/s"):
        table.add_column(name.replace("_", " "), justify="right")
    for one in measured:
        cells = [str(getattr(one.setup, name)) for name in names]
        style = "bold" if one.setup == best.setup else None
        table.add_row(*cells, f"{one.chunks_per_s:.2f}", style=style)
    console.print(table)
    console.print(
        f"Kept in {path}: `serve` and `transcribe` take it where these settings are left open.",
        soft_wrap=True,
    )
