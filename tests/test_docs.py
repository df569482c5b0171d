"""That the documentation says what the code does: tables, file map, links, and code that runs."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client.parser import text_string_to_metric_families

from talkmill.engine import Engine
from talkmill.engine.decoding.parameters import parameter_table
from talkmill.proto import transcription_pb2 as pb
from talkmill.server import BackgroundServer, ServerConfig
from talkmill.server.formats import FORMATS
from talkmill.server.http.openai_form import FORMATS_OF_ANSWERS
from talkmill.server.metrics import Metrics
from talkmill.server.settings import settings_table
from talkmill.server.status import STATUSES

ROOT = Path(__file__).parents[1]
RUN = "out of date; run: python docs/generate.py"
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS, ROOT / "benchmarks" / "README.md"]
MAX_README_BYTES = 9_000
MODULE_PATH = re.compile(r"`((?:engine|server)/[\w/]+\.py)`")
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def modules() -> set[str]:
    """Return the modules of the two packages that a reader may look for, by path."""
    paths = [*ROOT.glob("engine/**/*.py"), *ROOT.glob("server/**/*.py")]
    return {name_of(path) for path in paths if path.stem not in {"__init__", "__main__"}}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is not installed."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_can_be_read_in_a_minute() -> None:
    assert len(README.read_bytes()) <= MAX_README_BYTES


def test_parameters_page_shows_each_generation_parameter() -> None:
    assert parameter_table() in text_of("docs/parameters.md"), RUN


def test_configuration_page_shows_each_setting() -> None:
    assert settings_table(ServerConfig) in text_of("docs/configuration.md"), RUN


def test_architecture_page_names_each_module_and_no_other() -> None:
    named = MODULE_PATH.findall(text_of("docs/architecture.md").partition("\n## Files\n")[2])

    assert len(named) == len(set(named)), RUN
    assert set(named) == modules(), RUN


def test_benchmarks_page_names_each_module() -> None:
    names = {path.stem for path in ROOT.glob("benchmarks/*.py")} - {"__init__"}

    assert names <= set(re.findall(r"`(\w+)`", text_of("benchmarks/README.md")))


@pytest.mark.parametrize("page", ["architecture.md", "configuration.md", "parameters.md"])
def test_generated_parts_are_up_to_date(page: str, generate: ModuleType) -> None:
    text = text_of(f"docs/{page}")

    assert generate.fill(text, generate.PAGES[page]()) == text, RUN


def test_each_page_with_markers_is_generated(generate: ModuleType) -> None:
    marked = {path.name for path in DOCS if generate.BEGIN in path.read_text(encoding="utf-8")}

    assert marked == set(generate.PAGES)


@pytest.mark.parametrize("page", ["", "{begin}{end}{begin}{end}", "{end}{begin}", "{begin}"])
def test_a_page_without_one_pair_of_markers_is_refused(page: str, generate: ModuleType) -> None:
    with pytest.raises(ValueError, match="1 expected"):
        generate.fill(page.format(begin=generate.BEGIN, end=generate.END), "table")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_paths_of_modules_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in LINK.findall(text)} - {""}

    assert [link for link in links if not (page.parent / link).exists()] == []
    assert set(MODULE_PATH.findall(text)) <= {
        name_of(path) for path in [*ROOT.glob("engine/**/*.py"), *ROOT.glob("server/**/*.py")]
    }


def test_links_to_headings_lead_to_a_heading() -> None:
    anchors = {page.resolve(): _anchors(page.read_text(encoding="utf-8")) for page in PAGES}
    broken = [
        f"{name_of(page)}: {link}"
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        for path, hash_, anchor in [link.partition("#")]
        if hash_ and anchor not in anchors[(page.parent / path).resolve() if path else page]
    ]

    assert broken == []


def test_each_fault_of_the_operations_page_names_its_test() -> None:
    table = text_of("docs/operations.md").partition("\n## Faults\n")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]

    assert rows
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::test_\w+` \|$", row)] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/operations.md"])
def test_a_page_names_tests_that_exist(page: str) -> None:
    text = text_of(page)
    files = {name_of(path): path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py")}
    all_tests = set(re.findall(r"^def (test_\w+)", "\n".join(files.values()), re.MULTILINE))
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", text)

    assert {path for path, _ in named} <= files.keys()
    assert [test for path, test in named if test and f"def {test}(" not in files[path]] == []
    assert set(re.findall(r"`(test_\w+)`", text)) <= all_tests


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_api_page_names_each_metric() -> None:
    rendered = Metrics(Engine()).render().decode()
    families = {family.name for family in text_string_to_metric_families(rendered)}
    metrics = {name for name in families if not name.endswith("_created")}  # when counting began

    assert set(re.findall(r"^\| `(talkmill_\w+)` \|", text_of("docs/api.md"), re.M)) == metrics


def test_api_page_names_each_output_format() -> None:
    text = text_of("docs/api.md")
    command_line = re.search(r"^Formats: (.*)\.", text, re.MULTILINE)
    openai = re.search(r"^- `response_format`: (.*?)\. ", text, re.MULTILINE)

    assert command_line is not None
    assert openai is not None
    assert re.findall(r"`(\w+)`", command_line[1]) == list(FORMATS)
    assert set(re.findall(r"`(\w+)`", openai[1])) == set(FORMATS_OF_ANSWERS)


def test_api_page_names_each_option() -> None:
    rows = text_of("docs/api.md").partition("\n## Options\n")[2].partition("\n## ")[0]
    options = {field.name for field in pb.TranscribeOptions.DESCRIPTOR.fields}

    assert set(re.findall(r"^\| `(\w+)` \|", rows, re.M)) == options - {"generation_parameters"}


def test_api_page_names_each_status_that_an_error_ends_with() -> None:
    rows = text_of("docs/api.md").partition("\n## Errors\n")[2].partition("\n\nOver gRPC")[0]

    assert set(re.findall(r"\| (\d{3}) \|", rows)) == {str(s.http) for s in STATUSES.values()}


def _blocks() -> list[tuple[Path, int, str]]:
    pages = [README, *DOCS]
    found = {page: PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")) for page in pages}
    return [(page, i, block) for page, blocks in found.items() for i, block in enumerate(blocks, 1)]


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    with BackgroundServer(ServerConfig(port=0, http_port=0)) as server:
        yield server


@pytest.mark.parametrize(
    ("page", "number", "source"),
    [pytest.param(*block, id=f"{name_of(block[0])}-{block[1]}") for block in _blocks()],
)
def test_python_in_the_documentation_runs(
    page: Path, number: int, source: str, server: BackgroundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    source = source.replace("127.0.0.1:50051", server.address)
    source = source.replace("http://127.0.0.1:8000", server.http_address)

    exec(compile(source, f"{name_of(page)}, python block {number}", "exec"), {})
