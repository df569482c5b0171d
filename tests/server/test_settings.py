from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from talkmill.engine import EngineConfig
from talkmill.server import ServerConfig
from talkmill.server.settings import (
    build,
    flag,
    ordered_fields,
    settings,
    settings_table,
    variable,
)

# For each setting: a valid text, its value, and an invalid text if there is one.
VALUES: dict[str, tuple[str, object, str | None]] = {
    "host": ("0.0.0.0", "0.0.0.0", None),
    "port": ("8080", 8080, "65536"),
    "http_port": ("0", 0, "-1"),
    "tls_cert": ("cert.pem", Path("cert.pem"), None),
    "tls_key": ("key.pem", Path("key.pem"), None),
    "tls_client_ca": ("ca.pem", Path("ca.pem"), None),
    "cors_origins": ("https://a.org,*", ("https://a.org", "*"), None),
    "auth_tokens_file": ("tokens.txt", Path("tokens.txt"), None),
    "auth_tokens": ("a:1,b:2", ("a:1", "b:2"), None),
    "max_requests_per_minute": ("60", 60.0, "0"),
    "max_audio_s_per_minute": ("600", 600.0, "0.5"),
    "open_metrics": ("true", True, "perhaps"),
    "open_reflection": ("true", True, "perhaps"),
    "share_cache": ("true", True, "perhaps"),
    "allow_anonymous": ("true", True, "perhaps"),
    "served_names": ("a,b/c", ("a", "b/c"), None),
    "max_inline_bytes": ("1000", 1000, "0"),
    "max_connections": ("100", 100, "-1"),
    "idle_timeout_s": ("1.5", 1.5, "0"),
    "max_uploads": ("9", 9, "0"),
    "max_grpc_connections": ("5", 5, "-1"),
    "max_connection_age_s": ("30.5", 30.5, "-1"),
    "max_connection_age_grace_s": ("0", 0.0, "-1"),
    "http_timeout_s": ("1.5", 1.5, "0"),
    "loading_wait_s": ("0.5", 0.5, "-1"),
    "upload_timeout_s": ("1.5", 1.5, "0"),
    "min_upload_bytes_per_s": ("2000", 2000.0, "0"),
    "live_idle_s": ("2.5", 2.5, "0"),
    "drain_timeout_s": ("2.5", 2.5, "-1"),
    "log_level": ("debug", "debug", "loud"),
    "model": ("tiny.en", "tiny.en", None),
    "revision": ("main", "main", None),
    "device": ("cpu", "cpu", "tpu"),
    "device_index": ("0,2", (0, 2), "zero"),
    "compute_type": ("float32", "float32", "float8"),
    "encoder": ("openvino", "openvino", "onnx"),
    "workers_per_device": ("3", 3, "-1"),
    "threads_per_worker": ("2", 2, "1.5"),
    "encoder_windows": ("5,10", (5.0, 10.0), "31"),
    "beams": ("1", 1, "17"),
    "max_batch_size": ("32", 32, "many"),
    "encoder_batch_size": ("2", 2, "-2"),
    "max_batch_share": ("0.25", 0.25, "0"),
    "max_batch_wait_ms": ("5", 5.0, "-0.5"),
    "prepare_threads": ("4", 4, "-4"),
    "max_audio_s": ("60", 60.0, "0"),
    "max_audio_bytes": ("1024", 1024, "1 MB"),
    "max_inflight_bytes": ("1024", 1024, "-1"),
    "cache_bytes": ("0", 0, "-1"),
    "stuck_after_s": ("2.5", 2.5, "-1"),
    "max_queue_s": ("2.5", 2.5, "-1"),
    "max_requests": ("7", 7, "0"),
}
BAD = [name for name, (_, _, bad) in VALUES.items() if bad is not None]


@click.command()
@settings(ServerConfig)
def show(**given: object) -> None:
    click.echo(build(ServerConfig, given).model_dump_json())


def run(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(show, args, env=variables)


def config_of(result: Result) -> ServerConfig:
    assert result.exit_code == 0, result.output
    return ServerConfig.model_validate_json(result.output)


def test_the_values_above_are_for_every_setting() -> None:
    assert set(VALUES) == set(ServerConfig.model_fields)


def test_without_flags_and_variables_there_are_the_defaults() -> None:
    assert config_of(run()) == ServerConfig()


@pytest.mark.parametrize("name", VALUES)
def test_a_flag_sets_its_setting_and_no_other(name: str) -> None:
    text, value, _ = VALUES[name]

    assert config_of(run(flag(name), text)) == ServerConfig(**{name: value})


@pytest.mark.parametrize("name", VALUES)
def test_a_variable_sets_its_setting_and_no_other(name: str) -> None:
    text, value, _ = VALUES[name]

    assert config_of(run(**{variable(name): text})) == ServerConfig(**{name: value})


@pytest.mark.parametrize("name", VALUES)
def test_a_flag_wins_over_a_variable(name: str) -> None:
    text, value, bad = VALUES[name]

    result = run(flag(name), text, **{variable(name): bad or "another"})

    assert config_of(result) == ServerConfig(**{name: value})


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_bad_value_is_a_usage_error_that_names_the_flag(name: str, way: str) -> None:
    bad = str(VALUES[name][2])

    result = run(flag(name), bad) if way == "flag" else run(**{variable(name): bad})

    assert result.exit_code == 2
    assert flag(name) in result.output


@pytest.mark.parametrize("way", ["flag", "variable"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("auto", "auto"),
        ("full", "full"),
        ("5", (5.0,)),
        ("1,2.5,30", (1.0, 2.5, 30.0)),
        ("10,5,", (10.0, 5.0)),
    ],
)
def test_windows_are_auto_full_or_lengths(text: str, value: object, way: str) -> None:
    given = {"encoder_windows": value}
    result = run("--encoder-windows", text) if way == "flag" else run(TALKMILL_ENCODER_WINDOWS=text)

    assert config_of(result) == ServerConfig.model_validate(given)


@pytest.mark.parametrize("way", ["flag", "variable"])
@pytest.mark.parametrize(
    "text",
    ["fitted", "declared", "Full", "0.9", "30.1", "5,31", "5,auto", ",", "5;10", "nan"],
)
def test_other_windows_are_refused_with_those_that_are_expected(text: str, way: str) -> None:
    result = run("--encoder-windows", text) if way == "flag" else run(TALKMILL_ENCODER_WINDOWS=text)

    assert result.exit_code == 2
    message = " ".join(result.output.split())
    assert f"--encoder-windows (or TALKMILL_ENCODER_WINDOWS) {text!r}" in message
    assert "expected auto, full, or lengths from 1 to 30 s, separated by commas" in message


def test_an_empty_variable_counts_as_none() -> None:
    assert config_of(run(TALKMILL_PORT="", TALKMILL_MODEL="")) == ServerConfig()


def test_the_config_is_frozen_and_refuses_unknown_settings() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServerConfig().port = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="prot"):
        ServerConfig(prot=1)  # type: ignore[call-arg]


def test_own_settings_are_shown_before_inherited_ones() -> None:
    names = [name for name, _ in ordered_fields(ServerConfig)]
    inherited = list(EngineConfig.model_fields)

    assert names[-len(inherited) :] == inherited
    assert set(names) == set(ServerConfig.model_fields)


def test_the_table_has_a_row_of_four_cells_for_each_setting() -> None:
    header, rule, *rows = settings_table(ServerConfig).splitlines()

    assert header == "| Setting | Variable | Default | Meaning |"
    assert re.fullmatch(r"\|(-+\|){4}", rule)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {len(row) for row in cells} == {4}
    for row, (name, field) in zip(cells, ordered_fields(ServerConfig), strict=True):
        assert row[:2] == [f"`{flag(name)}`", f"`{variable(name)}`"]
        assert row[3] == field.description
