from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import ctranslate2
import pytest

from fakes import DEMO_FOLDER, FakeModel, loaded, small_config
from talkmill.engine import (
    ConfigError,
    EncoderWindow,
    Engine,
    EngineConfig,
    InvalidOption,
    Task,
)
from talkmill.engine.audio.windows import Windows
from talkmill.engine.model.device import resolve_runtime
from talkmill.engine.model.files import ModelProperties
from talkmill.engine.model.loading import load_model

HAS_GPU = ctranslate2.get_cuda_device_count() > 0
SUPPORTED = ctranslate2.get_supported_compute_types("cpu")
STOCK = ModelProperties()


def load(folder: Path) -> None:
    config = small_config(model=str(folder))
    load_model(config)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo model, to be broken."""
    folder = tmp_path / "model"
    shutil.copytree(DEMO_FOLDER, folder)
    return folder


def test_demo_model_loads_with_its_vocabulary() -> None:
    config = small_config()
    model = load_model(config)
    assert model.name == "demo"
    assert "en" in model.tokenizer.languages
    assert model.num_tokens == model.tokenizer.timestamp_begin + 1501
    model.check_task(Task.TRANSCRIBE)
    model.warm_up()


def test_folder_without_tokenizer_is_a_config_error(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        load(copy)


@pytest.mark.parametrize("num_bytes", [0, 10, 1_000_000])
def test_damaged_weights_are_a_config_error(copy: Path, num_bytes: int) -> None:
    weights = copy / "model.bin"
    weights.write_bytes(weights.read_bytes()[:num_bytes])
    with pytest.raises(ConfigError, match=r"^model: "):
        load(copy)


def test_missing_vocabulary_is_a_config_error(copy: Path) -> None:
    (copy / "vocabulary.json").unlink()
    with pytest.raises(ConfigError, match=r"^model: "):
        load(copy)


@pytest.mark.skipif("bfloat16" in SUPPORTED, reason="this CPU has bfloat16")
def test_compute_type_that_is_not_there_is_a_config_error_that_names_the_others() -> None:
    with pytest.raises(ConfigError, match=r"^compute_type: bfloat16 ") as failure:
        resolve_runtime(small_config(compute_type="bfloat16"), STOCK)
    for name in SUPPORTED:
        assert name in str(failure.value)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_device_that_is_not_there_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"^device_index: "):
        resolve_runtime(EngineConfig(device="cuda"), STOCK)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_auto_is_what_the_machine_has() -> None:
    runtime = resolve_runtime(EngineConfig(), STOCK)
    assert runtime.device == "cpu"
    assert runtime.indexes == (0,)
    assert runtime.compute_type in SUPPORTED
    assert runtime.workers >= 1
    assert runtime.threads >= 1
    assert runtime.batch_size >= 1


def test_auto_takes_the_smallest_type_of_a_cpu() -> None:
    expected = "int8" if "int8" in SUPPORTED else "float32"
    assert resolve_runtime(EngineConfig(device="cpu"), STOCK).compute_type == expected


def test_what_is_set_is_kept() -> None:
    config = EngineConfig(
        device="cpu",
        compute_type="float32",
        workers_per_device=3,
        threads_per_worker=5,
        max_batch_size=7,
    )
    runtime = resolve_runtime(config, STOCK)
    assert (runtime.compute_type, runtime.workers) == ("float32", 3)
    assert (runtime.threads, runtime.batch_size) == (5, 7)


def test_language_that_the_model_lacks_is_refused_with_those_it_knows() -> None:
    with pytest.raises(InvalidOption, match=r"'xx'.*en") as failure:
        loaded().check_language("xx")
    assert failure.value.field == "language"


def test_only_language_needs_no_detection() -> None:
    assert loaded().check_language(None) == "en"


@pytest.mark.parametrize("tasks", [[Task.TRANSCRIBE], [Task.TRANSLATE]])
def test_task_that_the_model_was_not_trained_for_is_refused(tasks: list[Task]) -> None:
    model = loaded(tasks=tasks)
    for task in Task:
        if task in tasks:
            model.check_task(task)
        else:
            with pytest.raises(InvalidOption, match=task.value) as failure:
                model.check_task(task)
            assert failure.value.field == "task"


def test_tokens_to_suppress_are_those_with_a_logit_whatever_the_tokenizer_names() -> None:
    replica = FakeModel()
    replica.num_tokens = 5_000
    model = loaded(replica)
    model.check_tokens([0, 4_999], timestamps=False)
    for token in (5_000, -1):
        with pytest.raises(InvalidOption, match=f"{token} is not in 0 <= x < 5000") as failure:
            model.check_tokens([0, token], timestamps=False)
        assert failure.value.field == "suppress_tokens"


def test_an_answer_with_timestamps_must_have_one_to_start_with() -> None:
    model = loaded()
    begin = model.tokenizer.timestamp_begin
    to_1_s = range(begin, begin + 51)
    model.check_tokens(to_1_s, timestamps=False)
    model.check_tokens(to_1_s[1:], timestamps=True)
    with pytest.raises(InvalidOption, match=f"{begin} to {begin + 50}") as failure:
        model.check_tokens(to_1_s, timestamps=True)
    assert failure.value.field == "suppress_tokens"


@pytest.mark.parametrize(
    ("wanted", "declared_s", "expected"),
    [
        ("auto", (7.0,), Windows(EncoderWindow.DECLARED, (700,))),
        ("auto", (), Windows(EncoderWindow.FITTED)),
        ("full", (7.0,), Windows(EncoderWindow.FULL)),
        ("full", (), Windows(EncoderWindow.FULL)),
        ((10.0, 3.0), (7.0,), Windows(EncoderWindow.DECLARED, (300, 1000))),
        ((5.0,), (), Windows(EncoderWindow.DECLARED, (500,))),
    ],
)
def test_windows_are_those_of_the_settings_then_those_declared_then_fitted(
    wanted: Literal["auto", "full"] | tuple[float, ...],
    declared_s: tuple[float, ...],
    expected: Windows,
) -> None:
    config = EngineConfig(device="cpu", encoder_windows=wanted)
    assert resolve_runtime(config, ModelProperties(windows_s=declared_s)).windows == expected


@pytest.mark.parametrize(
    ("setting", "num_frames"),
    [((2.0, 4.0), [200, 400]), ("full", [3000]), ("auto", [500, 3000])],
    ids=["declared", "full", "fitted"],
)
def test_warm_up_runs_the_windows_of_the_settings(setting: object, num_frames: list[int]) -> None:
    model = FakeModel()
    with Engine(small_config(encoder_windows=setting), model=loaded(model, windows_s=())):
        assert [batch.shape[2] for batch in model.encoded] == num_frames
        assert len(model.generated) == len(num_frames)


def test_warm_up_runs_every_replica() -> None:
    replicas = [FakeModel(), FakeModel()]
    loaded(*replicas).warm_up()
    assert [len(replica.generated) for replica in replicas] == [1, 1]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="BLAS has one thread anyway")
@pytest.mark.parametrize(
    ("variables", "expected"), [({}, 1), ({"OPENBLAS_NUM_THREADS": "2"}, 2)], ids=["unset", "set"]
)
def test_numpy_starts_no_threads_unless_variables_ask_for_them(
    variables: dict[str, str], expected: int
) -> None:
    script = (
        "from talkmill.engine.model.loading import keep_numpy_to_one_thread as keep\n"
        "from threadpoolctl import threadpool_info\n"
        "keep()\n"
        "print([pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'])"
    )
    clean = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    found = subprocess.run(
        [sys.executable, "-c", script], env={**clean, **variables}, capture_output=True, text=True
    )
    assert found.stdout.strip() == f"[{expected}]", found.stderr
