"""Silero's speech model, rearranged for many windows at once. Thread-safe.

Source: Silero VAD (github.com/snakers4/silero-vad), the ONNX file that faster-whisper bundles.

In that file each window is a row of the batch, and each convolution slides over the four frames
of one row. These products are so narrow that the weights are read again for every window. Here the
same weights form another graph, in which each layer is one product for all windows of a block: a
convolution over four frames becomes a matrix from all input frames to all output frames, with zeros
outside the kernel. The same operations take 24 us per window instead of 60; the LSTM, which still
runs window by window, takes 7 of these. All of it runs in onnxruntime, without the GIL, on one
thread.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from faster_whisper.utils import get_assets_path
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from .onnx_format import node, read_weights, write_model

WINDOW_SAMPLES = 512  # 32 ms: the model's input
CONTEXT_SAMPLES = 64  # the end of the previous window, put before each window
STATE_SIZE = 128

_HOP = 128  # samples between frames of the spectrum
_FRAME = 2 * _HOP  # samples
_NUM_BINS = _FRAME // 2 + 1
_NUM_FRAMES = 4  # of a window; the last one includes 64 samples mirrored at the window's end
_STRIDES = (1, 2, 2, 1)  # of the convolutions, each 3 frames wide
_TOLERANCE = 1e-4  # summing float32 in another order changes about 1e-6

_log = logging.getLogger(__name__)


@functools.cache
def silero_session() -> onnxruntime.InferenceSession:
    """Return the rearranged model, or the slower bundled one if it is not the version known here.

    Inputs: consecutive windows with their contexts, float32 (num_windows, 576); the state `h` and
    `c`, float32 (1, 1, 128) each, zeros at first. Outputs: probabilities, float32 of num_windows
    elements; the state `h` and `c` after the last window.
    """
    [path] = Path(get_assets_path()).glob("silero_vad*.onnx")
    return fastest_session(path.read_bytes(), get_vad_model().session)


def fastest_session(
    model: bytes, bundled: onnxruntime.InferenceSession
) -> onnxruntime.InferenceSession:
    """Return a session of the rearranged `model`, or `bundled` if that fails or differs."""
    try:
        session = _session(rearranged(model))
        problem = None if _is_same(session, bundled) else "its outputs would change"
    except (KeyError, ValueError) as error:
        problem = repr(error)
    if problem is None:
        return session
    _log.warning("speech detection is slow: the bundled model cannot be rearranged: %s", problem)
    return bundled


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the longest block
    options.log_severity_level = 4  # log nothing: errors are raised
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def _is_same(session: onnxruntime.InferenceSession, other: onnxruntime.InferenceSession) -> bool:
    shape = (32, CONTEXT_SAMPLES + WINDOW_SAMPLES)
    noise = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    zeros = np.zeros((1, 1, STATE_SIZE), np.float32)
    answers = [
        each.run(None, {"input": noise, "h": zeros, "c": zeros}) for each in (session, other)
    ]
    return all(
        np.allclose(np.ravel(found), np.ravel(expected), rtol=_TOLERANCE, atol=_TOLERANCE)
        for found, expected in zip(*answers, strict=True)
    )


def rearranged(model: bytes) -> bytes:
    """Return a faster ONNX model with the outputs of Silero's `model`.

    Raises:
        KeyError: A weight is missing; `model` is not the version of Silero known here.
        ValueError: A weight has another shape, or `model` is not an ONNX model.
    """
    weights = read_weights(model)
    spectrum = weights["encoder.feature_extractor.forward_basis_buffer"]
    real, imaginary = spectrum.reshape(2, _NUM_BINS, _FRAME).transpose(0, 2, 1)
    # These are exported without telling names, in the order of the operator's inputs.
    input_weight, state_weight, bias = (weights[name] for name in weights if "LSTM" in name)
    tensors: dict[str, NDArray[Any]] = {
        **_shapes(),
        "cosines": real,
        "sines": imaginary,
        "lstm.input": input_weight,
        "lstm.state": state_weight,
        "lstm.bias": bias,
        "head.weight": weights["decoder.conv1d.weight"].reshape(STATE_SIZE, 1),
        "head.bias": weights["decoder.conv1d.bias"],
    }
    num_frames = _NUM_FRAMES
    for i, stride in enumerate(_STRIDES):
        kernel, bias = (weights[f"encoder.conv_layers.{i}.{name}"] for name in ("weight", "bias"))
        matrix = _as_matrix(kernel, num_frames, stride)
        tensors[f"layer{i}.weight"] = matrix
        num_frames = matrix.shape[1] // len(bias)
        tensors[f"layer{i}.bias"] = np.tile(bias, num_frames)
    return write_model(_nodes(), tensors, ("input", "h", "c"), ("probabilities", "hn", "cn"))


def _as_matrix(kernel: NDArray[np.float32], num_frames: int, stride: int) -> NDArray[np.float32]:
    """Return a convolution with padding 1 as a matrix (num_frames * in, new num_frames * out)."""
    num_out, num_in, width = kernel.shape
    num_new = (num_frames - 1) // stride + 1
    matrix = np.zeros((num_frames, num_in, num_new, num_out), np.float32)
    for new in range(num_new):
        for tap in range(width):
            frame = new * stride + tap - 1
            if 0 <= frame < num_frames:
                matrix[frame, :, new] = kernel[:, :, tap].T
    return matrix.reshape(num_frames * num_in, num_new * num_out)


def _shapes() -> dict[str, NDArray[np.int64]]:
    """Return the constants of slicing and reshaping; -1 stands for the remaining size."""
    shapes = {
        "to_pad": (0, 0, 0, _FRAME - _HOP - CONTEXT_SAMPLES),  # at the end of the second axis
        "hops": (-1, _NUM_FRAMES + 1, _HOP),
        "zero": (0,),
        "one": (1,),
        "last": (_NUM_FRAMES,),
        "end": (_NUM_FRAMES + 1,),
        "frames": (-1, _FRAME),
        "windows": (-1, _NUM_FRAMES * _NUM_BINS),
        "steps": (-1, 1, STATE_SIZE),
        "states": (-1, STATE_SIZE),
    }
    return {name: np.array(values, np.int64) for name, values in shapes.items()}


def _nodes() -> Iterator[bytes]:
    """Yield the nodes of the graph."""
    # Frames of two hops each, one hop apart.
    yield node("Pad", "input to_pad", "padded", mode="reflect")
    yield node("Reshape", "padded hops", "by_hop")
    yield node("Slice", "by_hop zero last one", "first_hop")
    yield node("Slice", "by_hop one end one", "second_hop")
    yield node("Concat", "first_hop second_hop", "both_hops", axis=2)
    yield node("Reshape", "both_hops frames", "framed")
    for part in ("cosines", "sines"):
        yield node("MatMul", f"framed {part}", f"by_{part}")
        yield node("Mul", f"by_{part} by_{part}", f"squared_{part}")
    yield node("Add", "squared_cosines squared_sines", "power")
    yield node("Sqrt", "power", "magnitude")
    yield node("Reshape", "magnitude windows", "layer0.input")
    for i in range(len(_STRIDES)):
        yield node("Gemm", f"layer{i}.input layer{i}.weight layer{i}.bias", f"layer{i}.sum")
        yield node("Relu", f"layer{i}.sum", f"layer{i + 1}.input")
    yield node("Reshape", f"layer{len(_STRIDES)}.input steps", "encoded")
    lstm = "encoded lstm.input lstm.state lstm.bias - h c"
    yield node("LSTM", lstm, "hidden hn cn", hidden_size=STATE_SIZE)
    yield node("Reshape", "hidden states", "flat")
    yield node("Relu", "flat", "positive")
    yield node("Gemm", "positive head.weight head.bias", "score")
    yield node("Sigmoid", "score", "probabilities")
