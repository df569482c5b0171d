"""What the step decoder and the array encoder share: layers as array code, on NumPy or CuPy.

All arrays are float32, matrices (inputs, outputs), unless a function says otherwise.
"""

from __future__ import annotations

import functools
import importlib
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .weights import Weights, dense

Array = Any
"""An array of the caller's own library: NumPy's or CuPy's."""

Affine = tuple[Array, Array]
"""A matrix (inputs, outputs) and a bias (outputs,)."""

_EPSILON = 1e-5  # of Whisper's layer norms

# The normal distribution's upper tail is density * polynomial(1 / (1 + p x)), with an error below
# 7.5e-8: Abramowitz and Stegun, 26.2.17. NumPy has no erf, and SciPy's takes four times as long.
_TAIL_P = 0.2316419
_TAIL = (1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530)

_log = logging.getLogger(__name__)


@functools.cached_property
    def num_tokens(self) -> int:
        """See `SpeechModel.num_tokens`."""
        return num_logits(self._folder / "model.bin")

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
        found: list[Alignment | None] = [None] * len(tasks)
        xp = self._array_library
        states = self._to_array(encoded, xp)
        for group in groups(tasks):
            own = [tasks[i] for i in group]
            rows = [task.row for task in own]
            seen = states[rows, : own[0].num_seen]
            if own[0].num_seen + END_POSITIONS < states.shape[1]:
                seen = xp.concatenate((seen, states[rows, -END_POSITIONS:]), axis=1)
            results = self._call(
                self._whisper.align,
                ctranslate2.StorageView.from_array(xp.ascontiguousarray(seen)),
                list(own[0].start),
                [list(task.tokens) for task in own],
                [2 * task.num_positions for task in own],
            )
            for i, result in zip(group, results, strict=True):
                found[i] = to_alignment(result.alignments, result.text_token_probs)
        return [one for one in found if one is not None]

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
        encoded = encoded.to_device(ctranslate2.Device.cpu) if xp is np else encoded
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
        # Of an empty answer among beams the division by a power of 0 leaves nothing to recover.
        sum_logprob = sum_logprob * len(tokens) ** length_penalty if tokens else -math.inf
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


@functools.cache  # each replica asks, and the warning comes once
def array_library(device: str) -> Any | None:
    """Return the array library of a device: NumPy on a CPU, CuPy on a GPU, None without CuPy."""
    if device == "cpu":
        return np
    try:
        return importlib.import_module("cupy")
    except ImportError:
        _log.warning(
            "CuPy is not installed: the exact lane decodes on the CPU, and there are no fitted "
            "windows; install talkmill[cuda]"
        )
        return None


def load_affine(
    weights: Weights, block: str, name: str, norm: str = "", num_query_heads: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a matrix (inputs, outputs) and its bias, with what comes before and after folded in.

    Args:
        weights: Variables of the whole model; see `read_weights`.
        block: Prefix of the names that follow, such as "decoder/layer_0/".
        name: Of the matrix.
        norm: Of the layer norm before it, if there is one: its scale and bias are folded in.
        num_query_heads: If its first outputs are attention's queries: the number of heads.
            Attention's scale is folded into the queries.
    """
    matrix = dense(weights, block + name).T
    bias = float32(weights, block + name + "/bias")
    width = len(matrix)
    if norm:
        gamma, beta = load_norm(weights, block + norm)
        matrix, bias = gamma[:, None] * matrix, bias + beta @ matrix
    scale = np.ones(len(bias), np.float32)
    if num_query_heads:
        scale[:width] = (width // num_query_heads) ** -0.5
    return np.ascontiguousarray(matrix * scale), bias * scale


def load_norm(weights: Weights, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scale and bias of the layer norm of a block, (d_model,) each."""
    return float32(weights, name + "/layer_norm/gamma"), float32(weights, name + "/layer_norm/beta")


def float32(weights: Weights, name: str) -> NDArray[np.float32]:
    """Return a variable that is never quantized, in float32."""
    return weights[name].astype(np.float32)


def affine(weights: Affine, x: Array) -> Array:
    """Return `x @ matrix + bias`."""
    matrix, bias = weights
    y = x @ matrix
    y += bias
    return y


def standardize(x: Array, xp: Any) -> Array:
    """Return x with mean 0 and variance 1 along the last axis: layer norm without its weights."""
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    centred /= xp.sqrt(variance + np.float32(_EPSILON))
    return centred


def gelu(x: Array, xp: Any) -> Array:
    """Return the exact GELU, x times the normal distribution, to 1e-7."""
    size = abs(x)
    t = 1 / (1 + np.float32(_TAIL_P) * size)
    tail = np.float32(_TAIL[0]) * t
    for coefficient in _TAIL[1:]:
        tail += np.float32(coefficient)
        tail *= t
    density = xp.exp(x * x * np.float32(-0.5)) * np.float32((2 * np.pi) ** -0.5)
    return xp.maximum(x, 0) - size * density * tail
