"""Whisper's decoder one token at a time, with a cache, from CTranslate2's weights.

Array code that runs unchanged on NumPy and on CuPy. Its inputs are tokens and encoder outputs. The
model is `TransformerDecoder` of Whisper (Radford et al., 2022): pre-norm, GELU, learned
positions, output tied to the embeddings.

On a CPU, memory reads limit the speed of a step: the vocabulary's matrix, the other weights, each
chunk's cross-attention keys and values. So each is read once per step, for all rows that share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_math import Array, affine, gelu, standardize
from .decoder_weights import Layer, load_decoder
from .weights import Weights

_CACHE_STEP = 64  # spare positions when a cache grows


@dataclass(frozen=True, eq=False)
class DecoderChunk:
    """The rows of one chunk.

    Attributes:
        cross: For each layer the cross-attention's keys and values of all chunks that were started
            together, (num_chunks, 2, num_heads, head_size, num_frames).
        place: Index of this chunk in `cross`.
        num_rows: Number of its rows.
    """

    cross: list[Array]
    place: int
    num_rows: int


@dataclass(eq=False)
class DecoderState:
    """The cache of some rows.

    Attributes:
        cache: For each layer the self-attention's keys, then values: (num_rows, capacity,
            2 * d_model).
        lengths: Number of positions filled in each row, (num_rows,).
        chunks: The chunks that the rows belong to, in order.
    """

    cache: list[Array]
    lengths: NDArray[np.int64]
    chunks: list[DecoderChunk]


class StepDecoder:
    """The decoder of one model. The state belongs to the callers, so threads may share it."""

    def __init__(self, weights: Weights, xp: Any = np) -> None:
        """Load the weights, in float32.

        Args:
            weights: Variables of the whole model; see `read_weights`.
            xp: The array library to compute with: numpy, or cupy.
        """
        self.xp = xp
        loaded = load_decoder(weights, xp)
        self.num_heads = loaded.num_heads
        self._embedding = loaded.embedding
        self._output = loaded.output
        self._positions = loaded.positions
        self._norm = loaded.norm
        self._layers = loaded.layers

    def start(
        self, encoded: Array, prompts: Sequence[Sequence[int]]
    ) -> tuple[DecoderState, list[tuple[NDArray[np.float32], NDArray[np.float32]]]]:
        """Read the prompts of new chunks, in one row each.

        Args:
            encoded: The encoder's output, float32 (num_chunks, num_frames, d_model).
            prompts: The prompt's tokens of each chunk.

        Returns:
            The state, and for each chunk the logits of the next token (1, vocabulary) and the
            hidden states at all positions of its prompt (prompt_length, d_model).
        """
        lengths = np.array([len(prompt) for prompt in prompts])
        # Shorter prompts are padded. Earlier positions do not attend to the padding, and the next
        # tokens overwrite it in the cache.
        tokens = np.zeros((len(prompts), lengths.max()), np.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = prompt
        cross = [self._cross(layer, encoded) for layer in self._layers]
        empty = self.xp.zeros((len(prompts), 0, 2 * encoded.shape[2]), np.float32)
        chunks = [DecoderChunk(cross, place, 1) for place in range(len(prompts))]
        state = DecoderState([empty] * len(self._layers), np.zeros_like(lengths), chunks)
        hidden = self._forward(state, tokens).reshape(*tokens.shape, -1)
        state.lengths = lengths
        last = self.xp.arange(len(prompts)), self.xp.asarray(lengths - 1)
        logits = self._to_host(hidden[last] @ self._output)
        hidden = self._to_host(hidden)
        return state, [(logits[i : i + 1], hidden[i, :n]) for i, n in enumerate(lengths)]

    def step(
        self, state: DecoderState, tokens: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Append a token to each row.

        Args:
            state: Changed in place.
            tokens: One for each row.

        Returns:
            The logits of the next token (num_rows, vocabulary), and the hidden states
            (num_rows, d_model).
        """
        hidden = self._forward(state, np.array(tokens)[:, None])
        return self._to_host(hidden @ self._output), self._to_host(hidden)

    def logits(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits (num_rows, vocabulary) of hidden states (num_rows, d_model)."""
        return self._to_host(self.xp.asarray(hidden) @ self._output)

    def reorder(
        self, state: DecoderState, rows: Sequence[int], chunks: Sequence[tuple[int, int]]
    ) -> None:
        """Replace row i by the former row `rows[i]`; a row may be dropped or used several times.

        Args:
            state: Changed in place.
            rows: For each new row the index of its former row.
            chunks: For each chunk that stays its index in `state.chunks` and its new number of
                rows.
        """
        index = np.asarray(rows)
        length = int(state.lengths.max())
        state.cache = [self._take(cache, index, length) for cache in state.cache]
        state.lengths = state.lengths[index]
        state.chunks = [replace(state.chunks[place], num_rows=n) for place, n in chunks]

    def join(self, states: Sequence[DecoderState]) -> DecoderState:
        """Return one state with the rows of all states, in order; row lengths may differ."""
        capacity = max(state.cache[0].shape[1] for state in states)
        for state in states:
            self._grow(state, capacity)
        return DecoderState(
            cache=[
                self.xp.concatenate(caches)
                for caches in zip(*(s.cache for s in states), strict=True)
            ],
            lengths=np.concatenate([state.lengths for state in states]),
            chunks=[chunk for state in states for chunk in state.chunks],
        )

    def _forward(self, state: DecoderState, tokens: NDArray[np.int64]) -> Array:
        """Append `tokens` (num_rows, n); return their hidden states (num_rows * n, d_model)."""
        num_rows, num_new = tokens.shape
        at = state.lengths[:, None] + np.arange(num_new)  # the position of each token
        length = int(at.max()) + 1
        self._grow(state, length, _CACHE_STEP)
        mask = self._mask(at)
        runs = _runs(state.chunks)
        place = (self.xp.arange(num_rows)[:, None], self.xp.asarray(at))
        x = self._embedding[self.xp.asarray(tokens)] + self._positions[place[1]]
        x = x.reshape(num_rows * num_new, -1)
        for i, layer in enumerate(self._layers):
            x += self._attend_self(
                layer, standardize(x, self.xp), state.cache[i][:, :length], place, mask
            )
            x += self._attend_cross(layer, standardize(x, self.xp), i, runs, num_new)
            inner = affine(layer.ffn_up, standardize(x, self.xp))
            x += affine(layer.ffn_down, gelu(inner, self.xp))
        state.lengths = state.lengths + num_new
        return standardize(x, self.xp) * self._norm[0] + self._norm[1]

    def _mask(self, at: NDArray[np.int64]) -> Array | None:
        """Return the mask to add to the scores (rows, 1, num_new, positions); None if all zeros."""
        if at.shape[1] == 1 and (at == at[0]).all():
            return None
        seen = np.arange(int(at.max()) + 1) <= at[:, :, None]
        return self.xp.asarray(np.where(seen, 0, -np.inf).astype(np.float32)[:, None])

    def _attend_self(
        self, layer: Layer, x: Array, past: Array, place: tuple[Array, Array], mask: Array | None
    ) -> Array:
        (num_rows, num_new), width = place[1].shape, x.shape[1]
        qkv = affine(layer.self_qkv, x).reshape(num_rows, num_new, 3 * width)
        past[place] = qkv[:, :, width:]
        query = qkv[:, :, :width].reshape(num_rows, num_new, self.num_heads, -1)
        past = past.reshape(num_rows, -1, 2, self.num_heads, query.shape[3])
        keys, values = past[:, :, 0].transpose(0, 2, 3, 1), past[:, :, 1].transpose(0, 2, 1, 3)
        mixed = self._attend(query.transpose(0, 2, 1, 3), keys, values, mask)
        return affine(layer.self_out, mixed.transpose(0, 2, 1, 3).reshape(-1, width))

    def _attend_cross(
        self, layer: Layer, x: Array, i: int, runs: list[tuple[DecoderChunk, int]], num_new: int
    ) -> Array:
        queries = affine(layer.cross_q, x)
        mixed = self.xp.empty_like(queries)
        start = 0
        for first, count in runs:
            end = start + count * first.num_rows * num_new
            # One product for all rows of a chunk, as they share its keys.
            own = queries[start:end].reshape(count, first.num_rows * num_new, self.num_heads, -1)
            cross = first.cross[i][first.place : first.place + count]
            out = self._attend(own.transpose(0, 2, 1, 3), cross[:, 0], cross[:, 1].swapaxes(2, 3))
            mixed[start:end] = out.transpose(0, 2, 1, 3).reshape(end - start, -1)
            start = end
        return affine(layer.cross_out, mixed)

    def _attend(self, query: Array, keys: Array, values: Array, mask: Array | None = None) -> Array:
        scores = query @ keys
        if mask is not None:
            scores += mask
        scores -= scores.max(-1, keepdims=True)
        self.xp.exp(scores, out=scores)
        return scores @ values / scores.sum(-1, keepdims=True)

    def _cross(self, layer: Layer, encoded: Array) -> Array:
        matrix, bias = layer.cross_kv
        # The product has the frames last, so no transposed copy is needed.
        both = matrix.T @ encoded.swapaxes(1, 2)
        both += bias[:, None]
        return both.reshape(len(encoded), 2, self.num_heads, -1, encoded.shape[1])

    def _grow(self, state: DecoderState, capacity: int, spare: int = 0) -> None:
        if capacity > state.cache[0].shape[1]:
            state.cache = [
                self._copy(cache, slice(None), cache.shape[1], capacity + spare)
                for cache in state.cache
            ]

    def _take(self, cache: Array, rows: NDArray[np.int64], length: int) -> Array:
        if len(rows) != len(cache):
            return self._copy(cache, self.xp.asarray(rows), length, cache.shape[1])
        changed = np.flatnonzero(rows != np.arange(len(rows)))
        if len(changed):
            taken = cache[self.xp.asarray(rows[changed]), :length]
            cache[self.xp.asarray(changed), :length] = taken
        return cache

    def _copy(self, cache: Array, rows: Any, length: int, capacity: int) -> Array:
        taken = cache[rows, :length]
        # Zeros, because masked values are multiplied by 0, and 0 * NaN is NaN.
        copy = self.xp.zeros((len(taken), capacity, cache.shape[2]), np.float32)
        copy[:, :length] = taken
        return copy

    def _to_host(self, array: Array) -> NDArray[np.float32]:
        host: NDArray[np.float32] = array if self.xp is np else self.xp.asnumpy(array)
        return host


def _runs(chunks: Sequence[DecoderChunk]) -> list[tuple[DecoderChunk, int]]:
    """Group chunks that one product can serve; return the first and the number of each group."""
    runs: list[tuple[DecoderChunk, int]] = []
    for chunk in chunks:
        first, count = runs[-1] if runs else (chunk, 0)
        follows = chunk.cross is first.cross and chunk.place == first.place + count
        if runs and follows and chunk.num_rows == first.num_rows:
            runs[-1] = (first, count + 1)
        else:
            runs.append((chunk, 1))
    return runs
