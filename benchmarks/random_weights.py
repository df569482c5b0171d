"""Random weights for Whisper models: the names and sizes of the variables, and ways to fill them.

Needs NumPy alone: the environment that makes the tests' goldens has neither CTranslate2 nor
talkmill. The names are CTranslate2's. Each way to fill is a generator of (name, float32 array);
the same seed gives the same numbers. Matrices are (outputs, inputs), convolutions (outputs,
inputs, kernel).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Size = tuple[int, ...]
Weights = Iterable[tuple[str, Array]]

NUM_FRAMES = 1500  # positions of the encoder's output for 30 s
NUM_POSITIONS = 448  # of the decoder

_CONSTANT, _CLOCK = -1, -2  # dimensions of the decoder's width that carry no audio
_CONSTANT_VALUE = 4.0  # of the last norm's output, in `_CONSTANT`
_NEVER = -25.0  # times `_CONSTANT_VALUE` is a logit of -100; those of words are within 6
_CLOCK_SIZE = 16.0  # several times what the layers add to any other dimension
_SHARPNESS = 3.0  # of attention: without it all audio is averaged into the same words
_POOL_SIZE = 2**22 - 3  # a prime: rows of a matrix do not repeat
_END_PULL = 3.0  # found by trial: answers of none to some dozens of tokens
# What adds to the decoder's residual stream.
_DECODER_OUTPUTS = ("/self_attention/linear_1", "/attention/linear_2", "/ffn/linear_1")


@dataclass(frozen=True)
class Shape:
    """The sizes of a Whisper model; a very small one by default.

    Attributes:
        d_model: Width.
        num_heads: Heads of each attention.
        num_layers: Of the encoder.
        num_decoder_layers: Of the decoder; 0 for as many as the encoder.
        n_mels: Mel bands.
        num_tokens: Size of the vocabulary.
    """

    d_model: int = 64
    num_heads: int = 2
    num_layers: int = 2
    num_decoder_layers: int = 0
    n_mels: int = 80
    num_tokens: int = 51_865

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder."""
        return self.num_decoder_layers or self.num_layers


def layout(shape: Shape) -> dict[str, Size]:
    """Return the size of each variable by its name, in the order that CTranslate2 has them.

    The output projection is left out: it is tied to the embeddings, as in every Whisper.
    """
    width, sizes = shape.d_model, dict[str, Size]()

    def dense(name: str, outputs: int, *inputs: int) -> None:
        sizes[f"{name}/weight"] = (outputs, *inputs)
        sizes[f"{name}/bias"] = (outputs,)

    def norm(name: str) -> None:
        sizes[f"{name}/layer_norm/gamma"] = sizes[f"{name}/layer_norm/beta"] = (width,)

    def block(name: str, *outputs: int) -> None:
        norm(name)
        for number, count in enumerate(outputs):
            is_last_of_ffn = name.endswith("ffn") and number == 1
            dense(f"{name}/linear_{number}", count, 4 * width if is_last_of_ffn else width)

    dense("encoder/conv1", width, shape.n_mels, 3)
    dense("encoder/conv2", width, width, 3)
    for side, length, num_layers in (
        ("encoder", NUM_FRAMES, shape.num_layers),
        ("decoder", NUM_POSITIONS, shape.decoder_layers),
    ):
        if side == "decoder":
            sizes["decoder/embeddings/weight"] = (shape.num_tokens, width)
        sizes[f"{side}/position_encodings/encodings"] = (length, width)
        norm(side)
        for layer in range(num_layers):
            block(f"{side}/layer_{layer}/self_attention", 3 * width, width)
            if side == "decoder":
                block(f"{side}/layer_{layer}/attention", width, 2 * width, width)
            block(f"{side}/layer_{layer}/ffn", 4 * width, width)
    return sizes


def plain(shape: Shape, seed: int, gain: float | None = None) -> Iterator[tuple[str, Array]]:
    """Yield independent normal numbers.

    Args:
        shape: Of the model.
        seed: Of the numbers.
        gain: Standard deviation of every weight; by default it keeps activations near one.
    """
    rng = np.random.default_rng(seed)
    for name, size in layout(shape).items():
        own_gain = gain or (_fan_in(size) ** -0.5 if name.endswith("/weight") else 0.3)
        is_gamma = name.endswith("/gamma")
        numbers = np.ones(size) if is_gamma else rng.normal(0, own_gain, size)
        yield name, numbers.astype(np.float32)


def fixed_length(
    shape: Shape, seed: int, *, end_position: int, end_of_text: int, never: Sequence[int]
) -> Iterator[tuple[str, Array]]:
    """Yield weights with which every answer ends at one position, whatever engine decodes.

    Two dimensions of the decoder's width carry no audio. One is constant after the last norm (its
    bias): the output rows of the tokens in `never` have a large negative weight on it. The other
    is negative at the first positions and positive from `end_position` on: the end of text has a
    large positive weight on it, so it wins from there on and never before.

    Args:
        shape: Of the model.
        seed: Of the numbers.
        end_position: Index of the decoder's position that predicts the end of text, prompt
            included.
        end_of_text: The token that ends an answer.
        never: Tokens that no answer contains.
    """
    rng = np.random.default_rng(seed)
    # Drawn once and used again from another start: drawing billions would take minutes.
    pool = rng.standard_normal(_POOL_SIZE, np.float32)
    for name, size in layout(shape).items():
        leaf = name.rsplit("/", 1)[-1]
        if leaf == "gamma":
            numbers: Array = np.ones(size, np.float32)
        else:
            gain = {"weight": _fan_in(size) ** -0.5, "encodings": 1.0}.get(leaf, 0.1)
            if name.endswith("attention/linear_0/weight"):
                gain *= _SHARPNESS
            start = rng.integers(len(pool) // 2)
            numbers = np.resize(pool[start:], size) * np.float32(gain)
        if name == "decoder/embeddings/weight":
            numbers[:, [_CONSTANT, _CLOCK]] = 0
            numbers[never, _CONSTANT] = _NEVER
            numbers[end_of_text] = 0
            numbers[end_of_text, _CLOCK] = -_NEVER
        _keep_clock(name, numbers, end_position)
        _clear_key_bias(name, numbers)
        yield name, numbers


def varied(
    shape: Shape, seed: int, *, end_of_text: int, first_timestamp: int
) -> Iterator[tuple[str, Array]]:
    """Yield weights that say varied things and do end.

    Plain random weights repeat one token for ever and never end, which makes every case about
    lengths and stopping vacuous. Here attention is sharper, and the end of text is likely enough:
    its output row lies along a direction that the last norm's bias gives every hidden state.

    Args:
        shape: Of the model.
        seed: Of the numbers.
        end_of_text: The token that ends an answer.
        first_timestamp: The token of 0.00 s; those from there on are less likely than text.
    """
    rng = np.random.default_rng(seed)
    sizes = layout(shape)
    weights: dict[str, Array] = {}
    for name in _golden_order(sizes):
        mean, deviation = _varied_normal(name, sizes[name])
        weights[name] = rng.normal(mean, deviation, sizes[name]).astype(np.float32)
        _clear_key_bias(name, weights[name])
    embeddings = weights["decoder/embeddings/weight"]
    embeddings[first_timestamp:] *= 0.6
    common = rng.normal(0, shape.d_model**-0.5, shape.d_model).astype(np.float32)
    weights["decoder/layer_norm/beta"] += common
    embeddings[end_of_text] += np.float32(_END_PULL) * common
    yield from weights.items()


def _keep_clock(name: str, numbers: Array, end_position: int) -> None:
    """Set the two dimensions that carry no audio, and let no layer write into them."""
    if name == "decoder/position_encodings/encodings":
        numbers[:, _CONSTANT] = 0
        numbers[:, _CLOCK] = np.where(np.arange(len(numbers)) < end_position, -1, 1) * _CLOCK_SIZE
    elif name == "decoder/layer_norm/gamma":
        numbers[_CONSTANT], numbers[_CLOCK] = 0, 1
    elif name == "decoder/layer_norm/beta":
        numbers[_CONSTANT], numbers[_CLOCK] = _CONSTANT_VALUE, 0
    elif name.startswith("decoder/") and name.rpartition("/")[0].endswith(_DECODER_OUTPUTS):
        numbers[[_CONSTANT, _CLOCK]] = 0


def _clear_key_bias(name: str, numbers: Array) -> None:
    # No Whisper has one, and whisper.cpp has no place for it.
    if name.endswith("/self_attention/linear_0/bias"):  # queries, keys, values
        np.split(numbers, 3)[1][:] = 0
    elif name.endswith("/attention/linear_1/bias"):  # keys, values
        np.split(numbers, 2)[0][:] = 0


def _varied_normal(name: str, size: Size) -> tuple[float, float]:
    """Return mean and standard deviation of a variable of `varied`."""
    block, leaf = name.rsplit("/", 1)
    if leaf != "weight":
        deviation = {"encoder/position_encodings": 0.3, "decoder/position_encodings": 1.0}
        return float(leaf == "gamma"), deviation.get(block, 0.1)
    if block == "decoder/embeddings":
        return 0.0, 0.35
    is_query = block.endswith("/self_attention/linear_0")
    scale = 2.0 if "/attention/" in block else 1.5 if is_query else 1.0
    return 0.0, scale * _fan_in(size) ** -0.5


def _golden_order(names: Iterable[str]) -> Iterator[str]:
    """Yield names in the order in which the tests' goldens were drawn.

    The norm of a block comes after its matrices, and the embeddings come last.
    """
    last = "decoder/embeddings/weight"
    others = (name for name in names if name != last)
    for _, block in itertools.groupby(others, lambda name: name.rsplit("/", 2)[0]):
        yield from sorted(block, key=lambda name: "/layer_norm/" in name)
    yield last


def _fan_in(size: Size) -> int:
    return math.prod(size[1:])
