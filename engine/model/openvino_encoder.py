"""Whisper's encoder as an OpenVINO graph, built from the weights of a CTranslate2 `model.bin`.

For CPUs: those with AMX or AVX-512 BF16 run it in bfloat16, several times as fast as CTranslate2.
Needs `talkmill[openvino]`. The layers are those of the paper (Radford et al. 2022) as
CTranslate2 stores them: one matrix for queries, keys and values, a norm before each block.
Unlike CTranslate2's encoder it attends to the silence after a short window.
"""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from .silence import Silence, measure_silence
from .weights import Weights, dense, num_encoder_layers

_EPSILON = 1e-5  # of every layer norm
_SWAP = (0, 2, 1, 3)  # of heads and positions
_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU multiplies matrices of bfloat16 in hardware."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())


class OpenVinoEncoder:
    """The encoder of one model on the CPU. Thread-safe; further calls wait if all workers are busy.

    Attributes:
        number_type: Type of the computation, "bfloat16" or "float32".
        silence: What short windows attend to after their own positions, if anything.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        workers: int,
        threads: int,
        is_bfloat16: bool | None = None,
        silence: Silence | None = None,
    ) -> None:
        """Build the graph and compile it for this CPU.

        Args:
            weights: Variables of a CTranslate2 Whisper model, quantized or not.
            workers: Calls that run at the same time.
            threads: CPU threads of each call.
            is_bfloat16: Whether to compute in bfloat16, not float32. Default: whether the CPU
                multiplies bfloat16 matrices in hardware.
            silence: With keys and values of this model: windows shorter than 30 s attend to it.
        """
        is_bfloat16 = cpu_has_bfloat16() if is_bfloat16 is None else is_bfloat16
        self.number_type = "bfloat16" if is_bfloat16 else "float32"
        self.silence = silence
        compiled = _compile(_model(weights, silence), workers, threads, is_bfloat16)
        self._idle: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        for _ in range(workers):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (batch, num_frames / 2, d_model) for (batch, n_mels, num_frames)."""
        request = self._idle.get()
        try:
            output: NDArray[np.float32] = request.infer([np.ascontiguousarray(features)])[0]
        finally:
            self._idle.put(request)
        return output


def measure_with_openvino(
    weights: Weights, *, threads: int, is_bfloat16: bool | None = None
) -> Silence:
    """Return silence as this encoder computes it: eight full windows.

    Args:
        weights: Variables of a CTranslate2 Whisper model, quantized or not.
        threads: CPU threads.
        is_bfloat16: As for `OpenVinoEncoder`.
    """
    is_bfloat16 = cpu_has_bfloat16() if is_bfloat16 is None else is_bfloat16
    model = _model(weights, measures_silence=True)
    request = _compile(model, 1, threads, is_bfloat16).create_infer_request()

    def measure(features: NDArray[np.float32]) -> Silence:
        results = request.infer([features])
        states, *layers = (np.array(results[i][0]) for i in range(len(model.outputs)))
        return Silence(states, tuple(layers[0::2]), tuple(layers[1::2]))

    return measure_silence(measure, n_mels=weights["encoder/conv1/weight"].shape[1])


def _compile(model: ov.Model, workers: int, threads: int, is_bfloat16: bool) -> ov.CompiledModel:
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if is_bfloat16 else "f32",
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
        # CTranslate2's decoder and the preparation of audio use the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    return ov.Core().compile_model(model, "CPU", settings)


def _model(
    weights: Weights, silence: Silence | None = None, *, measures_silence: bool = False
) -> ov.Model:
    """Return the graph; optionally each layer's keys and values are outputs after the first."""
    width, n_mels, _ = weights["encoder/conv1/weight"].shape
    features = op.parameter([-1, n_mels, -1], np.float32, "features")
    x = _convolution(weights, "encoder/conv1", features, 1)
    x = op.transpose(_convolution(weights, "encoder/conv2", x, 2), _integers(0, 2, 1))
    length = op.gather(op.shape_of(x), _integers(1), op.constant(0))
    positions = _constant(weights["encoder/position_encodings/encodings"][None])
    x = op.add(x, op.slice(positions, _integers(0), length, _integers(1), _integers(1)))
    num_layers = num_encoder_layers(weights)
    tails = silence.layers(num_layers) if silence else []
    extra: list[ov.Node] = []
    for layer in range(num_layers):
        attention, ffn = f"encoder/layer_{layer}/self_attention", f"encoder/layer_{layer}/ffn"
        query, keys, values = _heads(weights, attention, x)
        if measures_silence:
            extra += [keys, values]
        if tails:
            keys, values = (
                _followed_by(heads, tail, length)
                for heads, tail in zip((keys, values), tails[layer], strict=True)
            )
        seen = op.scaled_dot_product_attention(query, keys, values)
        mixed = op.reshape(op.transpose(seen, _integers(*_SWAP)), _integers(0, -1, width), True)
        x = op.add(x, _linear(weights, f"{attention}/linear_1", mixed))
        inner = op.gelu(_linear(weights, f"{ffn}/linear_0", _norm(weights, ffn, x)), "erf")
        x = op.add(x, _linear(weights, f"{ffn}/linear_1", inner))
    return ov.Model([_norm(weights, "encoder", x), *extra], [features], "whisper_encoder")


def _heads(weights: Weights, name: str, x: ov.Node) -> list[ov.Node]:
    """Return queries, keys and values, (batch, num_heads, length, head_size) each."""
    stacked = _linear(weights, f"{name}/linear_0", _norm(weights, name, x))
    shape = _integers(0, 0, int(weights["encoder/num_heads"]), -1)  # 0 keeps the size
    parts = op.split(stacked, op.constant(2), 3).outputs()
    return [op.transpose(op.reshape(part, shape, True), _integers(*_SWAP)) for part in parts]


def _followed_by(x: ov.Node, silence: NDArray[np.float32], length: ov.Node) -> ov.Node:
    """Append the silence from `length` on to keys or values (batch, heads, length, head size)."""
    num_heads, end, head_size = silence.shape
    rest = op.slice(_constant(silence), length, _integers(end), _integers(1), _integers(1))
    batch = op.gather(op.shape_of(x), _integers(0), op.constant(0))
    num_positions = op.subtract(_integers(end), length)
    size = op.concat([batch, _integers(num_heads), num_positions, _integers(head_size)], 0)
    return op.concat([x, op.broadcast(rest, size)], 2)


def _convolution(weights: Weights, name: str, x: ov.Node, stride: int) -> ov.Node:
    y = op.convolution(x, _constant(dense(weights, name)), [stride], [1], [1], [1])
    return op.gelu(op.add(y, _constant(weights[f"{name}/bias"][None, :, None])), "erf")


def _linear(weights: Weights, name: str, x: ov.Node) -> ov.Node:
    y = op.matmul(x, _constant(dense(weights, name)), False, True)
    return op.add(y, _constant(weights[f"{name}/bias"]))


def _norm(weights: Weights, name: str, x: ov.Node) -> ov.Node:
    y = op.mvn(x, _integers(-1), True, _EPSILON, "inside_sqrt")
    scaled = op.multiply(y, _constant(weights[f"{name}/layer_norm/gamma"]))
    return op.add(scaled, _constant(weights[f"{name}/layer_norm/beta"]))


def _constant(array: NDArray[np.generic]) -> ov.Node:
    return op.constant(np.ascontiguousarray(array, dtype=np.float32))


def _integers(*values: int) -> ov.Node:
    return op.constant(np.array(values, np.int64))
