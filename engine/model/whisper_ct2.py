"""Whisper through CTranslate2. The only module that imports `ctranslate2`."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .alignment_heads import with_alignment_heads
from .array_math import array_library
from .protocol import ArrayEncoder
from .runtime import Runtime
from .step_decoder import StepDecoder

# CUDA errors after which the context cannot be used any more; out of memory is not among them.
_STICKY_CUDA = re.compile(
    r"illegal memory access|unspecified launch failure|device-side assert|misaligned address"
    r"|illegal instruction|uncorrectable|hardware stack|device.*(lost|unavailable|busy)",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)
_SUPPRESS_CONFIGURED = -1  # CTranslate2: the tokens that the model's config.json suppresses


def num_cuda_devices() -> int:
    """Return the number of CUDA devices that CTranslate2 can use."""
    return int(ctranslate2.get_cuda_device_count())


def supported_compute_types(device: str, index: int) -> set[str]:
    """Return the names of the compute types that a device supports."""
    return set(ctranslate2.get_supported_compute_types(device, index))


class CTranslate2Model:
    """Whisper on one device, through CTranslate2. Its calls release the GIL.

    Attributes:
        encoder: Replaces CTranslate2's encoder on a CPU; set before the first call.
        silence: The encoder's output for silence, float32 (1500, d_model), which follows that of
            a fitted window; None if there are no fitted windows. Set before the first call.
    """

    def __init__(self, folder: Path, runtime: Runtime, index: int) -> None:
        """Load the weights in `folder` onto device number `index`.

        Raises:
            ConfigError: The folder holds no Whisper model that can be loaded.
        """
        self._folder = folder
        self._runtime = runtime
        self.encoder: ArrayEncoder | None = None
        self.silence: NDArray[np.float32] | None = None
        self._lock = threading.Lock()
        self._decoder: StepDecoder | None = None
        self._device_silence: Any = None
        self._array_library = array_library(runtime.device) or np
        try:
            with with_alignment_heads(folder) as complete:
                self._whisper = ctranslate2.models.Whisper(
                    str(complete),
                    device=runtime.device,
                    device_index=index,
                    compute_type=runtime.compute_type,
                    inter_threads=runtime.workers,
                    intra_threads=runtime.threads,
                )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"model: {folder} cannot be loaded: {error}") from error

    @property
    def n_mels(self) -> int:
        """Mel bands of the features it takes."""
        return int(self._whisper.n_mels)
