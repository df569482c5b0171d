"""The weights of Whisper's decoder, loaded in the form in which `StepDecoder` uses them.

All arrays are float32, matrices (inputs, outputs). The scale and bias of the layer norm before each
block are folded into its first matrix, and attention's scale into the queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .weights import Weights, dense

Array = Any
"""An array of the decoder's own library: NumPy's or CuPy's."""

Affine = tuple[Array, Array]
"""A matrix (inputs, outputs) and a bias (outputs,)."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The matrices and biases of one layer, in the order in which they are used."""

    self_qkv: Affine
    self_out: Affine
    cross_q: Affine
    cross_kv: Affine
    cross_out: Affine
    ffn_up: Affine
    ffn_down: Affine


@dataclass(frozen=True, eq=False)
class DecoderWeights:
    """The weights of the whole decoder.

    Attributes:
        num_heads: Heads of each attention.
        embedding: Embedding of each token, (vocabulary, d_model).
        output: The same transposed, (d_model, vocabulary).
        positions: Embedding of each position, (max_positions, d_model).
        norm: Scale and bias of the last layer norm, (d_model,) each.
        layers: The layers, in order.
    """

    num_heads: int
    embedding: Array
    output: Array
    positions: Array
    norm: tuple[Array, Array]
    layers: Sequence[Layer]


def load_decoder(weights: Weights, xp: Any) -> DecoderWeights:
    """Return the decoder's weights.

    Args:
        weights: Variables of the whole model; see `read_weights`.
        xp: The library of the arrays: numpy, or cupy.
    """
    num_heads = int(weights["decoder/num_heads"])
    embedding = dense(weights, "decoder/embeddings")
    gamma, beta = _norm(weights, "decoder/layer_norm")
    layers: list[Layer] = []
    while f"decoder/layer_{len(layers)}/ffn/linear_0/weight" in weights:
        layers.append(_layer(weights, f"decoder/layer_{len(layers)}/", num_heads, xp))
    return DecoderWeights(
        num_heads=num_heads,
        embedding=xp.asarray(embedding),
        # For a few rows BLAS takes half the time with this order.
        output=xp.asarray(np.ascontiguousarray(embedding.T)),
        positions=xp.asarray(_float32(weights, "decoder/position_encodings/encodings")),
        norm=(xp.asarray(gamma), xp.asarray(beta)),
        layers=layers,
    )


def _layer(weights: Weights, prefix: str, num_heads: int, xp: Any) -> Layer:
    def affine(name: str, norm: str = "", scales_queries: bool = False) -> Affine:
        matrix = dense(weights, prefix + name).T
        bias = _float32(weights, prefix + name + "/bias")
        width = len(matrix)
        if norm:
            gamma, beta = _norm(weights, prefix + norm + "/layer_norm")
            matrix, bias = gamma[:, None] * matrix, bias + beta @ matrix
        scale = np.ones(len(bias), np.float32)
        if scales_queries:  # the queries are the first outputs
            scale[:width] = (width // num_heads) ** -0.5
        return xp.asarray(np.ascontiguousarray(matrix * scale)), xp.asarray(bias * scale)

    return Layer(
        self_qkv=affine("self_attention/linear_0", "self_attention", scales_queries=True),
        self_out=affine("self_attention/linear_1"),
        cross_q=affine("attention/linear_0", "attention", scales_queries=True),
        cross_kv=affine("attention/linear_1"),
        cross_out=affine("attention/linear_2"),
        ffn_up=affine("ffn/linear_0", "ffn"),
        ffn_down=affine("ffn/linear_1"),
    )


def _norm(weights: Weights, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _float32(weights, name + "/gamma"), _float32(weights, name + "/beta")


def _float32(weights: Weights, name: str) -> NDArray[np.float32]:
    return weights[name].astype(np.float32)
