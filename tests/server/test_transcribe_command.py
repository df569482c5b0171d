"""`talkmill transcribe`, here and through a server."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from audio_files import encode_audio
from command_line import SAMPLE, run
from fakes import FakeModel, chunk_tones, loaded, tones_file, words
from served import Serve
from talkmill.server.auth import new_token
from talkmill.server.formats import FORMATS

HEAD = {"txt": "", "json": '{"text": "', "srt": "1\n00:", "vtt": "WEBVTT\n\n00:", "tsv": "start\t"}


@pytest.fixture
def tones(tmp_path: Path) -> list[Path]:
    """Files that `FakeModel` hears as 10 and as 20."""
    paths = [tmp_path / "ten.flac", tmp_path / "twenty.flac"]
    for path, band in zip(paths, (10, 20), strict=True):
        path.write_bytes(tones_file(band))
    return paths


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.wav"
    path.write_bytes(b"no audio at all")
    return path


@pytest.mark.parametrize("output", FORMATS)
def test_transcribe_writes_each_format(output: str) -> None:
    result = run("transcribe", SAMPLE, "--output", output, "--language", "en")

    assert result.exit_code == 0, result.output
    assert result.output.startswith(HEAD[output])
    assert len(result.output.split()) > 3


def test_languages_and_hotwords_are_options_of_a_request(
    serve: Serve, model: FakeModel, tones: list[Path]
) -> None:
    address = serve().background.address
    given = ("--languages", "en,English", "--hotwords", "talkmill,Emma", "--vad", "off")
    result = run("transcribe", tones[0], "--server", address, *given)
    assert result.exit_code == 0, result.output
    assert words(10) in result.output
    assert "languages has no effect" in result.output
    (prompt,) = model.generated[-1].prompts
    assert model.tokenizer.decode(prompt) == " talkmill, Emma"


def test_language_of_no_model_fails_with_the_reason(serve: Serve, tones: list[Path]) -> None:
    address = serve().background.address
    result = run("transcribe", tones[0], "--server", address, "--language", "klingon")
    assert result.exit_code == 1
    assert "klingon" in result.output


def test_silence_is_no_failure_in_any_format(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(encode_audio(np.zeros(32_000, np.float32)))

    result = run("transcribe", silence, "--output", "vtt")

    assert result.exit_code == 0, result.output
    assert result.output == "WEBVTT\n\n"


def test_transcribe_carries_a_token(serve: Serve, tones: list[Path]) -> None:
    secret, entry = new_token("me")
    to_server = ("transcribe", tones[0], "--vad", "off", "--server")
    address = serve(auth_tokens=(entry,)).address

    assert run(*to_server, address, TALKMILL_TOKEN=secret).exit_code == 0
    refused = run(*to_server, address)
    assert refused.exit_code == 1
    assert "UNAUTHENTICATED" in refused.output


def test_transcribe_through_a_server_gives_the_servers_words(
    serve: Serve, tones: list[Path]
) -> None:
    result = run("transcribe", *tones, "--server", serve().address, "--vad", "off")

    assert result.exit_code == 0
    assert result.output == f"{words(10)}\n{words(20)}\n"


def test_variables_for_an_engine_are_no_hindrance_to_a_server(
    serve: Serve, tones: list[Path]
) -> None:
    address = serve().address

    result = run("transcribe", tones[0], "--server", address, "--vad", "off", TALKMILL_MODEL="no")

    assert result.output == f"{words(10)}\n"


def test_options_go_to_the_server(serve: Serve, tones: list[Path], model: FakeModel) -> None:
    address = serve().address
    options = ["--task", "translate", "-p", "num_beams=4", "--prompt", "one two", "--timestamps"]
    result = run("transcribe", tones[0], "--server", address, "--vad", "off", *options)

    (batch,) = model.generated
    assert result.exit_code == 0
    assert batch.plan is not None
    assert (batch.plan.num_beams, batch.plan.timestamps) == (4, True)
    assert len(batch.prompts[0]) > 3  # what came before is in front


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """A file that `FakeModel` hears as 10 on the left and as 30 on the right."""
    path = tmp_path / "stereo.wav"
    path.write_bytes(encode_audio(np.stack([chunk_tones([10]), chunk_tones([30])])))
    return path


@pytest.mark.parametrize("output", ["txt", "json", "vtt"])
def test_split_channels_are_named_in_the_output(serve: Serve, stereo: Path, output: str) -> None:
    to_server = ["--server", serve().address, "--vad", "off", "--output", output]

    result = run("transcribe", stereo, *to_server, "--channels", "split")

    assert result.exit_code == 0, result.output
    if output == "json":
        segments = json.loads(result.output)["segments"]
        assert [segment["channel"] for segment in segments] == [0, 1]
    else:
        form = "Channel {}: " if output == "txt" else "<v Channel {}>"
        lines = [form.format(i) + words(band) for i, band in enumerate((10, 30))]
        assert [line for line in result.output.splitlines() if line in lines] == lines


def test_split_channels_are_named_without_a_server() -> None:
    result = run("transcribe", SAMPLE, "--channels", "split", "--language", "en")

    assert result.exit_code == 0, result.output
    assert result.output.startswith("Channel 0: ")


def test_a_window_may_be_chosen(serve: Serve, tones: list[Path], model: FakeModel) -> None:
    address = serve(loaded(model, windows_s=())).address

    for window, num_frames in (("fitted", 160), ("full", 3000)):
        args = ["--server", address, "--vad", "off", "--encoder-window", window]
        assert run("transcribe", tones[0], *args).exit_code == 0
        assert model.encoded[-1].num_frames == (num_frames,)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("num_beams", "'num_beams' is not NAME=VALUE"),
        ("num_beans=3", "num_beans is an unknown option"),
        ("vad=off", "--parameter vad: the option has a flag of its own"),
        ("token_logprobs=5", "token_logprobs 5 is neither true nor false"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused_by_name(pair: str, message: str) -> None:
    result = run("transcribe", SAMPLE, "-p", pair)

    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_parameter_given_twice_is_refused() -> None:
    result = run("transcribe", SAMPLE, "-p", "num_beams=2", "-p", "num_beams=3")

    assert result.exit_code == 2
    assert "num_beams is given twice" in result.output


def test_an_option_of_hfs_pipeline_without_effect_gives_a_warning(
    serve: Serve, tones: list[Path]
) -> None:
    args = ["--server", serve().address, "--vad", "off", "-p", "batch_size=8"]

    result = run("transcribe", tones[0], *args)

    assert result.exit_code == 0
    assert "warning: batch_size has no effect" in result.output


@pytest.mark.parametrize("output", ["txt", "json", "srt"])
def test_times_are_asked_for_where_the_output_shows_them(
    serve: Serve, tones: list[Path], model: FakeModel, output: str
) -> None:
    run("transcribe", tones[0], "--server", serve().address, "--vad", "off", "--output", output)

    plan = model.generated[-1].plan
    assert plan is not None
    assert plan.timestamps == (output != "txt")


def test_files_of_a_folder_are_named_after_their_sources(
    serve: Serve, tones: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    args = ["--server", serve().address, "--vad", "off", "--output", "json"]
    result = run("transcribe", *tones, *args, "--output-dir", folder)

    texts = {path.name: json.loads(path.read_text("utf-8"))["text"] for path in folder.iterdir()}
    assert result.exit_code == 0
    assert result.output == ""
    assert texts == {"ten.flac.json": words(10), "twenty.flac.json": words(20)}


def test_files_of_one_name_do_not_overwrite_each_other(
    serve: Serve, tones: list[Path], tmp_path: Path
) -> None:
    twin = tmp_path / "other" / tones[0].name
    twin.parent.mkdir()
    twin.write_bytes(tones_file(30))
    args = ["--server", serve().address, "--vad", "off", "--output-dir", tmp_path / "out"]

    result = run("transcribe", tones[0], twin, *args)

    assert result.exit_code == 2
    assert tones[0].name in result.output


@pytest.mark.parametrize("where", ["here", "server"])
def test_a_file_that_fails_does_not_stop_the_others(
    serve: Serve, tones: list[Path], broken: Path, where: str
) -> None:
    place = ["--server", serve().address] if where == "server" else ["--language", "en"]
    files = [SAMPLE, broken, SAMPLE] if where == "here" else [tones[0], broken, tones[1]]

    result = run("transcribe", *files, "--vad", "off", *place)

    assert result.exit_code == 1
    assert broken.name in result.output
    lines = [line for line in result.output.splitlines() if broken.name not in line]
    assert len([line for line in lines if line.strip()]) == 2
    if where == "server":
        assert [line for line in lines if line in {words(10), words(20)}] == [words(10), words(20)]


@pytest.mark.parametrize("where", ["here", "server"])
def test_an_empty_file_fails_by_name(serve: Serve, tmp_path: Path, where: str) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    place = ["--server", serve().address] if where == "server" else []

    result = run("transcribe", empty, *place)

    assert result.exit_code == 1
    assert empty.name in result.output


def test_a_server_that_is_not_there_fails_each_file(tones: list[Path]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # the port is taken, and refuses connections
        address = f"127.0.0.1:{bound.getsockname()[1]}"

        result = run("transcribe", *tones, "--server", address)

    assert result.exit_code == 1
    for path in tones:
        assert path.name in result.output


def test_a_warning_is_shown_with_its_file(serve: Serve, tmp_path: Path) -> None:
    cut_off = tmp_path / "cut_off.flac"
    whole = SAMPLE.read_bytes()
    cut_off.write_bytes(whole[: len(whole) * 2 // 3])

    result = run("transcribe", cut_off, "--server", serve().address, "--vad", "off")

    assert result.exit_code == 0
    assert f"{cut_off}: warning: " in result.output
