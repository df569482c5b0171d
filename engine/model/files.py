"""Finds the folder with a model's files by its name: embedded, local, or from the hub."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faster_whisper.utils import download_model
from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import DEMO_MODEL, WindowsS
from ..errors import ConfigError
from ..types import Task

_DEMO_FOLDER = Path(__file__).parents[1] / "demo_model"
_PROPERTIES_FILE = "talkmill.json"


class ModelProperties(BaseModel):
    """What a model declares in `talkmill.json`; the defaults are those of stock Whisper.

    Attributes:
        tasks: Tasks that it was trained for. Its vocabulary may have tokens for other tasks.
        windows_s: Lengths of the encoder's window that it was trained for, in seconds; empty for
            Whisper's 30 s.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: frozenset[Task] = frozenset(Task)
    windows_s: WindowsS = ()


@dataclass(frozen=True)
class ModelFiles:
    """A CTranslate2 model folder on this machine.

    Attributes:
        name: Name of the model in requests.
        folder: Folder with `model.bin`, `tokenizer.json` and so on.
        properties: What the model declares.
        revision: Identifies the weights: the hub's commit, or the SHA-256 digest of `model.bin`.
    """

    name: str
    folder: Path
    properties: ModelProperties
    revision: str


def cache_folder() -> Path:
    """Return the folder for what is measured once on this machine; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "talkmill"


def public_name(name: str) -> str:
    """Return what requests call a model: of a local folder its own name, so that no path shows.

    Args:
        name: See `find_model`.
    """
    if name != DEMO_MODEL and (folder := Path(name).expanduser()).is_dir():
        return folder.resolve().name
    return name


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """Return the files of a model, downloaded from the hub if they are not here.

    Args:
        name: "demo", a local folder, or a size or hub name that faster-whisper resolves.
        revision: Branch, tag or commit of a hub model.

    Raises:
        ConfigError: The model does not exist or cannot be downloaded, its `talkmill.json` is not
            valid, or `revision` is given for a local model.
    """
    folder = _DEMO_FOLDER if name == DEMO_MODEL else Path(name).expanduser()
    if not (folder / "model.bin").is_file():
        if folder.is_dir():
            raise ConfigError(f"model: {folder} has no model.bin, so it is not a CTranslate2 model")
        folder = _download(name, revision)
    elif revision is not None:
        raise ConfigError(f"revision: {revision} given, but {name} is not a hub model")
    return ModelFiles(public_name(name), folder, _read_properties(folder), _revision(folder))


def _download(name: str, revision: str | None) -> Path:
    try:
        return Path(download_model(name, revision=revision))
    except (OSError, ValueError) as error:  # the hub's own errors derive from these
        raise ConfigError(
            f"model: {name} is not a local folder and cannot be downloaded: {error}"
        ) from error


def _revision(folder: Path) -> str:
    if folder.parent.name == "snapshots":  # the hub's cache: the folder is named by its commit
        return folder.name
    with (folder / "model.bin").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_properties(folder: Path) -> ModelProperties:
    path = folder / _PROPERTIES_FILE
    if not path.is_file():
        return ModelProperties()
    try:
        return ModelProperties.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        raise ConfigError(f"model: {path} is not valid: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of `config.json`; empty if there is none.

    Raises:
        ConfigError: It is not a JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise ConfigError(f"model: {path} is not valid: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"model: {path} is not valid: not an object")
    return content


def suppressed_tokens(folder: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tokens that `config.json` suppresses always, and those only at the start."""
    config = read_config(folder)
    return tuple(config.get("suppress_ids", ())), tuple(config.get("suppress_ids_begin", ()))
