"""The `talkmill tune` command: run the measurement, show what it found."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..engine import EngineConfig, MeasuredSetup, TuningSetup, tune


def run_tune(config: EngineConfig, console: Console) -> None:
    """Measure setups; print each with its speed, the fastest in bold, and the file it is saved in.

    Raises:
        ConfigError: The settings cannot work on this machine.
    """
    measured: list[MeasuredSetup] = []
    with console.status("measuring") as status:

        def show(result: MeasuredSetup) -> None:
            measured.append(result)
            status.update(f"{len(measured)} measured; {result.chunks_per_s:.2f} chunks/s")

        best, path = tune(config, show)
    table = Table()
    names = list(TuningSetup.model_fields)
    for name in (*names, "chunks/s"):
        table.add_column(name.replace("_", " "), justify="right")
    for result in measured:
        cells = [str(getattr(result.setup, name)) for name in names]
        style = "bold" if result.setup == best.setup else None
        table.add_row(*cells, f"{result.chunks_per_s:.2f}", style=style)
    console.print(table)
    console.print(
        f"Saved in {path}. `serve` and `transcribe` use these values where a setting is not given.",
        soft_wrap=True,
    )
