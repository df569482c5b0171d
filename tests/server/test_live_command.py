"""`talkmill live`, here and through a server."""

from __future__ import annotations

import re
import time

import pytest
from click.testing import CliRunner

from audio_files import decode_file
from command_line import SAMPLE, run
from talkmill.server import BackgroundServer
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
