"""Whisper's decoder one token at a time, with a cache, from CTranslate2's weights.

Plain array code that runs on NumPy, and on CuPy as it is. Knows tokens and encoder outputs only.
The model is `TransformerDecoder` of Whisper (Radford et al., 2022): pre-norm, GELU, learned
positions, output tied to the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkmill.engine.decoding.weights import Weights, dense

Array = Any
"""An array of the decoder's own library: NumPy's or CuPy's."""

_EPSILON = 1e-5  # of Whisper's layer norms
_CACHE_STEP = 64  # positions by which a cache grows


@dataclass(frozen=True, eq=False)
class _Layer:
    """One block; matrices are (inputs, outputs)."""

    self_norm: tuple[Array, Array]
    self_qkv: tuple[Array, Array]
    self_out: tuple[Array, Array]
    cross_norm: tuple[Array, Array]
    cross_q: tuple[Array, Array]
    cross_kv: tuple[Array, Array]
    cross_out: tuple[Array, Array]
    ffn_norm: tuple[Array, Array]
    ffn_up: tuple[Array, Array]
    ffn_down: tuple[Array, Array]


@dataclass(eq=False)
class DecoderState:
    """The cache of some rows.

    Attributes:
        keys: For each layer, (num_rows, num_heads, capacity, head_size).
        values: As `keys`.
        lengths: Positions filled in each row, (num_rows,).
        cross: For each chunk and layer, its keys (heads, head_size, frames) and values
            (heads, frames, head_size).
        chunks: For each run of rows that belong together, its place in `cross` and its length.
    """

    keys: list[Array]
    values: list[Array]
    lengths: NDArray[np.int64]
    cross: list[list[tuple[Array, Array]]]
    chunks: list[tuple[int, int]]


class StepDecoder:
    """The weights; every call's state is the caller's, so threads may share it."""

    def __init__(self, weights: Weights, xp: Any = np) -> None:
        """Prepare the weights, in float32.

        Args:
            weights: Of the whole model.
            xp: The array library to compute with: numpy, or cupy.
        """
        self.xp = xp
        self._erf = _erf_of(xp)
        self.num_heads = int(weights["decoder/num_heads"])
        embedding = dense(weights, "decoder/embeddings")
        self._embedding = xp.asarray(embedding)  # (vocabulary, d_model)
        self._positions = xp.asarray(
            weights["decoder/position_encodings/encodings"].astype(np.float32)
        )
        self._norm = self._gamma_beta(weights, "decoder/layer_norm")
        self._layers: list[_Layer] = []
        while f"decoder/layer_{len(self._layers)}/ffn/linear_0/weight" in weights:
            self._layers.append(self._layer(weights, f"decoder/layer_{len(self._layers)}/"))

    def start(
        self, encoded: Array, prompts: Sequence[Sequence[int]]
    ) -> tuple[DecoderState, list[tuple[NDArray[np.float32], NDArray[np.float32]]]]:
        """Read the prompts; one row for each chunk.

        Args:
            encoded: The encoder's output, float32 (num_chunks, num_frames, d_model).
            prompts: The tokens before each answer.

        Returns:
            The state, and for each chunk the logits of the next token (1, vocabulary) and the
            hidden states of all its prompt's positions (prompt_length, d_model).
        """
        states, observations = [], []
        for row, prompt in enumerate(prompts):  # lengths differ, and a prompt is read once
            state = self._empty_state(encoded[row])
            hidden = self._forward(state, self.xp.asarray([list(prompt)]))[0]
            states.append(state)
            logits = hidden[-1:] @ self._embedding.T
            observations.append((self._to_host(logits), self._to_host(hidden)))
        return self.join(states), observations

    def step(
        self, state: DecoderState, tokens: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Append a token to each row.

        Returns:
            The logits of what follows (num_rows, vocabulary), and the hidden states
            (num_rows, d_model).
        """
        hidden = self._forward(state, self.xp.asarray(tokens)[:, None])[:, 0]
        return self._to_host(hidden @ self._embedding.T), self._to_host(hidden)

    def reorder(
        self, state: DecoderState, rows: Sequence[int], chunks: Sequence[tuple[int, int]]
    ) -> None:
        """Let row i go on from what was row `rows[i]`: rows may be dropped or taken many times.

        Args:
            state: Changed in place.
            rows: For each new row the old one.
            chunks: For each run of new rows its chunk's place in `state.chunks`, and its length.
        """
        if list(rows) != list(range(len(state.lengths))):
            index = self.xp.asarray(rows)
            length = int(state.lengths.max())
            state.keys = [self._take(keys, index, length) for keys in state.keys]
            state.values = [self._take(values, index, length) for values in state.values]
            state.lengths = state.lengths[list(rows)]
        state.chunks = [(state.chunks[place][0], length) for place, length in chunks]

    def join(self, states: Sequence[DecoderState]) -> DecoderState:
        """Return one state with the rows of all, in order; their lengths may differ."""
        capacity = max(state.keys[0].shape[2] for state in states)
        for state in states:
            self._grow(state, capacity)
        offsets = np.cumsum([0, *(len(state.cross) for state in states)])
        layers = range(len(self._layers))
        return DecoderState(
            keys=[self.xp.concatenate([state.keys[i] for state in states]) for i in layers],
            values=[self.xp.concatenate([state.values[i] for state in states]) for i in layers],
            lengths=np.concatenate([state.lengths for state in states]),
            cross=[cross for state in states for cross in state.cross],
            chunks=[
                (place + int(offset), length)
                for state, offset in zip(states, offsets, strict=False)
                for place, length in state.chunks
            ],
        )

    def _forward(self, state: DecoderState, tokens: Array) -> Array:
        """Append `tokens` (num_rows, n); return their hidden states (num_rows, n, d_model)."""
        num_new = tokens.shape[1]
        self._grow(state, int(state.lengths.max()) + num_new, _CACHE_STEP)
        positions = self.xp.asarray(state.lengths[:, None] + np.arange(num_new))
        x = self._embedding[tokens] + self._positions[positions]
        mask = self._mask(state.lengths, num_new)
        for i, layer in enumerate(self._layers):
            x = x + self._attend_self(layer, self._normalize(x, layer.self_norm), state, i, mask)
            x = x + self._attend_cross(layer, self._normalize(x, layer.cross_norm), state, i)
            h = _affine(layer.ffn_up, self._normalize(x, layer.ffn_norm))
            h = h * (self._erf(h * np.float32(0.5**0.5)) + np.float32(1)) * np.float32(0.5)
            x = x + _affine(layer.ffn_down, h)
        state.lengths = state.lengths + num_new
        return self._normalize(x, self._norm)

    def _mask(self, lengths: NDArray[np.int64], num_new: int) -> Array | None:
        """Return what to add to the scores (rows, 1, num_new, positions); None where nothing."""
        if num_new == 1 and (lengths == lengths[0]).all():
            return None
        last = lengths[:, None] + np.arange(num_new)  # the last position each may look at
        seen = np.arange(int(lengths.max()) + num_new)[None, None] <= last[:, :, None]
        return self.xp.asarray(np.where(seen, 0, -np.inf).astype(np.float32)[:, None])

    def _attend_self(
        self, layer: _Layer, x: Array, state: DecoderState, i: int, mask: Array | None
    ) -> Array:
        query, key, value = (
            self._split(part) for part in self.xp.split(_affine(layer.self_qkv, x), 3, -1)
        )
        rows = self.xp.arange(len(x))
        for offset in range(x.shape[1]):
            at = self.xp.asarray(state.lengths + offset)
            state.keys[i][rows, :, at] = key[:, :, offset]
            state.values[i][rows, :, at] = value[:, :, offset]
        length = int(state.lengths.max()) + x.shape[1]
        keys, values = state.keys[i][:, :, :length], state.values[i][:, :, :length]
        scores = query @ keys.transpose(0, 1, 3, 2)
        if mask is not None:
            scores = scores + mask
        return _affine(layer.self_out, self._merge(self._softmax(scores) @ values))

    def _attend_cross(self, layer: _Layer, x: Array, state: DecoderState, i: int) -> Array:
        query = self._split(_affine(layer.cross_q, x))  # (rows, heads, n, head_size)
        out = self.xp.empty_like(query)
        row = 0
        for place, length in state.chunks:  # rows of one chunk share its keys and values
            keys, values = state.cross[place][i]
            own = query[row : row + length]
            heads = own.transpose(1, 0, 2, 3).reshape(self.num_heads, -1, own.shape[-1])
            mixed = self._softmax(heads @ keys) @ values
            mixed = mixed.reshape(self.num_heads, length, *own.shape[2:])
            out[row : row + length] = mixed.transpose(1, 0, 2, 3)
            row += length
        return _affine(layer.cross_out, self._merge(out))

    def _empty_state(self, encoded: Array) -> DecoderState:
        cross = []
        for layer in self._layers:
            keys, values = self.xp.split(_affine(layer.cross_kv, encoded[None]), 2, -1)
            keys = self._split(keys)[0].transpose(0, 2, 1)
            cross.append(tuple(map(self.xp.ascontiguousarray, (keys, self._split(values)[0]))))
        head_size = self._embedding.shape[1] // self.num_heads
        shape = (1, self.num_heads, 0, head_size)
        empty = [self.xp.zeros(shape, np.float32) for _ in self._layers]
        return DecoderState(empty, list(empty), np.zeros(1, np.int64), [cross], [(0, 1)])

    def _grow(self, state: DecoderState, capacity: int, spare: int = 0) -> None:
        missing = capacity - state.keys[0].shape[2]
        if missing > 0:
            width = ((0, 0), (0, 0), (0, missing + spare), (0, 0))
            state.keys = [self.xp.pad(keys, width) for keys in state.keys]
            state.values = [self.xp.pad(values, width) for values in state.values]

    def _take(self, cache: Array, index: Array, length: int) -> Array:
        taken = self.xp.empty((len(index), *cache.shape[1:]), np.float32)
        taken[:, :, :length] = cache[index, :, :length]
        taken[:, :, length:] = 0  # shorter rows look here, with weight 0: no NaN may lie around
        return taken

    def _split(self, x: Array) -> Array:
        return x.reshape(*x.shape[:2], self.num_heads, -1).transpose(0, 2, 1, 3)

    def _merge(self, x: Array) -> Array:
        return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)

    def _softmax(self, scores: Array) -> Array:
        scores = self.xp.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return scores

    def _normalize(self, x: Array, gamma_beta: tuple[Array, Array]) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return (
            centred / self.xp.sqrt(variance + np.float32(_EPSILON)) * gamma_beta[0] + gamma_beta[1]
        )

    def _to_host(self, array: Array) -> NDArray[np.float32]:
        host: NDArray[np.float32] = array if self.xp is np else self.xp.asnumpy(array)
        return host

    def _gamma_beta(self, weights: Weights, name: str) -> tuple[Array, Array]:
        gamma, beta = weights[name + "/gamma"], weights[name + "/beta"]
        return self.xp.asarray(gamma.astype(np.float32)), self.xp.asarray(beta.astype(np.float32))

    def _affine_of(self, weights: Weights, name: str) -> tuple[Array, Array]:
        bias = weights[name + "/bias"].astype(np.float32)
        return self.xp.ascontiguousarray(self.xp.asarray(dense(weights, name)).T), self.xp.asarray(
            bias
        )

    def _layer(self, weights: Weights, prefix: str) -> _Layer:
        def scaled_query(name: str, num_parts: int) -> tuple[Array, Array]:
            # The scale of attention goes into the query's weights, once.
            matrix, bias = self._affine_of(weights, name)
            size = matrix.shape[1] // num_parts
            scale = np.float32((size // self.num_heads) ** -0.5)
            matrix[:, :size] *= scale
            bias[:size] *= scale
            return matrix, bias

        return _Layer(
            self_norm=self._gamma_beta(weights, prefix + "self_attention/layer_norm"),
            self_qkv=scaled_query(prefix + "self_attention/linear_0", 3),
            self_out=self._affine_of(weights, prefix + "self_attention/linear_1"),
            cross_norm=self._gamma_beta(weights, prefix + "attention/layer_norm"),
            cross_q=scaled_query(prefix + "attention/linear_0", 1),
            cross_kv=self._affine_of(weights, prefix + "attention/linear_1"),
            cross_out=self._affine_of(weights, prefix + "attention/linear_2"),
            ffn_norm=self._gamma_beta(weights, prefix + "ffn/layer_norm"),
            ffn_up=self._affine_of(weights, prefix + "ffn/linear_0"),
            ffn_down=self._affine_of(weights, prefix + "ffn/linear_1"),
        )


def _affine(matrix_bias: tuple[Array, Array], x: Array) -> Array:
    return x @ matrix_bias[0] + matrix_bias[1]


def _erf_of(xp: Any) -> Any:
    if xp is np:
        from scipy.special import erf
    else:
        from cupyx.scipy.special import erf
    return erf
