"""Where a model runs, and with which workers, threads and batch sizes: settings to a `Runtime`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..audio.windows import Windows
from ..config import EncoderWindows, EngineConfig, to_frames
from ..errors import ConfigError
from ..types import EncoderWindow
from .files import ModelProperties
from .runtime import Runtime
from .whisper_ct2 import num_cuda_devices, supported_compute_types

DEFAULT_BATCH_SIZE = {"cpu": 8, "cuda": 16}
DEFAULT_CUDA_WORKERS = 2
MAX_DEFAULT_CPU_WORKERS = 4
# 4 chunks of 30 s. Beyond a core's cache, each further row of a decoder step costs more.
DEFAULT_CPU_BATCH_POSITIONS = 6_000

_BEST_COMPUTE_TYPES = {
    "cpu": ("int8", "int8_float32", "float32"),
    "cuda": ("float16", "int8_float16", "bfloat16", "int8_float32", "float32"),
}


def resolve_runtime(config: EngineConfig, properties: ModelProperties) -> Runtime:
    """Return the settings with every open choice made for this machine and this model.

    The encoder is CTranslate2's until `load_model` has measured another one.

    Args:
        config: The settings.
        properties: What the model declares.

    Raises:
        ConfigError: The device or the compute type is not available here; the message lists
            what is.
    """
    num_gpus = num_cuda_devices()
    device = config.device if config.device != "auto" else ("cuda" if num_gpus else "cpu")
    is_cuda = device == "cuda"
    if is_cuda and config.encoder_batch_size:
        raise ConfigError("encoder_batch_size: only a CPU has this setting, the device is cuda")
    if is_cuda and config.encoder == "openvino":
        raise ConfigError("encoder: openvino runs on a CPU only, the device is cuda")
    indexes = config.device_index if is_cuda else (0,)
    if is_cuda and config.encoder == "array" and indexes != (0,):
        raise ConfigError(f"encoder: array runs on GPU 0 only, device_index is {indexes}")
    if is_cuda and not all(0 <= index < num_gpus for index in indexes):
        raise ConfigError(f"device_index: {indexes} requested, {num_gpus} CUDA devices found")
    cores = len(os.sched_getaffinity(0))
    # On few cores, workers of one thread are faster than one worker of many threads.
    default_workers = DEFAULT_CUDA_WORKERS if is_cuda else min(MAX_DEFAULT_CPU_WORKERS, cores)
    workers = config.workers_per_device or default_workers
    return Runtime(
        device=device,
        indexes=indexes,
        compute_type=_resolve_compute_type(config.compute_type, device, indexes[0]),
        windows=_resolve_windows(config.encoder_windows, properties),
        workers=workers,
        threads=config.threads_per_worker or max(1, cores // (workers * len(indexes))),
        batch_size=config.max_batch_size or DEFAULT_BATCH_SIZE[device],
        batch_positions=0 if is_cuda or config.max_batch_size else DEFAULT_CPU_BATCH_POSITIONS,
        encoder_batch_size=0 if is_cuda else config.encoder_batch_size or 1,
    )


def _resolve_windows(wanted: EncoderWindows, properties: ModelProperties) -> Windows:
    if wanted == "full":
        return Windows(EncoderWindow.FULL)
    windows_s = properties.windows_s if wanted == "auto" else wanted
    if windows_s:
        assert not isinstance(windows_s, str)
        return Windows(EncoderWindow.DECLARED, to_frames(windows_s))
    return Windows(EncoderWindow.FITTED)


def _resolve_compute_type(wanted: str, device: str, index: int) -> str:
    supported = supported_compute_types(device, index)
    if wanted == "auto":
        return next(name for name in _BEST_COMPUTE_TYPES[device] if name in supported)
    if wanted not in supported:
        names = ", ".join(sorted(supported))
        raise ConfigError(f"compute_type: {wanted} is not supported on this {device}: {names} are")
    return wanted


def machine_bytes(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory of this machine, in bytes, or the limit of its container if that is less.

    Args:
        cgroups: Where the control groups are mounted. Inside a container that is its own group, of
            version 2 (`memory.max`) or 1 (`memory/memory.limit_in_bytes`).
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
            memory = min(memory, int((cgroups / name).read_text(encoding="ascii")))
    return memory
