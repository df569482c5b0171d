"""That pyproject.toml names every folder and file that an installed package needs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.resources import files
from pathlib import Path

import pytest

import talkmill.engine

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "setuptools"
]
FOLDERS = {
    f"talkmill.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}": path.parent
    for top in ("engine", "server", "proto")
    for path in (ROOT / top).glob("**/__init__.py")
}
NEEDED = {
    "talkmill.engine": {
        "py.typed",
        "demo_model/MODEL_CARD.md",
        "demo_model/config.json",
        "demo_model/generation_config.json",
        "demo_model/model.bin",
        "demo_model/preprocessor_config.json",
        "demo_model/sample.flac",
        "demo_model/sample.txt",
        "demo_model/talkmill.json",
        "demo_model/tokenizer.json",
        "demo_model/vocabulary.json",
    },
    "talkmill.server": {"py.typed"},
    "talkmill.proto": {"py.typed", "transcription.proto", "transcription_pb2.pyi"},
}
UNSHIPPED = {"generate.sh"}  # of use in the repository only


def data_files(package: str) -> Iterator[str]:
    """Yield what pyproject.toml ships with a package besides its modules."""
    patterns = SETUPTOOLS["package-data"]
    for pattern in [*patterns["*"], *patterns.get(package, [])]:
        for path in FOLDERS[package].glob(pattern):
            yield path.relative_to(FOLDERS[package]).as_posix()


def test_every_folder_with_an_init_is_a_package() -> None:
    assert sorted(SETUPTOOLS["packages"]) == sorted(FOLDERS)


def test_every_package_has_its_folder() -> None:
    named = {package: ROOT / folder for package, folder in SETUPTOOLS["package-dir"].items()}

    assert named == FOLDERS


@pytest.mark.parametrize("package", NEEDED)
def test_data_that_a_package_needs_is_shipped(package: str) -> None:
    assert NEEDED[package] <= set(data_files(package))


def test_every_file_is_a_module_or_data_that_is_shipped() -> None:
    shipped = {FOLDERS[package] / name for package in FOLDERS for name in data_files(package)}
    left_out = {
        path.name
        for top in ("engine", "server", "proto")
        for path in (ROOT / top).glob("**/*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and path not in shipped
    }

    assert left_out == UNSHIPPED


@pytest.mark.parametrize("package", FOLDERS)
def test_an_installed_package_holds_its_data(package: str) -> None:
    installed = files(package)

    assert [name for name in data_files(package) if not (installed / name).is_file()] == []


def test_the_tests_import_what_is_installed() -> None:
    # From the root, an egg-info folder may stand there as well: it says nothing of the install.
    found = (each for each in distributions(name="talkmill") if each.read_text("RECORD"))
    installed = next(found)
    url = json.loads(installed.read_text("direct_url.json") or "{}")
    is_editable = url.get("dir_info", {}).get("editable", False)
    expected = ROOT / "engine" if is_editable else installed.locate_file("talkmill/engine")

    assert Path(talkmill.engine.__file__).parent.resolve() == Path(str(expected)).resolve()
