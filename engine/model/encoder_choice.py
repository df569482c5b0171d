"""Which library runs the encoder on a CPU: CTranslate2, or OpenVINO where it is clearly faster."""

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
from .protocol import ArrayEncoder
from .runtime import Runtime
from .weights import read_weights
from .whisper_ct2 import CTranslate2Model

MIN_SPEEDUP = 1.2  # smaller differences are noise
_ROUNDS = 10
_PATIENCE_S = 2.0  # a large model's one call takes seconds: then one round is enough

_log = logging.getLogger(__name__)


def choose_encoder(
    wanted: EncoderName,
    model: CTranslate2Model,
    weights_path: Path,
    runtime: Runtime,
) -> str:
    """Give `model` the encoder that is wanted, or with "auto" the faster one; return its name.

    Args:
        wanted: What is set.
        model: On the CPU, just loaded.
        weights_path: Its `model.bin`.
        runtime: How it runs; each of its windows is measured.

    Raises:
        ConfigError: OpenVINO is wanted and not installed, or cannot run this model.
    """
    is_installed = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and not is_installed:
        raise ConfigError("encoder: openvino is not installed; pip install 'talkmill[openvino]'")
    if wanted == "ctranslate2" or not is_installed:
        return "ctranslate2"
    try:
        encoder = _openvino(weights_path, runtime)
    except RuntimeError as error:
        if wanted == "openvino":
            raise ConfigError(f"encoder: openvino cannot run this model: {error}") from error
        _log.warning("encoder: ctranslate2, for openvino cannot run this model: %s", error)
        return "ctranslate2"
    if wanted == "auto":
        batches = [
            np.random.default_rng(0).standard_normal((1, model.n_mels, frames), np.float32)
            for frames in runtime.window_frames
        ]
        ours_s, theirs_s = time_side_by_side([encoder, model.encode], batches)
        is_faster = theirs_s >= MIN_SPEEDUP * ours_s
        _log.info(
            "encoder: %s; over the windows, openvino takes %.0f ms and ctranslate2 %.0f ms",
            "openvino" if is_faster else "ctranslate2",
            1e3 * ours_s,
            1e3 * theirs_s,
        )
        if not is_faster:
            return "ctranslate2"
    model.encoder = encoder
    return f"openvino {importlib.metadata.version('openvino')} {encoder.number_type}"


def time_side_by_side(
    encoders: Sequence[Callable[[NDArray[np.float32]], object]],
    batches: Sequence[NDArray[np.float32]],
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """Return the seconds that each encoder takes for all batches, each at its best of some tries.

    They take turns, so that what else the machine does meets all alike. Processor time counts:
    under load every core is busy, and at start-up a neighbour may be.
    """
    for encoder in encoders:
        encoder(batches[0])  # the first call prepares
    best = np.full((len(encoders), len(batches)), math.inf)
    start_s = clock()
    for _ in range(_ROUNDS):
        for j, batch in enumerate(batches):
            for i, encoder in enumerate(encoders):
                call_s = clock()
                encoder(batch)
                best[i, j] = min(best[i, j], clock() - call_s)
        if clock() - start_s > _PATIENCE_S:
            break
    return [float(sum(row)) for row in best]


def _openvino(weights_path: Path, runtime: Runtime) -> ArrayEncoder:
    from .openvino_encoder import OpenVinoEncoder  # an optional dependency

    return OpenVinoEncoder(
        read_weights(weights_path), workers=runtime.workers, threads=runtime.threads
    )
