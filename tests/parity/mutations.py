"""Breaks the decoding rules one at a time, and says which test notices. By hand, some minutes:

    python tests/parity/mutations.py [part of a name]

Works on a copy; prints a Markdown table, and fails if a mutation goes unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from parity.mistakes import MUTATIONS

COPIED = ("engine", "server", "proto", "tests", "benchmarks", ".links", "pyproject.toml")
TESTS = (
    "decoding/test_searches",
    "decoding/test_beams",
    "decoding/test_rules",
    "decoding/test_lane_rows",
    "decoding/test_sampling",
    "decoding/test_plan",
    "model/test_step_decoder",
    "decoding/test_parity",
    "decoding/test_parity_after_text",
)
# What needs CTranslate2's models is slow, and the rest notices all.
SELECTED = "not ctranslate2 and not demo and not engine and not native"

_RUN = """
import sys
sys.path.insert(0, {links!r})
# Or the editable install's finders would find the source that this is a copy of.
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import pytest
sys.exit(pytest.main({arguments!r}))
"""


def first_failure(root: Path) -> str:
    """Return the first test that fails on the copy below `root`; empty if none does."""
    files = [str(root / "tests" / f"{name}.py") for name in TESTS]
    arguments = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-k", SELECTED, *files]
    code = _RUN.format(links=str(root / ".links"), arguments=arguments)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True
    )
    failure = re.search(r"^(?:FAILED|ERROR) \S*?(test_\w+\.py.*?)(?: - |$)", run.stdout, re.M)
    if failure is None and run.returncode != 0:
        raise SystemExit(run.stdout + run.stderr)
    return failure[1] if failure else ""


def copy_of(root: Path, target: Path) -> None:
    """Copy what the tests need."""
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "environments")
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy(root / name, target / name)


def main() -> int:
    """Run them all, or those that the command line names; return how many went unnoticed."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    num_run = unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_of(ROOT, root)
        if failure := first_failure(root):
            raise SystemExit(f"without any mutation {failure} fails")
        print("| module | mutation | first test that fails |\n|---|---|---|", flush=True)
        for mutation in MUTATIONS:
            if wanted not in mutation.name:
                continue
            path = root / "engine" / f"{mutation.module}.py"
            original = path.read_text(encoding="utf-8")
            mutation.apply(root)
            failure = first_failure(root)
            path.write_text(original, encoding="utf-8")
            num_run += 1
            unnoticed += not failure
            shown = f"`{failure}`" if failure else "**none**"
            print(f"| {mutation.module} | {mutation.name} | {shown} |", flush=True)
    print(f"\n{num_run} mutations, {unnoticed} unnoticed")
    return unnoticed


if __name__ == "__main__":
    sys.exit(main())
