from __future__ import annotations

from pathlib import Path

import pytest

from fakes import DEMO_FOLDER
from talkmill.engine import ConfigError, Task
from talkmill.engine.model.files import find_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What looks like a model."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    return tmp_path


def test_demo_is_the_embedded_model() -> None:
    files = find_model("demo")
    assert files.name == "demo"
    assert files.folder == DEMO_FOLDER
    assert Task.TRANSCRIBE in files.properties.tasks


def test_local_folder_is_taken_as_it_is(folder: Path) -> None:
    files = find_model(str(folder))
    assert (files.name, files.folder) == (folder.name, folder)
    assert files.properties.tasks == frozenset(Task)


def test_model_says_what_it_was_trained_for(folder: Path) -> None:
    (folder / "talkmill.json").write_text('{"tasks": ["translate"]}')
    assert find_model(str(folder)).properties.tasks == {Task.TRANSLATE}


def test_folder_without_weights_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model: .*model\.bin"):
        find_model(str(tmp_path))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"tasks": ["sing"]}', '{"task": ["transcribe"]}']
)
def test_broken_properties_are_a_config_error(folder: Path, content: str) -> None:
    (folder / "talkmill.json").write_text(content)
    with pytest.raises(ConfigError, match=r"^model: .*talkmill\.json"):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["demo", None], ids=["demo", "folder"])
def test_revision_of_what_is_not_on_the_hub_is_a_config_error(
    folder: Path, name: str | None
) -> None:
    with pytest.raises(ConfigError, match=r"^revision: "):
        find_model(name or str(folder), revision="main")


@pytest.mark.parametrize(
    "name", ["no-such-size", "/no/such/folder", "talkmill-tests/no-such-model", ""]
)
def test_model_that_cannot_be_found_is_a_config_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # no network in tests
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^model: "):
        find_model(name)
