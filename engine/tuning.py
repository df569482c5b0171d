"""Measures which workers, threads, batch sizes and encoder are fastest on this machine.

`tune` measures the model on noise of its real window lengths and stores the fastest setup;
`with_tuning` later applies it to the settings that are open, that is 0 or "auto". A stored setup
is for one model on one machine.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .config import EncoderName, EngineConfig
from .decoding.effort import TOKENS_PER_S
from .decoding.plan import DecodePlan
from .errors import ConfigError
from .model.device import resolve_runtime
from .model.encoder_choice import MIN_SPEEDUP
from .model.files import ModelFiles, cache_folder, find_model
from .model.loading import LoadedModel, load_model
from .model.runtime import Runtime
from .model.whisper_ct2 import is_out_of_memory
from .types import Task

_MEASURE_S = 4.0  # per setup, or one batch of each window if that takes longer
_TOPOLOGY = {"workers_per_device", "threads_per_worker"}

_log = logging.getLogger(__name__)


class TuningSetup(BaseModel):
    """The settings that are tuned: fields of `EngineConfig`, with definite values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers_per_device: int = Field(ge=1)
    threads_per_worker: int = Field(ge=1)
    max_batch_size: int = Field(ge=1)
    encoder: EncoderName
    encoder_batch_size: int = Field(ge=0)


@dataclass(frozen=True)
class MeasuredSetup:
    """A setup and its throughput.

    Attributes:
        setup: The setup.
        chunks_per_s: Chunks per second of all workers together, with equally many chunks of each
            window; 0 if the device ran out of memory.
    """

    setup: TuningSetup
    chunks_per_s: float


Stage = Callable[[TuningSetup], Iterable[TuningSetup]]
"""Returns the setups to try next, given the best one so far."""


def with_tuning(config: EngineConfig, files: ModelFiles) -> EngineConfig:
    """Return the settings with the open ones filled in from an earlier `tune`, if there was one.

    Workers and threads were measured together: they are filled in only if both are open.
    """
    path = _path(_conditions(config, files))
    if not path.is_file():
        return config
    try:
        setup = TuningSetup.model_validate(json.loads(path.read_text(encoding="utf-8"))["setup"])
    except (KeyError, TypeError, ValueError) as error:
        _log.warning("tuning: %s is ignored because it is not valid: %s", path.name, error)
        return config
    taken = {name: value for name, value in setup if _is_open(config, name)}
    if not taken.keys() >= _TOPOLOGY:
        taken = {name: value for name, value in taken.items() if name not in _TOPOLOGY}
    shown = ", ".join(f"{name} {value}" for name, value in taken.items())
    _log.info("tuning: %s; from %s", shown or "no setting applied", path.name)
    return config.model_copy(update=taken)


def tune(
    config: EngineConfig,
    on_measured: Callable[[MeasuredSetup], None] = lambda _: None,
    measure: Callable[[EngineConfig, ModelFiles], float] | None = None,
) -> tuple[MeasuredSetup, Path]:
    """Find and store the fastest setup; return it with the path of the file.

    Args:
        config: The settings; only open ones are varied.
        on_measured: Called with each setup that was tried.
        measure: Returns the chunks per second with these settings; by default it runs the model.

    Raises:
        ConfigError: The settings cannot work on this machine, or every setup runs out of memory.
    """
    measure = measure or _measure
    files = find_model(config.model, config.revision)
    runtime = resolve_runtime(config, files.properties)
    start = TuningSetup(
        workers_per_device=runtime.workers,
        threads_per_worker=runtime.threads,
        max_batch_size=runtime.batch_size,
        encoder="openvino" if config.encoder == "openvino" else "ctranslate2",
        encoder_batch_size=runtime.encoder_batch_size,
    )

    def measured(setup: TuningSetup) -> float:
        try:
            chunks_per_s = measure(config.model_copy(update=dict(setup)), files)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            chunks_per_s = 0.0
        on_measured(MeasuredSetup(setup, chunks_per_s))
        return chunks_per_s

    best = search(start, [_allowed(stage, start, config) for stage in _stages(runtime)], measured)
    if not best.chunks_per_s:
        raise ConfigError(f"model: {files.name} runs out of memory with every setup tried")
    conditions = _conditions(config, files)
    path = _path(conditions)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "model": files.name,
        "setup": dict(best.setup),
        "chunks_per_s": round(best.chunks_per_s, 2),
        "for": conditions,
    }
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return best, path


def search(
    start: TuningSetup, stages: Sequence[Stage], measure: Callable[[TuningSetup], float]
) -> MeasuredSetup:
    """Return the best setup that the stages find; each stage starts from the best so far.

    To replace the best, a setup must be more than `MIN_SPEEDUP` times as fast: smaller differences
    are noise. No setup is measured twice.
    """
    best = MeasuredSetup(start, measure(start))
    seen = {start}
    for stage in stages:
        fresh = [setup for setup in dict.fromkeys(stage(best.setup)) if setup not in seen]
        seen.update(fresh)
        tried = [MeasuredSetup(setup, measure(setup)) for setup in fresh]
        fastest = max(tried, key=lambda one: one.chunks_per_s, default=best)
        if fastest.chunks_per_s > MIN_SPEEDUP * best.chunks_per_s:
            best = fastest
    return best


def _stages(runtime: Runtime) -> list[Stage]:
    cores = len(os.sched_getaffinity(0))
    if runtime.device == "cuda":
        return [
            _vary(workers_per_device=[1, 3, 4]),
            _vary(max_batch_size=[8, 32, 64]),
        ]
    powers = [2**i for i in range(cores.bit_length()) if 2**i <= min(cores, 64)]

    def topologies(best: TuningSetup) -> Iterable[TuningSetup]:
        for workers in powers:
            threads = cores // workers
            update = {"workers_per_device": workers, "threads_per_worker": threads}
            yield best.model_copy(update=update)

    def encoder_takes_batch(best: TuningSetup) -> Iterable[TuningSetup]:
        yield best.model_copy(update={"encoder_batch_size": best.max_batch_size})

    has_openvino = importlib.util.find_spec("openvino") is not None
    encoders = ["ctranslate2", "openvino"] if has_openvino else []
    batch_sizes = _vary(max_batch_size=[2, 4, 8, 16])
    return [topologies, _vary(encoder=encoders), batch_sizes, encoder_takes_batch]


def _vary(**values: Sequence[object]) -> Stage:
    ((name, choices),) = values.items()
    return lambda best: (best.model_copy(update={name: choice}) for choice in choices)


def _allowed(stage: Stage, start: TuningSetup, config: EngineConfig) -> Stage:
    """Return the stage without the setups that change a setting given in `config`."""
    fixed = {name: value for name, value in start if not _is_open(config, name)}
    return lambda best: (
        setup
        for setup in stage(best)
        if all(getattr(setup, name) == value for name, value in fixed.items())
    )


def _is_open(config: EngineConfig, name: str) -> bool:
    return getattr(config, name) in (0, "auto")


def _measure(config: EngineConfig, files: ModelFiles) -> float:
    model = load_model(config, files)
    model.warm_up()
    runtime = model.runtime
    start_s = time.perf_counter()

    def work(replica: int) -> int:
        num_batches = 0
        while True:
            for frames in runtime.windows.typical_frames:
                _run_batch(model, replica, runtime.batch_size, frames)
                num_batches += 1
            if time.perf_counter() - start_s > _MEASURE_S:
                return num_batches

    replica_of_worker = [*range(len(model.replicas))] * runtime.workers
    with ThreadPoolExecutor(len(replica_of_worker)) as pool:
        num_chunks = runtime.batch_size * sum(pool.map(work, replica_of_worker))
    return num_chunks / (time.perf_counter() - start_s)


def _run_batch(model: LoadedModel, replica: int, num_chunks: int, num_frames: int) -> None:
    prompt = model.tokenizer.prompt(
        next(iter(model.tokenizer.languages)), Task.TRANSCRIBE, timestamps=False
    )
    plan = DecodePlan(
        max_new_tokens=max(1, round(num_frames / 100 * TOKENS_PER_S)),
        suppress_tokens=(model.tokenizer.end_of_text,),  # the same number of tokens in every setup
    )
    worker = model.replicas[replica]
    shape = (num_chunks, worker.n_mels, num_frames)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    positions = model.runtime.windows.of_frames(num_frames).num_positions
    worker.generate(worker.encode(list(noise), positions), [prompt] * num_chunks, plan)


def _path(conditions: dict[str, object]) -> Path:
    text = json.dumps(conditions, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache_folder() / f"tuning-{key}.json"


def _conditions(config: EngineConfig, files: ModelFiles) -> dict[str, object]:
    """Return everything that a stored measurement depends on."""
    runtime = resolve_runtime(config, files.properties)
    return {
        "weights": files.revision,
        "windows": str(runtime.windows),
        "device": [runtime.device, list(runtime.indexes), runtime.compute_type],
        "machine": _machine(),
        "versions": {name: _version(name) for name in ("talkmill", "ctranslate2", "openvino")},
    }


def _machine() -> list[str]:
    cpu = _values(Path("/proc/cpuinfo"), "model name")[:1] or [platform.processor()]
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    models = [model for path in gpus for model in _values(path, "Model")]
    return [*cpu, f"{len(os.sched_getaffinity(0))} cores", *models]


def _values(path: Path, name: str) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
