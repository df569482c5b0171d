"""Transcription of many files at once, in this process or on a server, with progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..engine import (
    Engine,
    EngineConfig,
    OnSegment,
    Segment,
    TalkmillError,
    TranscribeOptions,
    Transcript,
    declared_duration_s,
)
from .client import Client
from .destination import Destination

FILES_AT_ONCE = 8

Transcriber = Callable[[Path, TranscribeOptions, OnSegment], Transcript]
Result = Transcript | str
"""The transcript of a file, or the error message."""


@contextmanager
def in_process(config: EngineConfig) -> Iterator[Transcriber]:
    """Yield a function that transcribes a file with an engine in this process."""
    with Engine(config) as engine:

        def transcribe(path: Path, options: TranscribeOptions, on_segment: OnSegment) -> Transcript:
            pending = engine.submit(path.open("rb"), options, on_segment=on_segment)
            return pending.future.result()

        yield transcribe


@contextmanager
def over_grpc(to: Destination) -> Iterator[Transcriber]:
    """Yield a function that transcribes a file on a server."""
    with Client(to.address, to.token, credentials=to.credentials) as client:

        def transcribe(path: Path, options: TranscribeOptions, on_segment: OnSegment) -> Transcript:
            with path.open("rb") as audio:
                return client.transcribe(audio, options, on_segment=on_segment)

        yield transcribe


def transcribe_files(
    paths: list[Path], transcribe: Transcriber, options: TranscribeOptions, console: Console
) -> Iterator[tuple[Path, Result]]:
    """Yield each file's result in the given order; up to `FILES_AT_ONCE` run concurrently.

    Args:
        paths: The files.
        transcribe: Returns the transcript of one file.
        options: Applied to every file.
        console: Shows the progress bars; without a terminal there are none.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with (
        Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress,
        ThreadPoolExecutor(FILES_AT_ONCE) as pool,
    ):

        def work(path: Path) -> Result:
            task = progress.add_task(path.name, total=_duration_s(path))
            try:
                return transcribe(path, options, _advance(progress, task))
            except (TalkmillError, OSError) as error:
                return str(error)
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
            finally:
                progress.remove_task(task)

        futures: list[Future[Result]] = [pool.submit(work, path) for path in paths]
        for path, future in zip(paths, futures, strict=True):
            yield path, future.result()


def _advance(progress: Progress, task: TaskID) -> OnSegment:
    def on_segment(segment: Segment) -> None:
        progress.update(task, completed=segment.end_s or segment.start_s)

    return on_segment


def _duration_s(path: Path) -> float | None:
    try:
        with path.open("rb") as audio:
            return declared_duration_s(audio)
    except (TalkmillError, OSError):  # transcribing the file will report the same error
        return None
