"""The part of the ONNX file format that is needed to read weights and to write a graph.

The field numbers are those of onnx.proto; a file is one `ModelProto` in protobuf's wire format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FORMAT_VERSION, _OPERATORS_VERSION = 8, 18
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_INT_ATTRIBUTE, _STRING_ATTRIBUTE = 2, 3  # AttributeProto.AttributeType
_VARINT, _BYTES = 0, 2  # protobuf's wire types


def read_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """Return a model's float32 tensors by name.

    Raises:
        ValueError: `model` is not an ONNX model, or a tensor is not stored as raw bytes.
    """
    weights = {}
    for graph in _field_values(model, 7):
        for tensor in _field_values(graph, 5):
            if _field_values(tensor, 2) == [_FLOAT]:
                [name], [data] = _field_values(tensor, 8), _field_values(tensor, 9)
                array = np.frombuffer(data, "<f4").reshape(_field_values(tensor, 1))
                weights[name.decode()] = array
    return weights


def write_model(
    nodes: Iterable[bytes],
    tensors: Mapping[str, NDArray[Any]],
    inputs: Iterable[str],
    outputs: Iterable[str],
) -> bytes:
    """Return the contents of a model file.

    Args:
        nodes: The nodes of the graph, each made by `node`.
        tensors: The constants that the nodes use, by name, float32 or int64.
        inputs: Names of the float32 tensors that a run takes.
        outputs: Names of the float32 tensors that a run returns.
    """
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, "graph"),
            *(_field(5, _tensor(name, array)) for name, array in tensors.items()),
            *(_field(11, _float_value(name)) for name in inputs),
            *(_field(12, _float_value(name)) for name in outputs),
        ]
    )
    operators = _field(2, _OPERATORS_VERSION)
    return _field(1, _FORMAT_VERSION) + _field(8, operators) + _field(7, graph)


def node(operator: str, inputs: str, outputs: str, **attributes: int | str) -> bytes:
    """Return a node of a graph.

    Args:
        operator: Name of the ONNX operator.
        inputs: Names separated by spaces; `-` stands for an optional input that is left out.
        outputs: Names separated by spaces.
        attributes: The operator's attributes.
    """
    parts = [_field(1, name.replace("-", "")) for name in inputs.split()]
    parts += [_field(2, name) for name in outputs.split()]
    parts.append(_field(4, operator))
    for name, value in attributes.items():
        is_int = isinstance(value, int)
        kind = _field(20, _INT_ATTRIBUTE if is_int else _STRING_ATTRIBUTE)
        parts.append(_field(5, _field(1, name) + _field(3 if is_int else 4, value) + kind))
    return b"".join(parts)


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    kind = {"float32": _FLOAT, "int64": _INT64}[array.dtype.name]
    shape = b"".join(_field(1, size) for size in array.shape)
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return shape + _field(2, kind) + _field(8, name) + _field(9, little_endian.tobytes())


def _float_value(name: str) -> bytes:
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT)))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _field_values(message: bytes, number: int) -> list[Any]:
    """Return all values of one field: int for varints, else bytes."""
    return [value for found, value in _fields(message) if found == number]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value, at = _read_varint(message, at)  # for bytes, how many follow
        if key & 7 == _VARINT:
            yield key >> 3, value
        elif key & 7 == _BYTES and at + value <= len(message):
            yield key >> 3, message[at : at + value]
            at += value
        else:
            raise ValueError("not an ONNX model")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for i in range(at, len(message)):
        value |= (message[i] & 0x7F) << shift
        if message[i] < 0x80:
            return value, i + 1
        shift += 7
    raise ValueError("not an ONNX model")
