"""Reads the variables of a CTranslate2 `model.bin`.

The layout is CTranslate2's own (`python/ctranslate2/specs/model_spec.py`, binary version 6).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

Weights = Mapping[str, NDArray[np.generic]]

_VERSION = 6
_BFLOAT16 = 5
_DTYPES: dict[int, type[np.generic]] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
    _BFLOAT16: np.uint16,
}


@dataclass(frozen=True, eq=False)
class _Stored:
    shape: list[int]
    kind: int
    data: NDArray[np.uint8]  # a view of the file

    def check(self, name: str) -> None:
        """Check that the data is all there; raises ValueError."""
        if self.kind not in _DTYPES:
            raise ValueError(f"{name} has the unknown type {self.kind}")
        num_bytes = math.prod(self.shape) * np.dtype(_DTYPES[self.kind]).itemsize
        if len(self.data) != num_bytes:
            raise ValueError(f"{name} of shape {self.shape} has {len(self.data)} bytes")


class _Variables(Mapping[str, NDArray[np.generic]]):
    """Makes each array when it is asked for: what is converted takes memory."""

    def __init__(self, stored: dict[str, _Stored]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        stored = self._stored[name]
        return _array(stored.data, stored.kind).reshape(stored.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def read_weights(path: Path) -> Weights:
    """Return every variable of a `model.bin`, as stored, by its name and its aliases.

    Arrays are read-only views of the file; only bfloat16 is converted, to float32.

    Raises:
        ConfigError: The file's binary version is not 6, or the file is cut off or damaged.
    """
    try:
        variables, aliases = _read(path)
        for name, stored in variables.items():
            stored.check(name)
        return _Variables(variables | {alias: variables[name] for alias, name in aliases.items()})
    except ConfigError:
        raise
    except (struct.error, ValueError, KeyError) as error:  # by where the damage is
        raise ConfigError(f"model: {path} is cut off or damaged: {error}") from error


def num_logits(weights: Weights) -> int:
    """Return the number of tokens that the decoder has a logit for."""
    return int(weights["decoder/embeddings/weight"].shape[0])  # the output is tied to it


def _read(path: Path) -> tuple[dict[str, _Stored], dict[str, str]]:
    """Return the variables by name, and the name that each alias stands for."""
    data: Any = np.memmap(path, np.uint8, mode="r")
    at = 0

    def number(form: str) -> int:
        nonlocal at
        value: int = struct.unpack_from("<" + form, data, at)[0]
        at += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal at
        length = number("H")  # includes the closing NUL
        at += length
        return bytes(data[at - length : at - 1]).decode()

    if (version := number("I")) != _VERSION:
        raise ConfigError(f"model: {path} has version {version}, but only {_VERSION} is supported")
    text(), number("I")  # skips the name and the revision of the model's spec
    variables: dict[str, _Stored] = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, num_bytes = number("B"), number("I")
        variables[name] = _Stored(shape, kind, data[at : at + num_bytes])
        at += num_bytes
    aliases: dict[str, str] = {}
    for _ in range(number("I")):
        alias = text()
        aliases[alias] = text()
    return variables, aliases


def dense(weights: Weights, name: str) -> NDArray[np.float32]:
    """Return a matrix in float32, dequantized: `w = q / scale`."""
    matrix = weights[name + "/weight"]
    scale = weights.get(name + "/weight_scale")
    if scale is None:
        return matrix.astype(np.float32)
    per_row = scale.astype(np.float32).reshape(-1, *[1] * (matrix.ndim - 1))
    return matrix.astype(np.float32) / per_row


def num_encoder_layers(weights: Weights) -> int:
    """Return the number of the encoder's layers."""
    return _num_layers(weights, "encoder")


def num_decoder_layers(weights: Weights) -> int:
    """Return the number of the decoder's layers."""
    return _num_layers(weights, "decoder")


def _num_layers(weights: Weights, side: str) -> int:
    names = (f"{side}/layer_{layer}/ffn/linear_0/weight" for layer in itertools.count())
    return sum(1 for _ in itertools.takewhile(weights.__contains__, names))


def _array(raw: NDArray[np.uint8], kind: int) -> NDArray[np.generic]:
    array = np.frombuffer(raw, _DTYPES[kind])
    if kind == _BFLOAT16:  # it is the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
