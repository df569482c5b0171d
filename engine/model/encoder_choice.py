"""Chooses the encoder's library on a CPU: CTranslate2, or OpenVINO if it is clearly faster."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import EncoderName
from ..errors import ConfigError
from .array_encoder import WhisperEncoder
from .array_library import array_library
from .protocol import ArrayEncoder
from .runtime import Runtime
from .silence import Silence, blank_silence, load_or_measure, measure_silence
from .weights import Weights, read_weights
from .whisper_ct2 import CTranslate2Model

MIN_SPEEDUP = 1.2  # smaller differences count as noise
_ROUNDS = 10
_MAX_MEASURE_S = 2.0  # no further round after this: one call of a large model takes seconds

_log = logging.getLogger(__name__)


def choose_encoder(
    wanted: EncoderName,
    model: CTranslate2Model,
    weights_path: Path,
    runtime: Runtime,
    silence_key: str | None = None,
) -> str:
    """Set the encoder of `model` to the configured or, for "auto", the faster one; return its name.

    Args:
        wanted: The configured encoder.
        model: The model, before its first call.
        weights_path: Path of its `model.bin`.
        runtime: How it runs; "auto" measures each of its windows.
        silence_key: If windows are fitted, what identifies the weights: OpenVINO's encoder then
            attends to silence, which is measured once and stored under this key.

    Raises:
        ConfigError: `wanted` is "openvino", which is not installed or cannot run this model, or
            "array" on a GPU without CuPy.
    """
    if wanted == "array":
        model.encoder = array_encoder = _array_encoder(weights_path, model, runtime, silence_key)
        return f"array {array_encoder.number_type}"
    if runtime.device != "cpu":
        return "ctranslate2"
    is_installed = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and not is_installed:
        raise ConfigError("encoder: openvino is not installed; pip install 'talkmill[openvino]'")
    if wanted == "ctranslate2" or not is_installed:
        return "ctranslate2"
    weights = read_weights(weights_path)
    try:
        if wanted == "auto":
            # Times do not depend on the numbers, and measuring silence takes eight full windows.
            blank = blank_silence(weights) if silence_key else None
            encoder = _openvino(weights, runtime, blank)
            if not _is_faster(encoder, model, runtime):
                return "ctranslate2"
        if silence_key:
            encoder = _openvino(weights, runtime, _load_silence(weights, runtime, silence_key))
        elif wanted == "openvino":
            encoder = _openvino(weights, runtime, None)
    except _CannotRun as error:
        if wanted == "openvino":
            raise ConfigError(f"encoder: openvino cannot run this model: {error}") from error
        _log.warning("encoder: ctranslate2, because openvino cannot run this model: %s", error)
        return "ctranslate2"
    model.encoder = encoder
    return f"openvino {importlib.metadata.version('openvino')} {encoder.number_type}"


def _array_encoder(
    weights_path: Path, model: CTranslate2Model, runtime: Runtime, silence_key: str | None
) -> WhisperEncoder:
    xp = array_library(runtime.device)
    if xp is None:
        raise ConfigError("encoder: array needs CuPy on a GPU; pip install 'talkmill[cuda]'")
    dtype = np.float32 if runtime.device == "cpu" else np.float16
    encoder = WhisperEncoder(read_weights(weights_path), xp, dtype)
    if silence_key:
        key = f"{silence_key} array {runtime.device} {encoder.number_type}"
        encoder.set_silence(
            load_or_measure(key, lambda: measure_silence(encoder.measure, model.n_mels))
        )
    return encoder


def time_side_by_side(
    encoders: Sequence[Callable[[NDArray[np.float32]], object]],
    batches: Sequence[NDArray[np.float32]],
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """Return for each encoder the sum over the batches of its best time, in seconds.

    The encoders take turns, so that other load on the machine affects all of them. CPU time is
    compared, not wall-clock time: in service every core is busy, and at start-up other processes
    may be running.
    """
    for encoder in encoders:
        encoder(batches[0])  # the first call is slower
    best = np.full((len(encoders), len(batches)), math.inf)
    start_s = clock()
    for _ in range(_ROUNDS):
        for j, batch in enumerate(batches):
            for i, encoder in enumerate(encoders):
                call_s = clock()
                encoder(batch)
                best[i, j] = min(best[i, j], clock() - call_s)
        if clock() - start_s > _MAX_MEASURE_S:
            break
    return [float(sum(row)) for row in best]


def _is_faster(encoder: ArrayEncoder, model: CTranslate2Model, runtime: Runtime) -> bool:
    """Return whether an encoder is clearly faster than that of `model`."""
    batches = [
        np.random.default_rng(0).standard_normal((1, model.n_mels, frames), np.float32)
        for frames in runtime.windows.typical_frames
    ]
    openvino_s, ctranslate2_s = time_side_by_side([encoder, model.states], batches)
    is_faster = ctranslate2_s >= MIN_SPEEDUP * openvino_s
    _log.info(
        "encoder: %s; one chunk of each window takes %.0f ms with openvino, %.0f ms with "
        "ctranslate2",
        "openvino" if is_faster else "ctranslate2",
        1e3 * openvino_s,
        1e3 * ctranslate2_s,
    )
    return is_faster


class _CannotRun(Exception):
    """OpenVINO failed to build, compile or run the graph."""


def _openvino(weights: Weights, runtime: Runtime, silence: Silence | None) -> ArrayEncoder:
    from .openvino_encoder import OpenVinoEncoder  # an optional dependency

    try:
        return OpenVinoEncoder(
            weights, workers=runtime.workers, threads=runtime.threads, silence=silence
        )
    except RuntimeError as error:
        raise _CannotRun(str(error)) from error


def _load_silence(weights: Weights, runtime: Runtime, key: str) -> Silence:
    from .openvino_encoder import cpu_has_bfloat16, measure_with_openvino

    def measure() -> Silence:
        try:
            return measure_with_openvino(weights, threads=runtime.workers * runtime.threads)
        except RuntimeError as error:
            raise _CannotRun(str(error)) from error

    number_type = "bfloat16" if cpu_has_bfloat16() else "float32"
    version = importlib.metadata.version("openvino")
    return load_or_measure(f"{key} openvino {version} {number_type}", measure)
