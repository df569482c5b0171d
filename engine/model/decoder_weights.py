"""The weights of Whisper's decoder, loaded in the form in which `StepDecoder` uses them.

All arrays are float32, matrices (inputs, outputs). The scale and bias of the layer norm before each
block are folded into its first matrix, and attention's scale into the queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .array_math import Affine, Array, float32, load_affine, load_norm
from .weights import Weights, dense


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
    gamma, beta = load_norm(weights, "decoder")
    layers: list[Layer] = []
    while f"decoder/layer_{len(layers)}/ffn/linear_0/weight" in weights:
        layers.append(_layer(weights, f"decoder/layer_{len(layers)}/", num_heads, xp))
    return DecoderWeights(
        num_heads=num_heads,
        embedding=xp.asarray(embedding),
        # For a few rows BLAS takes half the time with this order.
        output=xp.asarray(np.ascontiguousarray(embedding.T)),
        positions=xp.asarray(float32(weights, "decoder/position_encodings/encodings")),
        norm=(xp.asarray(gamma), xp.asarray(beta)),
        layers=layers,
    )


def _layer(weights: Weights, prefix: str, num_heads: int, xp: Any) -> Layer:
    def affine(name: str, norm: str = "", num_query_heads: int = 0) -> Affine:
        matrix, bias = load_affine(weights, prefix, name, norm, num_query_heads)
        return xp.asarray(matrix), xp.asarray(bias)

    return Layer(
        self_qkv=affine("self_attention/linear_0", "self_attention", num_heads),
        self_out=affine("self_attention/linear_1"),
        cross_q=affine("attention/linear_0", "attention", num_heads),
        cross_kv=affine("attention/linear_1"),
        cross_out=affine("attention/linear_2"),
        ffn_up=affine("ffn/linear_0", "ffn"),
        ffn_down=affine("ffn/linear_1"),
    )
