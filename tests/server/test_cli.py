"""The commands: help, wrong use, settings, and the demo."""

from __future__ import annotations

import socket
from importlib.metadata import version
from pathlib import Path

import pytest

from command_line import SAMPLE, run
from fakes import DEMO_FOLDER
from talkmill.engine import EngineConfig
from talkmill.server import ServerConfig
from talkmill.server.formats import FORMATS
from talkmill.server.settings import flag, variable


def test_help_names_the_commands() -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert {"demo", "serve", "transcribe"} <= set(result.output.split())


def test_version_is_the_packages() -> None:
    assert version("talkmill") in run("--version").output


@pytest.mark.parametrize(
    ("command", "config"),
    [
        pytest.param("serve", ServerConfig, id="serve"),
        pytest.param("transcribe", EngineConfig, id="transcribe"),
    ],
)
def test_help_names_each_setting_with_its_variable(
    command: str, config: type[EngineConfig]
) -> None:
    result = run(command, "--help")
    said = result.output.replace(";", " ").replace("]", " ").split()

    assert result.exit_code == 0
    for name in config.model_fields:
        assert flag(name) in said
        assert variable(name) in said


def test_help_of_transcribe_names_its_own_options() -> None:
    said = run("transcribe", "--help").output

    for option in ("--server", "--output", "--output-dir", "--language", "--task", "--prompt"):
        assert f" {option} " in said
    for name in FORMATS:
        assert name in said


def test_help_of_demo_says_what_its_exit_code_means() -> None:
    result = run("demo", "--help")

    assert result.exit_code == 0
    assert "Exits with 0 only if" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("args", "named"),
    [
        pytest.param(["serve", "--port", "70000"], "--port", id="out of range"),
        pytest.param(["serve", "--port", "http"], "--port", id="not a number"),
        pytest.param(["serve", "--device", "tpu"], "--device", id="not a choice"),
        pytest.param(["transcribe", SAMPLE, "--max-requests", "0"], "--max-requests", id="engine"),
        pytest.param(["transcribe", SAMPLE, "--output", "doc"], "--output", id="format"),
        pytest.param(["transcribe", SAMPLE, "--vad", "maybe"], "--vad", id="vad"),
        pytest.param(["transcribe", "absent.wav"], "absent.wav", id="no such file"),
        pytest.param(["transcribe"], "FILES", id="no files"),
        pytest.param(
            ["transcribe", SAMPLE, "--output", "srt", "--no-timestamps"],
            "--output",
            id="subtitles without times",
        ),
        pytest.param(
            ["transcribe", SAMPLE, SAMPLE, "--output", "srt"],
            "--output-dir",
            id="subtitles of several files",
        ),
        pytest.param(
            ["transcribe", SAMPLE, "--server", "127.0.0.1:1", "--model", "tiny"],
            "--model",
            id="setting with a server",
        ),
    ],
)
def test_a_wrong_use_is_refused_by_name(args: list[object], named: str) -> None:
    result = run(*args)

    assert result.exit_code == 2
    assert named in result.output


def test_settings_that_cannot_work_here_are_named(tmp_path: Path) -> None:
    result = run("transcribe", SAMPLE, "--model", tmp_path)

    assert result.exit_code == 1
    assert "model" in result.output


def test_a_server_that_cannot_load_says_why(tmp_path: Path) -> None:
    result = run("serve", "--port", 0, "--model", tmp_path)

    assert result.exit_code == 1
    assert str(tmp_path) in "".join(result.output.split())


def test_a_flag_wins_over_a_variable_and_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        by_variable = run("serve", TALKMILL_PORT=str(port))
        by_flag = run("serve", "--port", port, TALKMILL_PORT="0")

    for result in (by_variable, by_flag):
        assert result.exit_code == 1
        assert str(port) in result.output


def test_demo_hears_every_word_and_shows_where_the_time_went() -> None:
    result = run("demo")

    expected = (DEMO_FOLDER / "sample.txt").read_text(encoding="utf-8").split()
    assert result.exit_code == 0, result.output
    assert " ".join(expected) in " ".join(result.output.split())
    for stage in ("decode", "vad", "features", "queue", "encode", "generate", "total", "RTFx"):
        assert stage in result.output
    assert "start s" in result.output
