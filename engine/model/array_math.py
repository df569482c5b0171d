"""What the step decoder and the array encoder share: layers as array code, on NumPy or CuPy.

All arrays are float32, matrices (inputs, outputs), unless a function says otherwise.
"""

from __future__ import annotations

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
