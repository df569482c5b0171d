"""Rules for the source as a whole: imports, exports, and the length of functions."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("engine/**/*.py"), *ROOT.glob("server/**/*.py")])
FOLDERS = ("engine", "server", "tests", "benchmarks", "training", "docs")
INSTALLED = ROOT / "benchmarks" / "environments"  # not ours: what benchmarks install for peers
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in ROOT.glob(f"{folder}/**/*.py")
    if INSTALLED not in path.parents
)
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 300


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a module imports by name, not relatively."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def importers(package: str) -> set[str]:
    paths = [*MODULES, *ROOT.glob("proto/*.py")]
    return {name_of(path) for path in paths if package in imports(path)}


@pytest.mark.parametrize("name", ["talkmill.engine", "talkmill.server"])
def test_all_lists_what_is_exported(name: str) -> None:
    module = importlib.import_module(name)
    exported = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and not isinstance(value, ModuleType)
    }

    assert sorted(module.__all__) == sorted(exported)


def test_one_module_imports_ctranslate2() -> None:
    assert importers("ctranslate2") == {"engine/model/whisper_ct2.py"}


@pytest.mark.parametrize("package", ["grpc", "google", "grpc_health", "grpc_status"])
def test_only_the_server_and_the_stubs_import_grpc(package: str) -> None:
    folders = {name.split("/")[0] for name in importers(package)}

    assert folders
    assert folders <= {"server", "proto"}


def test_only_the_monotonic_clock_is_read() -> None:
    """A clock that jumps must not end a request, or keep it."""
    wall_clocks = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
    readers = {
        (name_of(path), ast.unparse(node))
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in wall_clocks
    }

    assert readers == set()


def test_imports_inside_the_package_are_relative() -> None:
    own = {"talkmill", "engine", "server", "proto"}  # the folders' names work from the root only

    assert {name_of(path) for path in MODULES if own & set(imports(path))} == set()


def test_no_file_is_long() -> None:
    lengths = {name_of(path): len(path.read_bytes().splitlines()) for path in SOURCES}

    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_function_is_long(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in functions
        if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    }

    assert long == {}
