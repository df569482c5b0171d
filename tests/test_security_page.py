"""That each defence in SECURITY.md names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
DEFENCES = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
FILE = re.compile(r"`(tests/[\w/]+\.py)`")
TEST = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("row", DEFENCES, ids=[row.split("|")[1].strip() for row in DEFENCES])
def test_each_defence_names_a_test_that_exists(row: str) -> None:
    files, tests = FILE.findall(row), TEST.findall(row)

    assert files or tests
    for file in files:
        assert (ROOT / file).is_file()
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    for test in tests:
        assert f"def {test}(" in sources
