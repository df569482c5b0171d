"""Whisper's encoder from CTranslate2's weights, as array code that runs on NumPy and on CuPy alike.

Unlike CTranslate2's own it attends to the silence after a short window. The model is
`AudioEncoder` of Whisper (Radford et al., 2022): two convolutions, fixed positions, pre-norm
layers. Arrays stay on the device: a GPU's come and go as CuPy arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .array_math import Affine, Array, float32, gelu, load_affine, load_norm, standardize
from .silence import Silence
from .weights import Weights, dense, num_encoder_layers

_TAPS = 3  # of each convolution
_STRIDES = (1, 2)
# Rows are attended in groups with at most so many scores, to limit memory: 256 MB in float32.
_MAX_SCORES = 2**26


@dataclass(frozen=True, eq=False)
class _Layer:
    qkv: Affine
    out: Affine
    up: Affine
    down: Affine


class WhisperEncoder:
    """The encoder of one model. Without state between calls, so threads may share it.

    Attributes:
        number_type: Type in which matrices are multiplied, "float32" or "float16".
        num_heads: Heads of each attention.
        silence: What short windows attend to after their own positions, if anything.
    """

    def __init__(self, weights: Weights, xp: Any = np, dtype: DTypeLike = np.float32) -> None:
        """Load the weights.

        Args:
            weights: Variables of the whole model; see `read_weights`.
            xp: The array library to compute with: numpy, or cupy.
            dtype: Type in which matrices are stored and multiplied: float32, or float16 for a
                GPU. Everything between the products is float32.
        """
        self._xp = xp
        self._dtype = np.dtype(dtype)
        self.number_type = self._dtype.name
        self.num_heads = int(weights["encoder/num_heads"])
        self._positions = xp.asarray(float32(weights, "encoder/position_encodings/encodings"))
        gamma, beta = load_norm(weights, "encoder")
        self._norm = xp.asarray(gamma), xp.asarray(beta)
        self._convolutions = [self._load_convolution(weights, f"encoder/conv{i}") for i in (1, 2)]
        self._layers = [
            self._load_layer(weights, f"encoder/layer_{layer}/")
            for layer in range(num_encoder_layers(weights))
        ]
        self.silence: Silence | None = None
        self._tails: list[tuple[Array, Array]] = []

    def set_silence(self, silence: Silence) -> None:
        """Attend to silence after every window shorter than 30 s, from the next call on.

        Args:
            silence: With keys and values of this model.

        Raises:
            ValueError: It has not as many keys and values as the model has layers.
        """
        pairs = silence.layers(len(self._layers))
        self._tails = [(self._operand(keys), self._operand(values)) for keys, values in pairs]
        self.silence = silence

    def __call__(self, features: Array) -> Array:
        """Return float32 (batch, num_frames / 2, d_model) for (batch, n_mels, num_frames).

        Args:
            features: float32, on the host or on the device.
        """
        x = self._embed(features)
        for i, layer in enumerate(self._layers):
            x = self._forward(layer, x, *self._heads(layer, x), i)
        return self._finish(x)

    def measure(self, features: Array) -> Silence:
        """Return what this encoder computes for one full window, on the host.

        Args:
            features: float32 (1, n_mels, 3000).
        """
        keys, values = [], []
        x = self._embed(features)
        for i, layer in enumerate(self._layers):
            query, key, value = self._heads(layer, x)
            keys.append(self._to_host(key[0]))
            values.append(self._to_host(value[0]))
            x = self._forward(layer, x, query, key, value, i)
        return Silence(self._to_host(self._finish(x)[0]), tuple(keys), tuple(values))

    def _embed(self, features: Array) -> Array:
        x = self._xp.asarray(features).swapaxes(1, 2)
        for weights, stride in zip(self._convolutions, _STRIDES, strict=True):
            x = self._convolve(weights, x, stride)
        x += self._positions[: x.shape[1]]
        return x

    def _convolve(self, weights: Affine, x: Array, stride: int) -> Array:
        num_rows, num_frames, width = x.shape
        padded = self._xp.zeros((num_rows, num_frames + _TAPS - 1, width), np.float32)
        padded[:, 1:-1] = x
        # Side by side, what the taps see of each frame makes the convolution one product.
        taps = [padded[:, tap : tap + num_frames : stride] for tap in range(_TAPS)]
        return gelu(self._affine(weights, self._xp.concatenate(taps, axis=2)), self._xp)

    def _heads(self, layer: _Layer, x: Array) -> tuple[Array, Array, Array]:
        """Return queries, keys and values, (batch, num_heads, num_positions, head_size) each."""
        qkv = self._affine(layer.qkv, standardize(x, self._xp))
        query, key, value = qkv.reshape(*x.shape[:2], 3, self.num_heads, -1).transpose(
            2, 0, 3, 1, 4
        )
        return query, key, value

    def _forward(
        self, layer: _Layer, x: Array, query: Array, key: Array, value: Array, index: int
    ) -> Array:
        """Return the layer's output for its input x and the heads of it."""
        mixed = self._xp.empty_like(x)
        num_keys = len(self._positions) if self._tails else x.shape[1]
        step = max(1, _MAX_SCORES // (self.num_heads * x.shape[1] * num_keys))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            seen = self._attend(query[rows], key[rows], value[rows], index)
            mixed[rows] = seen.transpose(0, 2, 1, 3).reshape(mixed[rows].shape)
        x = x + self._affine(layer.out, mixed)
        inner = gelu(self._affine(layer.up, standardize(x, self._xp)), self._xp)
        x += self._affine(layer.down, inner)
        return x

    def _attend(self, query: Array, key: Array, value: Array, index: int) -> Array:
        length = query.shape[2]
        query, key, value = map(self._operand, (query, key, value))
        scores = query @ key.swapaxes(2, 3)
        has_tail = bool(self._tails) and length < len(self._positions)
        if has_tail:
            keys, values = (array[:, length:] for array in self._tails[index])
            scores = self._xp.concatenate([scores, query @ keys.swapaxes(1, 2)], axis=3)
        scores = scores.astype(np.float32, copy=False)
        scores -= scores.max(-1, keepdims=True)
        self._xp.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        shares = self._operand(scores)
        seen = shares[..., :length] @ value
        if has_tail:
            seen += shares[..., length:] @ values
        return seen

    def _finish(self, x: Array) -> Array:
        return standardize(x, self._xp) * self._norm[0] + self._norm[1]

    def _affine(self, weights: Affine, x: Array) -> Array:
        matrix, bias = weights
        y = (self._operand(x) @ matrix).astype(np.float32, copy=False)
        y += bias
        return y

    def _operand(self, x: Array) -> Array:
        """Return x on the device in the type of the products."""
        return self._xp.asarray(x).astype(self._dtype, copy=False)

    def _to_host(self, array: Array) -> NDArray[np.float32]:
        host = array if self._xp is np else self._xp.asnumpy(array)
        return np.ascontiguousarray(host)

    def _load_convolution(self, weights: Weights, name: str) -> Affine:
        matrix = dense(weights, name)  # (outputs, inputs, taps)
        stacked = matrix.transpose(2, 1, 0).reshape(-1, len(matrix))
        return self._operand(stacked), self._xp.asarray(float32(weights, f"{name}/bias"))

    def _load_layer(self, weights: Weights, prefix: str) -> _Layer:
        def load(name: str, norm: str = "", num_query_heads: int = 0) -> Affine:
            matrix, bias = load_affine(weights, prefix, name, norm, num_query_heads)
            return self._operand(matrix), self._xp.asarray(bias)

        return _Layer(
            qkv=load("self_attention/linear_0", "self_attention", self.num_heads),
            out=load("self_attention/linear_1"),
            up=load("ffn/linear_0", "ffn"),
            down=load("ffn/linear_1"),
        )
