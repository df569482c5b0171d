"""Whisper through CTranslate2. The only module that imports `ctranslate2`."""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from ..audio.windows import groups_of_equal_length
from ..decoding.exact import ExactLane
from ..decoding.hypothesis import Hypothesis, average_logprob
from ..decoding.plan import DecodePlan, Strategy
from ..decoding.rules import Vocabulary
from ..decoding.softmax import log_probability
from ..errors import ConfigError, DeviceLost
from .alignment import Alignment, AlignmentTask, align_in_groups
from .alignment_heads import with_alignment_heads
from .array_library import array_library
from .protocol import ArrayEncoder, Detection, EncoderOutput
from .runtime import Runtime
from .step_decoder import StepDecoder
from .weights import num_logits, read_weights

# CUDA errors after which the context cannot be used any more; out of memory is not among them.
_STICKY_CUDA = re.compile(
    r"illegal memory access|unspecified launch failure|device-side assert|misaligned address"
    r"|illegal instruction|uncorrectable|hardware stack|device.*(lost|unavailable|busy)",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)
_SUPPRESS_CONFIGURED = -1  # CTranslate2: the tokens that the model's config.json suppresses

_log = logging.getLogger(__name__)


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

    @functools.cached_property
    def num_tokens(self) -> int:
        """See `SpeechModel.num_tokens`."""
        return num_logits(read_weights(self._folder / "model.bin"))

    @property
    def is_multilingual(self) -> bool:
        """Whether prompts carry a language and a task."""
        return bool(self._whisper.is_multilingual)

    def encode(self, features: Sequence[NDArray[np.float32]], num_positions: int) -> EncoderOutput:
        """See `SpeechModel.encode`; the output stays on the device."""
        groups = groups_of_equal_length(features, self._runtime.encoder_batch_size)
        if len(groups) == 1 and features[0].shape[1] == 2 * num_positions:
            return self._encode(np.stack(features))
        xp = self._array_library
        rows: list[Any] = [None] * len(features)
        for group in groups:
            output = self._to_array(self._encode(np.stack([features[i] for i in group])), xp)
            for i, row in zip(group, output, strict=True):
                rows[i] = row
        encoded = xp.empty((len(rows), num_positions, rows[0].shape[1]), np.float32)
        for i, row in enumerate(rows):
            encoded[i, : len(row)] = row
            if len(row) < num_positions:
                encoded[i, len(row) :] = self._silence_on_device()[len(row) : num_positions]
        return ctranslate2.StorageView.from_array(encoded)

    def row(self, encoded: EncoderOutput, index: int) -> EncoderOutput:
        """See `SpeechModel.row`; an array of the device."""
        return self._to_array(encoded, self._array_library)[index : index + 1].copy()

    def stack(self, outputs: Sequence[EncoderOutput]) -> EncoderOutput:
        """See `SpeechModel.stack`."""
        xp = self._array_library
        arrays = [
            self._to_array(one, xp) if isinstance(one, ctranslate2.StorageView) else one
            for one in outputs
        ]
        return ctranslate2.StorageView.from_array(xp.concatenate(arrays))

    def states(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the encoder's output as an array of the host.

        Args:
            features: float32 (batch, n_mels, num_frames).

        Returns:
            float32 (batch, num_frames / 2, d_model).
        """
        output: NDArray[np.float32] = self._to_array(self._encode(features), np)
        return output

    def _silence_on_device(self) -> Any:
        if self.silence is None:
            raise RuntimeError("a fitted window needs the output for silence. This is a bug.")
        with self._lock:
            if self._device_silence is None:
                self._device_silence = self._array_library.asarray(self.silence)
            return self._device_silence

    def _encode(self, features: NDArray[np.float32]) -> EncoderOutput:
        if self.encoder is not None:
            return ctranslate2.StorageView.from_array(self.encoder(features))
        storage = ctranslate2.StorageView.from_array(np.ascontiguousarray(features))
        return self._call(self._whisper.encode, storage)

    def detect_languages(
        self, encoded: EncoderOutput, rows: Sequence[int], max_positions: int = 0
    ) -> list[Detection]:
        """See `SpeechModel.detect_languages`."""
        num_rows, num_positions, _ = encoded.shape
        if len(rows) < num_rows or 0 < max_positions < num_positions:
            xp = self._array_library
            part = self._to_array(encoded, xp)[list(rows), : max_positions or None]
            encoded = ctranslate2.StorageView.from_array(xp.ascontiguousarray(part))
        found = self._call(self._whisper.detect_language, encoded)
        return [tuple((token.strip("<|>"), p) for token, p in row) for row in found]

    def generate(
        self, encoded: EncoderOutput, prompts: list[list[int]], plan: DecodePlan
    ) -> list[Hypothesis]:
        """See `SpeechModel.generate`."""
        # Without beams it changes only the scores; with 0 a score is the sum of log-probabilities.
        length_penalty = plan.length_penalty if plan.num_beams > 1 else 0.0
        results = self._call(
            self._whisper.generate,
            encoded,
            prompts,
            beam_size=plan.num_beams,
            patience=plan.patience or 1.0,
            length_penalty=length_penalty,
            repetition_penalty=plan.repetition_penalty,
            no_repeat_ngram_size=plan.no_repeat_ngram_size,
            suppress_tokens=[_SUPPRESS_CONFIGURED, *plan.suppress_tokens],
            # With one candidate CTranslate2 takes the most likely token at any temperature.
            sampling_topk=plan.top_k if plan.strategy is Strategy.SAMPLE else 1,
            sampling_temperature=plan.temperature,
            max_length=_max_length(plan.max_new_tokens, len(prompts[0])),
            return_scores=True,
            return_logits_vocab=plan.token_logprobs,
            return_no_speech_prob=True,
        )
        temperature = plan.temperature if plan.strategy is Strategy.SAMPLE else 0.0
        found = [_hypothesis(result, length_penalty, temperature) for result in results]
        if plan.token_logprobs:
            found = [
                replace(one, token_logprobs=self._token_logprobs(result))
                for one, result in zip(found, results, strict=True)
            ]
        return found

    def align(self, encoded: EncoderOutput, tasks: Sequence[AlignmentTask]) -> list[Alignment]:
        """See `SpeechModel.align`."""

        def call(states: Any, *rest: Any) -> Any:
            storage = ctranslate2.StorageView.from_array(states)
            return self._call(self._whisper.align, storage, *rest)

        states = self._to_array(encoded, self._array_library)
        return align_in_groups(states, tasks, call, self._array_library)

    def exact_lane(self, vocabulary: Vocabulary) -> ExactLane:
        """See `SpeechModel.exact_lane`."""
        decoder = self._step_decoder()
        return ExactLane(decoder, vocabulary, lambda it: self._to_array(it, decoder.xp))

    def _step_decoder(self) -> StepDecoder:
        # Built once, for the first request that needs it: a large model's takes gigabytes.
        with self._lock:
            if self._decoder is None:
                weights = read_weights(self._folder / "model.bin")
                self._decoder = StepDecoder(weights, self._array_library)
            return self._decoder

    def _token_logprobs(self, result: Any) -> tuple[float, ...]:
        # The logits are those after suppression and timestamp rules, before temperature. Of the
        # steps, the last is the end of text's, if it was generated.
        steps = zip(result.sequences_ids[0], result.logits[0], strict=False)
        return tuple(log_probability(self._to_array(row, np), token) for token, row in steps)

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


def _hypothesis(result: Any, length_penalty: float, temperature: float) -> Hypothesis:
    # The score is the sum of the log-probabilities, end of text included, divided by the number of
    # tokens, end of text not included, to the power of the length penalty.
    tokens, sum_logprob = result.sequences_ids[0], result.scores[0]
    if length_penalty:
        # Of an empty answer among beams the division by a power of 0 leaves nothing to recover. It
        # counts as certain: whether speech is missing is for `coverage` to find.
        sum_logprob = sum_logprob * len(tokens) ** length_penalty if tokens else 0.0
    return Hypothesis(
        tokens=tuple(tokens),
        avg_logprob=average_logprob(sum_logprob, len(tokens)),
        no_speech_prob=result.no_speech_prob,
        temperature=temperature,
    )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether a call of a model failed because the batch was too large for the memory."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def _max_length(num_tokens: int, prompt_length: int) -> int:
    # CTranslate2 stops after min(max_length / 2, max_length - (prompt_length - 1)) new tokens.
    return max(2 * num_tokens, num_tokens + prompt_length - 1)
