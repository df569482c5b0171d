"""Whisper's encoder as an OpenVINO graph, built from the weights of a CTranslate2 `model.bin`.

For CPUs: those with AMX or AVX-512 BF16 run it in bfloat16, several times as fast as CTranslate2.
Needs `talkmill[openvino]`. The layers are those of the paper (Radford et al. 2022) as
CTranslate2 stores them: one matrix for queries, keys and values, a norm before each block.
"""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from .weights import Weights, dense

_EPSILON = 1e-5  # of every layer norm
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
    """

    def __init__(
        self, weights: Weights, *, workers: int, threads: int, is_bfloat16: bool | None = None
    ) -> None:
        """Build the graph and compile it for this CPU.

        Args:
            weights: Weights of a CTranslate2 Whisper model, quantized or not.
            workers: Calls that run at the same time.
            threads: CPU threads of each call.
            is_bfloat16: Whether to compute in bfloat16, not float32. Default: whether the CPU
                multiplies bfloat16 matrices in hardware.
        """
        is_bfloat16 = cpu_has_bfloat16() if is_bfloat16 is None else is_bfloat16
        self.number_type = "bfloat16" if is_bfloat16 else "float32"
        compiled = ov.Core().compile_model(
            _build(weights),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if is_bfloat16 else "f32",
                "NUM_STREAMS": workers,
                "INFERENCE_NUM_THREADS": workers * threads,
                # CTranslate2's decoder and the preparation of audio use the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
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


def _build(weights: Weights) -> ov.Model:
    width, n_mels, _ = weights["encoder/conv1/weight"].shape
    features = op.parameter([-1, n_mels, -1], np.float32, "features")
    x = _convolution(weights, "encoder/conv2", _convolution(weights, "encoder/conv1", features), 2)
    x = op.transpose(x, _integers(0, 2, 1))
    length = op.gather(op.shape_of(x), _integers(1), op.constant(0))
    positions = _constant(weights["encoder/position_encodings/encodings"][None])
    x = op.add(x, op.slice(positions, _integers(0), length, _integers(1), _integers(1)))
    num_heads = int(weights["encoder/num_heads"])
    layer = 0
    while f"encoder/layer_{layer}/ffn/linear_0/weight" in weights:
        name = f"encoder/layer_{layer}"
        x = op.add(x, _attention(weights, f"{name}/self_attention", x, num_heads, width))
        inner = _linear(weights, f"{name}/ffn/linear_0", _norm(weights, f"{name}/ffn", x))
        x = op.add(x, _linear(weights, f"{name}/ffn/linear_1", op.gelu(inner, "erf")))
        layer += 1
    return ov.Model([_norm(weights, "encoder", x)], [features], "whisper_encoder")


def _attention(weights: Weights, name: str, x: ov.Node, num_heads: int, width: int) -> ov.Node:
    shape = _integers(0, -1, num_heads, width // num_heads)  # 0 keeps the size
    swap = _integers(0, 2, 1, 3)
    stacked = _linear(weights, f"{name}/linear_0", _norm(weights, name, x))
    heads = [
        op.transpose(op.reshape(part, shape, True), swap)
        for part in op.split(stacked, op.constant(2), 3).outputs()
    ]
    seen = op.transpose(op.scaled_dot_product_attention(*heads), swap)
    return _linear(weights, f"{name}/linear_1", op.reshape(seen, _integers(0, -1, width), True))


def _convolution(weights: Weights, name: str, x: ov.Node, stride: int = 1) -> ov.Node:
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
