from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.real_speech import Clip, read_clips
from talkmill.engine import Engine, EngineConfig


def folder_named_by(variable: str, content: str) -> Path:
    """Return the folder that the environment variable names; skip the test if it is not set."""
    if not (folder := os.environ.get(variable)):
        pytest.skip(f"{variable} is not set; it names a folder with {content}")
    return Path(folder)


@pytest.fixture(scope="session")
def real_models() -> Path:
    """A folder with a CTranslate2 folder for each model, such as base."""
    return folder_named_by("TALKMILL_REAL_MODELS", "models in CTranslate2's format: base, tiny.en")


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Real speech with transcripts, each recording once."""
    return read_clips(folder_named_by("TALKMILL_SPEECH", "transcripts.tsv and its audio files"))


@pytest.fixture(scope="module", params=["base", "tiny.en"])
def engine(request: pytest.FixtureRequest, real_models: Path) -> Iterator[Engine]:
    """An engine with its default settings on each model in turn, but without a cache."""
    folder = real_models / request.param
    if not folder.is_dir():
        pytest.skip(f"TALKMILL_REAL_MODELS has no folder {request.param}")
    with Engine(EngineConfig(model=str(folder), cache_bytes=0)) as engine:
        yield engine
