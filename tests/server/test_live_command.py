"""`talkmill live`, here and through a server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from audio_files import decode_file
from command_line import SAMPLE, run
from talkmill.engine import Ended, Event
from talkmill.server import BackgroundServer, Client
from talkmill.server.cli import main


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda duration_s: None)


def words_of(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    assert all(re.match(r"\[\d+\.\d\d - \d+\.\d\d\] ", line) for line in lines), output
    return " ".join(line.partition("] ")[2] for line in lines)


def test_a_file_is_shown_utterance_by_utterance(sample_text: str) -> None:
    result = run("live", SAMPLE)
    assert result.exit_code == 0, result.output
    assert words_of(result.output) == sample_text


def test_a_file_goes_to_a_server(demo: BackgroundServer, sample_text: str) -> None:
    result = run("live", SAMPLE, "--server", demo.address)
    assert result.exit_code == 0, result.output
    assert words_of(result.output) == sample_text


@pytest.mark.parametrize("encoding", ["pcm16", "float32"])
def test_samples_on_standard_input_are_heard(
    demo: BackgroundServer, sample_text: str, encoding: str
) -> None:
    sound = decode_file(SAMPLE)
    data = sound.astype("<f4") if encoding == "float32" else (sound * 32_767).astype("<i2")
    arguments = ["live", "--server", demo.address, "--encoding", encoding]
    result = CliRunner().invoke(main, arguments, input=data.tobytes())
    assert result.exit_code == 0, result.output
    assert words_of(result.output) == sample_text


def test_a_server_that_is_not_there_is_one_line() -> None:
    result = run("live", SAMPLE, "--server", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.output


def test_a_file_that_is_no_audio_is_one_line(tmp_path: object) -> None:
    result = run("live", __file__)
    assert result.exit_code == 1
    assert "Error: " in result.output


def test_a_rate_out_of_range_is_one_line() -> None:
    result = CliRunner().invoke(main, ["live", "--rate", "7"], input=b"")
    assert result.exit_code == 1
    assert "sample_rate_hz 7 is not in 8000 to 192000" in result.output


@pytest.mark.parametrize(("name", "value"), [("encoding", "alaw"), ("rate", 8_000), ("inputs", 2)])
def test_an_option_of_standard_input_is_refused_with_a_file(name: str, value: object) -> None:
    result = run("live", SAMPLE, f"--{name}", value)
    assert result.exit_code == 2
    assert f"--{name} has no effect with FILE" in result.stderr


def test_a_file_that_is_no_audio_is_named_as_such_with_a_server(demo: BackgroundServer) -> None:
    here, there = run("live", __file__), run("live", __file__, "--server", demo.address)
    assert there.exit_code == 1
    assert there.stderr == here.stderr


@pytest.fixture
def last(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What a server that is not there answers."""
    events: list[Event] = []

    def listen(*args: object, **options: object) -> Iterator[Event]:
        yield from events

    monkeypatch.setattr(Client, "listen", listen)
    return events


def test_the_normal_end_is_silent(last: list[Event]) -> None:
    last.append(Ended("the audio has ended"))
    result = run("live", SAMPLE, "--server", "127.0.0.1:1")
    assert (result.exit_code, result.output) == (0, "")


def test_another_end_is_told_with_its_reason(last: list[Event]) -> None:
    last.append(Ended("the engine is draining"))
    result = run("live", SAMPLE, "--server", "127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "the session has ended: the engine is draining\n"


def test_the_warnings_of_a_session_are_shown(last: list[Event]) -> None:
    last.append(Ended("the audio has ended", warnings=("one", "two")))
    result = run("live", SAMPLE, "--server", "127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "warning: one\nwarning: two\n"
