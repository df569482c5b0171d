from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.random_weights import Shape
from random_models import build
from talkmill.engine import ConfigError, Engine, EngineConfig
from talkmill.engine.model.files import ModelFiles, find_model
from talkmill.engine.tuning import MeasuredSetup, TuningSetup, search, tune, with_tuning
from talkmill.server.cli import main

START = TuningSetup(
    workers_per_device=2,
    threads_per_worker=1,
    max_batch_size=8,
    encoder="ctranslate2",
    encoder_batch_size=1,
)
OPEN = EngineConfig(device="cpu", compute_type="float32", encoder_windows=(5,))
FOUND = {"max_batch_size": 4, "encoder_batch_size": 1, "encoder": "ctranslate2"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def with_batch(setup: TuningSetup, size: int) -> TuningSetup:
    return setup.model_copy(update={"max_batch_size": size})


def with_workers(setup: TuningSetup, workers: int) -> TuningSetup:
    return setup.model_copy(update={"workers_per_device": workers})


def batch_sizes(best: TuningSetup) -> Iterable[TuningSetup]:
    return [with_batch(best, size) for size in (4, 8, 16)]


def workers(best: TuningSetup) -> Iterable[TuningSetup]:
    return [with_workers(best, count) for count in (1, 2)]


def test_each_stage_goes_on_from_the_best_so_far() -> None:
    speeds = {(2, 8): 1.0, (1, 8): 2.0, (1, 4): 1.0, (1, 16): 4.0}
    best = search(
        START, [workers, batch_sizes], lambda it: speeds[it.workers_per_device, it.max_batch_size]
    )
    assert best == MeasuredSetup(with_batch(with_workers(START, 1), 16), 4.0)


@pytest.mark.parametrize(("speed", "size"), [(1.05, 8), (0.5, 8), (1.5, 4)])
def test_only_what_is_clearly_faster_replaces_what_there_is(speed: float, size: int) -> None:
    best = search(START, [batch_sizes], lambda it: speed if it.max_batch_size == 4 else 1.0)
    assert best.setup == with_batch(START, size)


def test_no_setup_is_measured_twice() -> None:
    measured: list[TuningSetup] = []

    def measure(setup: TuningSetup) -> float:
        measured.append(setup)
        return 1.0

    search(START, [workers, batch_sizes, batch_sizes], measure)
    assert len(measured) == len(set(measured)) == 4


def speed_of(config: EngineConfig, files: ModelFiles) -> float:
    """Four chunks a batch are best, one worker too."""
    worth = 2.0 if config.max_batch_size == 4 else 1.0
    return worth * (2.0 if config.workers_per_device == 1 else 1.0)


def read(config: EngineConfig) -> EngineConfig:
    return with_tuning(config, find_model(config.model))


def test_what_was_found_fills_in_what_is_open(caplog: pytest.LogCaptureFixture) -> None:
    best, path = tune(OPEN, measure=speed_of)
    with caplog.at_level(logging.INFO):
        config = read(OPEN)
    assert config == OPEN.model_copy(update={**FOUND, **dict(best.setup)})
    assert (config.max_batch_size, config.workers_per_device) == (4, 1)
    (message,) = caplog.messages
    assert message.startswith("tuning: workers_per_device 1, ")
    assert path.name in message
    assert str(path.parent) not in message


def test_what_is_set_is_kept() -> None:
    tune(OPEN, measure=speed_of)
    given = OPEN.model_copy(update={"max_batch_size": 3})
    assert read(given).max_batch_size == 3
    assert read(given).workers_per_device == 1


def test_threads_are_not_taken_without_the_workers_that_they_were_measured_with() -> None:
    tune(OPEN, measure=speed_of)
    given = OPEN.model_copy(update={"workers_per_device": 2})
    assert read(given) == given.model_copy(update=FOUND)


def test_what_is_set_is_not_tried_otherwise() -> None:
    tried: list[MeasuredSetup] = []
    given = OPEN.model_copy(update={"max_batch_size": 3, "encoder": "ctranslate2"})
    best, _ = tune(given, tried.append, speed_of)
    assert {(one.setup.max_batch_size, one.setup.encoder) for one in tried} == {(3, "ctranslate2")}
    assert best in tried


def test_batch_that_does_not_fit_the_memory_is_not_taken() -> None:
    tried: list[MeasuredSetup] = []

    def measure(config: EngineConfig, files: ModelFiles) -> float:
        if config.max_batch_size > 8:
            raise RuntimeError("CUDA failed with error out of memory")
        return float(config.max_batch_size)

    best, _ = tune(OPEN, tried.append, measure)
    assert best.setup.max_batch_size == 8
    assert {one.chunks_per_s for one in tried if one.setup.max_batch_size > 8} == {0.0}


def test_model_that_never_fits_is_a_config_error_and_keeps_nothing(cache: Path) -> None:
    def measure(config: EngineConfig, files: ModelFiles) -> float:
        raise MemoryError

    with pytest.raises(ConfigError, match="demo runs out of memory"):
        tune(OPEN, measure=measure)
    assert list(cache.rglob("*.json")) == []


def test_model_that_fails_ends_the_tuning() -> None:
    def measure(config: EngineConfig, files: ModelFiles) -> float:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        tune(OPEN, measure=measure)


@pytest.mark.parametrize(
    "other",
    [{"encoder_windows": (10.0,)}, {"compute_type": "int8_float32"}],
    ids=["window", "compute type"],
)
def test_what_was_found_under_other_circumstances_is_not_taken(other: dict[str, object]) -> None:
    tune(OPEN, measure=speed_of)
    config = OPEN.model_copy(update=other)
    assert read(config) == config


def test_what_was_found_for_another_model_is_not_taken(tmp_path: Path) -> None:
    tune(OPEN, measure=speed_of)
    config = OPEN.model_copy(update={"model": str(build(tmp_path, Shape()))})
    assert read(config) == config


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"setup": {"max_batch_size": 0}}'])
def test_damaged_file_has_no_effect_and_says_so(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, path = tune(OPEN, measure=speed_of)
    path.write_text(text, encoding="utf-8")
    assert read(OPEN) == OPEN
    assert path.name in caplog.text
    assert str(path.parent) not in caplog.text


def test_engine_takes_what_was_found(caplog: pytest.LogCaptureFixture, sample: bytes) -> None:
    tune(OPEN, measure=speed_of)
    with caplog.at_level(logging.INFO), Engine(OPEN) as engine:
        assert engine.transcribe(sample).text
    assert "workers=1" in caplog.text
    assert "batch_size=4" in caplog.text


@pytest.mark.slow
def test_command_measures_the_demo_model_and_keeps_the_best(cache: Path) -> None:
    result = CliRunner().invoke(main, ["tune", "--device", "cpu"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    (path,) = cache.rglob("tuning-*.json")
    assert path.name in result.output
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["chunks_per_s"] > 0
    assert f"{kept['chunks_per_s']:.2f}" in result.output
    config = EngineConfig(device="cpu")
    assert TuningSetup(**kept["setup"]) == TuningSetup(
        **{name: getattr(read(config), name) for name in TuningSetup.model_fields}
    )


def test_command_reports_a_model_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["tune", "--model", str(tmp_path)])
    assert result.exit_code == 1
    assert "model.bin" in result.output
