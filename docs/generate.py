"""Write the generated parts of the documentation in place, each between its two markers.

    python docs/generate.py

The tables of generation parameters and settings come from the code that checks the values, the
file map from the first line of each module's docstring. tests/test_docs.py fails while a page is
out of date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

from talkmill.engine.decoding.parameters import parameter_table
from talkmill.server import ServerConfig
from talkmill.server.settings import settings_table

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BEGIN = "<!-- generated: python docs/generate.py -->\n"
END = "<!-- end of generated -->\n"
UNMAPPED = {"__init__.py", "__main__.py"}  # a folder's own line, and an alias of the command line


def file_map() -> str:
    """Return a heading and a table for each folder of engine/ and server/ that holds modules."""
    folders = sorted(path.parent for top in ("engine", "server") for path in _packages(top))
    return "\n".join(map(_folder, folders))


def fill(page: str, content: str) -> str:
    """Return the page with `content` between its markers.

    Raises:
        ValueError: The page does not have exactly one pair of markers.
    """
    pattern = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)
    filled, num_parts = pattern.subn(lambda _: f"\n{content.strip()}\n\n", page)
    if num_parts != 1:
        raise ValueError(f"{num_parts} generated parts in a page, 1 expected")
    return filled


PAGES: dict[str, Callable[[], str]] = {
    "architecture.md": file_map,
    "configuration.md": lambda: settings_table(ServerConfig),
    "parameters.md": parameter_table,
}


def _packages(top: str) -> list[Path]:
    return [*(ROOT / top).glob("**/__init__.py")]


def _folder(folder: Path) -> str:
    modules = sorted(path for path in folder.glob("*.py") if path.name not in UNMAPPED)
    rows = [f"| `{path.relative_to(ROOT)}` | {_first_line(path)} |" for path in modules]
    name = folder.relative_to(ROOT)
    head = [f"### {name}/", "", _first_line(folder / "__init__.py"), ""]
    return "\n".join([*head, "| file | what it does |", "|---|---|", *rows, ""])


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("|", "\\|")


def main() -> None:
    """Fill every page, and print which ones changed."""
    for name, make in PAGES.items():
        path = DOCS / name
        before = path.read_text(encoding="utf-8")
        after = fill(before, make())
        path.write_text(after, encoding="utf-8")
        print(f"docs/{name}: {'unchanged' if after == before else 'written'}")


if __name__ == "__main__":
    main()
