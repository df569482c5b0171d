"""The model behind a small protocol, and CTranslate2's Whisper as the one that fills it.

The only module that imports `ctranslate2`. Knows tokens and features, nothing of requests.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from talkmill.engine.config import EngineConfig
from talkmill.engine.decoding.exact import ExactLane
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Vocabulary
from talkmill.engine.decoding.step_decoder import StepDecoder
from talkmill.engine.decoding.weights import read_weights
from talkmill.engine.errors import ConfigError, DeviceLost

EncoderOutput = Any
"""What an encoder returns and its own decoder takes; nobody looks inside."""


class ArrayEncoder(Protocol):
    """An encoder on the CPU that is not CTranslate2's. Thread-safe."""

    number_type: str

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (batch, num_frames / 2, d_model) for (batch, n_mels, num_frames)."""


# A CUDA context is beyond repair after these; out of memory is not among them.
_STICKY_CUDA = re.compile(
    r"illegal memory access|unspecified launch failure|device-side assert|misaligned address"
    r"|illegal instruction|uncorrectable|hardware stack|device.*(lost|unavailable|busy)",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)
_MODEL_S_OWN = -1  # stands for the tokens that config.json suppresses
# 4 windows of 30 s. Past a core's cache, the more rows a decoder's step has, the more each costs.
_CPU_BATCH_FRAMES = 12_000
_BEST_ON_CPU = ("int8", "int8_float32", "float32")
_BEST_ON_CUDA = ("float16", "int8_float16", "bfloat16", "int8_float32", "float32")

_log = logging.getLogger(__name__)


class SpeechModel(Protocol):
    """One replica on one device. Safe to call from several threads."""

    @property
    def n_mels(self) -> int:
        """Mel bands of the features it takes."""

    def encode(self, features: NDArray[np.float32]) -> EncoderOutput:
        """Return the encoder's output for float32 features (batch, n_mels, num_frames)."""

    def detect_language(self, encoded: EncoderOutput) -> list[tuple[str, float]]:
        """Return the likeliest language of each row and its probability."""

    def generate(
        self, encoded: EncoderOutput, prompts: list[list[int]], plan: DecodePlan
    ) -> list[list[int]]:
        """Return the tokens after each prompt, end of text left out.

        Args:
            encoded: What `encode` gave for the same rows.
            prompts: One for each row, all of one length.
            plan: How to search; one of the native lane.
        """

    def exact_lane(self, vocabulary: Vocabulary) -> ExactLane:
        """Return one worker's lane, empty: HF's algorithms, over what `encode` gave."""


@dataclass(frozen=True)
class DeviceConfig:
    """Where a model runs and how: the settings with every choice made.

    Attributes:
        device: "cpu" or "cuda".
        indexes: One replica on each of these; (0,) on a CPU.
        compute_type: As CTranslate2 calls it.
        workers: Batches in the works at once on each replica.
        threads: CPU threads of each worker.
        batch_size: Chunks in one batch at most.
        encoder_batch_size: Chunks that go through the encoder at once at most; 0 for all.
        batch_frames: Frames of all windows in one batch at most; 0 for any number.
    """

    device: str
    indexes: tuple[int, ...]
    compute_type: str
    workers: int
    threads: int
    batch_size: int
    encoder_batch_size: int = 0
    batch_frames: int = 0


def choose_device(config: EngineConfig) -> DeviceConfig:
    """Return the settings with what was left open filled in from this machine.

    Raises:
        ConfigError: The device or its compute type is not there; the message says what is.
    """
    num_gpus = ctranslate2.get_cuda_device_count()
    device = config.device if config.device != "auto" else ("cuda" if num_gpus else "cpu")
    if device == "cuda" and config.encoder_batch_size:
        raise ConfigError("encoder_batch_size: a GPU's encoder takes the whole batch")
    if device == "cuda" and config.encoder == "openvino":
        raise ConfigError("encoder: openvino runs on a CPU only, and the device is cuda")
    indexes = config.device_index if device == "cuda" else (0,)
    if device == "cuda" and not all(0 <= index < num_gpus for index in indexes):
        raise ConfigError(f"device_index: {indexes} asked for, {num_gpus} CUDA devices found")
    cores = len(os.sched_getaffinity(0))
    # On few cores, workers of one thread beat one worker of many.
    workers = config.workers_per_device or (2 if device == "cuda" else min(4, cores))
    return DeviceConfig(
        device=device,
        indexes=indexes,
        compute_type=_choose_compute_type(config.compute_type, device, indexes[0]),
        workers=workers,
        threads=config.threads_per_worker or max(1, cores // (workers * len(indexes))),
        batch_size=config.max_batch_size or (16 if device == "cuda" else 8),
        batch_frames=0 if device == "cuda" or config.max_batch_size else _CPU_BATCH_FRAMES,
        encoder_batch_size=0 if device == "cuda" else config.encoder_batch_size or 1,
    )


def _choose_compute_type(wanted: str, device: str, index: int) -> str:
    supported = ctranslate2.get_supported_compute_types(device, index)
    if wanted == "auto":
        best = _BEST_ON_CUDA if device == "cuda" else _BEST_ON_CPU
        return next(name for name in best if name in supported)
    if wanted not in supported:
        names = ", ".join(sorted(supported))
        raise ConfigError(f"compute_type: {wanted} does not run on this {device}; it has {names}")
    return wanted


class CTranslate2Model:
    """Whisper on one device, through CTranslate2. Its calls release the GIL.

    Attributes:
        encoder: Runs the encoder in CTranslate2's place, on a CPU; set before the first call.
    """

    def __init__(self, folder: Path, device: DeviceConfig, index: int) -> None:
        """Load the weights in `folder` onto device number `index`.

        Raises:
            ConfigError: The folder holds no Whisper model that can be loaded.
        """
        self._folder = folder
        self._device = device
        self.encoder: ArrayEncoder | None = None
        self._lock = threading.Lock()
        self._decoder: StepDecoder | None = None
        try:
            self._whisper = ctranslate2.models.Whisper(
                str(folder),
                device=device.device,
                device_index=index,
                compute_type=device.compute_type,
                inter_threads=device.workers,
                intra_threads=device.threads,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"model: {folder} cannot be loaded: {error}") from error

    @property
    def n_mels(self) -> int:
        """Mel bands of the features it takes."""
        return int(self._whisper.n_mels)

    @property
    def is_multilingual(self) -> bool:
        """Whether prompts carry a language and a task."""
        return bool(self._whisper.is_multilingual)

    def encode(self, features: NDArray[np.float32]) -> EncoderOutput:
        """See `SpeechModel.encode`; the output stays on the device."""
        num_rows = self._device.encoder_batch_size or len(features)
        if num_rows >= len(features):
            return self._encode(features)
        parts = [features[row : row + num_rows] for row in range(0, len(features), num_rows)]
        encoded = [self._to_array(self._encode(part), np) for part in parts]
        return ctranslate2.StorageView.from_array(np.concatenate(encoded))

    def _encode(self, features: NDArray[np.float32]) -> EncoderOutput:
        if self.encoder is not None:
            return ctranslate2.StorageView.from_array(self.encoder(features))
        storage = ctranslate2.StorageView.from_array(np.ascontiguousarray(features))
        return self._call(self._whisper.encode, storage)

    def detect_language(self, encoded: EncoderOutput) -> list[tuple[str, float]]:
        """See `SpeechModel.detect_language`."""
        rows = self._call(self._whisper.detect_language, encoded)
        return [(row[0][0].strip("<|>"), row[0][1]) for row in rows]

    def generate(
        self, encoded: EncoderOutput, prompts: list[list[int]], plan: DecodePlan
    ) -> list[list[int]]:
        """See `SpeechModel.generate`."""
        results = self._call(
            self._whisper.generate,
            encoded,
            prompts,
            beam_size=plan.num_beams,
            patience=plan.patience,
            length_penalty=plan.length_penalty,
            repetition_penalty=plan.repetition_penalty,
            no_repeat_ngram_size=plan.no_repeat_ngram_size,
            suppress_tokens=[_MODEL_S_OWN, *plan.suppress_tokens],
            # CTranslate2 takes the best of one candidate, whatever the temperature.
            sampling_topk=plan.top_k if plan.strategy is Strategy.SAMPLE else 1,
            sampling_temperature=plan.temperature,
            max_length=_max_length(plan.max_new_tokens, len(prompts[0])),
        )
        return [result.sequences_ids[0] for result in results]

    def exact_lane(self, vocabulary: Vocabulary) -> ExactLane:
        """See `SpeechModel.exact_lane`."""
        decoder = self._step_decoder()
        return ExactLane(decoder, vocabulary, lambda it: self._to_array(it, decoder.xp))

    def _step_decoder(self) -> StepDecoder:
        # Made at the first request that needs it, and once: a large model's takes gigabytes.
        with self._lock:
            if self._decoder is None:
                weights = read_weights(self._folder / "model.bin")
                self._decoder = StepDecoder(weights, _array_library(self._device.device))
            return self._decoder

    @staticmethod
    def _to_array(encoded: EncoderOutput, xp: Any) -> Any:
        if xp is np:
            encoded = encoded.to_device(ctranslate2.Device.cpu)
        return xp.asarray(encoded.to(ctranslate2.DataType.float32)).astype(np.float32)

    @staticmethod
    def _call(method: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except RuntimeError as error:
            if _STICKY_CUDA.search(str(error)):
                raise DeviceLost(str(error)) from error
            raise


def is_out_of_memory(error: Exception) -> bool:
    """Return whether a call of a model failed because the batch was too large for the memory."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def _max_length(num_tokens: int, prompt_length: int) -> int:
    # CTranslate2 stops after min(max_length / 2, max_length - (prompt_length - 1)) new tokens.
    return max(2 * num_tokens, num_tokens + prompt_length - 1)


def _array_library(device: str) -> Any:
    """Return what the step decoder computes with: CuPy on a GPU, if it is there."""
    if device == "cpu":
        return np
    try:
        return importlib.import_module("cupy")
    except ImportError:
        _log.warning("CuPy is not installed: the exact lane runs on the CPU; see talkmill[cuda]")
        return np
