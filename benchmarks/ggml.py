"""Converts a CTranslate2 Whisper to whisper.cpp's file format, with the same weights.

    python -m benchmarks.ggml <folder of CTranslate2> <target.bin>

The layout is whisper.cpp's own (`models/convert-pt-to-ggml.py`, `whisper_model_load`): magic,
sizes, mel filters, vocabulary, then tensors. Matrices are stored as q8_0, its 8-bit type: blocks
of 32 numbers, with a float16 scale and an int8 for each. whisper.cpp identifies special tokens by
their ids, so the tokens of a smaller vocabulary, like the demo's, get Whisper's ids.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from benchmarks.hf import num_layers
from benchmarks.shapes import END_OF_TEXT, START, VOCABULARY
from talkmill.engine.model.weights import Weights, dense, read_weights

_MAGIC = 0x67676D6C
_F32, _F16, _Q8_0 = 0, 1, 8
_FTYPE_Q8_0 = 2007  # version 2 of the quantization, "mostly q8_0"
_BLOCK = 32
_FFT_SAMPLES, _SAMPLE_RATE = 400, 16_000

Array = NDArray[np.float32]


def convert(folder: Path, target: Path) -> Path:
    """Write the model in `folder` to `target`, quantized as q8_0, and return it."""
    weights = read_weights(folder / "model.bin")
    tokens: list[str] = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    rows = _own_tokens(tokens)
    n_mels = weights["encoder/conv1/weight"].shape[1]
    with target.open("wb") as file:
        file.write(struct.pack("<I", _MAGIC))
        file.write(struct.pack("<11i", *_sizes(weights, len(rows), n_mels)))
        filters = FeatureExtractor.get_mel_filters(_SAMPLE_RATE, _FFT_SAMPLES, n_mels)
        file.write(struct.pack("<2i", *filters.shape))
        file.write(np.ascontiguousarray(filters, np.float32).tobytes())
        _write_vocabulary(file, [tokens[row] for row in rows[:END_OF_TEXT]])
        for name, array in _tensors(weights, rows):
            _write_tensor(file, name, array)
    return target


def _sizes(weights: Weights, num_tokens: int, n_mels: int) -> tuple[int, ...]:
    layers = [num_layers(weights, side) for side in ("encoder", "decoder")]
    width = weights["decoder/embeddings/weight"].shape[1]
    heads = int(weights["decoder/num_heads"])
    num_frames = len(weights["encoder/position_encodings/encodings"])
    num_positions = len(weights["decoder/position_encodings/encodings"])
    encoder = (num_frames, width, int(weights["encoder/num_heads"]), layers[0])
    return num_tokens, *encoder, num_positions, width, heads, layers[1], n_mels, _FTYPE_Q8_0


def _own_tokens(tokens: list[str]) -> list[int]:
    """Return the model's own token id for each id of Whisper's vocabulary."""
    if len(tokens) >= VOCABULARY:
        return list(range(len(tokens)))
    number = {token: row for row, token in enumerate(tokens)}
    end = number["<|endoftext|>"]
    never = number["<|translate|>"]  # never generated: fills the ids that the model does not have
    rows = [*range(end), *[never] * (END_OF_TEXT - end), end, number["<|startoftranscript|>"]]
    rows.append(number["<|en|>"])
    rows += [never] * (VOCABULARY - (len(tokens) - number["<|translate|>"]) - len(rows))
    assert len(rows) == START + 1 + 99
    return rows + list(range(number["<|translate|>"], len(tokens)))


def _write_vocabulary(file: BinaryIO, tokens: list[str]) -> None:
    # Byte-level BPE: printable bytes are their own characters, the others start at U+0100.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of |= {chr(256 + place): byte for place, byte in enumerate(moved)}
    file.write(struct.pack("<i", len(tokens)))
    for token in tokens:
        text = b"" if token.startswith("<|") else bytes(byte_of[character] for character in token)
        file.write(struct.pack("<I", len(text)) + text)


def _tensors(weights: Weights, rows: list[int]) -> Iterator[tuple[str, Array]]:
    for side in ("encoder", "decoder"):
        encodings = weights[f"{side}/position_encodings/encodings"]
        yield f"{side}.positional_embedding", encodings.astype(np.float32)
    yield "decoder.token_embedding.weight", dense(weights, "decoder/embeddings")[rows]
    for number in (1, 2):
        name = f"encoder.conv{number}"
        yield f"{name}.weight", dense(weights, f"encoder/conv{number}")
        yield f"{name}.bias", _bias(weights, f"encoder/conv{number}").reshape(-1, 1)
    yield from _norm(weights, "encoder/layer_norm", "encoder.ln_post")
    yield from _norm(weights, "decoder/layer_norm", "decoder.ln")
    for side in ("encoder", "decoder"):
        for number in range(num_layers(weights, side)):
            yield from _layer(weights, f"{side}/layer_{number}", f"{side}.blocks.{number}")


def _layer(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Array]]:
    yield from _norm(weights, f"{source}/self_attention/layer_norm", f"{name}.attn_ln")
    own = f"{source}/self_attention"
    yield from _split(weights, f"{own}/linear_0", name + ".attn", ("query", "key", "value"))
    yield from _linear(weights, f"{own}/linear_1", f"{name}.attn.out")
    if f"{source}/attention/linear_0/weight" in weights:
        cross, target = f"{source}/attention", f"{name}.cross_attn"
        yield from _norm(weights, f"{cross}/layer_norm", f"{target}_ln")
        yield from _linear(weights, f"{cross}/linear_0", f"{target}.query")
        yield from _split(weights, f"{cross}/linear_1", target, ("key", "value"))
        yield from _linear(weights, f"{cross}/linear_2", f"{target}.out")
    yield from _norm(weights, f"{source}/ffn/layer_norm", f"{name}.mlp_ln")
    yield from _linear(weights, f"{source}/ffn/linear_0", f"{name}.mlp.0")
    yield from _linear(weights, f"{source}/ffn/linear_1", f"{name}.mlp.2")


def _linear(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", dense(weights, source)
    yield f"{name}.bias", _bias(weights, source)


def _split(
    weights: Weights, source: str, name: str, parts: tuple[str, ...]
) -> Iterator[tuple[str, Array]]:
    """Yield the parts of a matrix that CTranslate2 stores as one; the keys have no bias."""
    matrices = np.split(dense(weights, source), len(parts))
    biases = np.split(_bias(weights, source), len(parts))
    for part, matrix, bias in zip(parts, matrices, biases, strict=True):
        yield f"{name}.{part}.weight", matrix
        if part != "key":
            yield f"{name}.{part}.bias", bias
        elif np.any(bias):
            raise ValueError(f"{source}: the keys have a bias, which whisper.cpp cannot store")


def _norm(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", weights[f"{source}/gamma"].astype(np.float32)
    yield f"{name}.bias", weights[f"{source}/beta"].astype(np.float32)


def _bias(weights: Weights, source: str) -> Array:
    return weights[f"{source}/bias"].astype(np.float32)


def _write_tensor(file: BinaryIO, name: str, array: Array) -> None:
    is_matrix = array.ndim == 2 and not name.endswith((".bias", "positional_embedding"))
    kind = _Q8_0 if is_matrix else _F16 if array.ndim == 3 else _F32
    encoded = name.encode()
    file.write(struct.pack("<3i", array.ndim, len(encoded), kind))
    file.write(struct.pack(f"<{array.ndim}i", *reversed(array.shape)))
    file.write(encoded)
    if kind == _Q8_0:
        file.write(_q8_0(array))
    else:
        file.write(array.astype(np.float16 if kind == _F16 else np.float32).tobytes())


def _q8_0(matrix: Array) -> bytes:
    blocks = matrix.reshape(-1, _BLOCK)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    stored = np.zeros(len(blocks), [("scale", np.float16), ("numbers", np.int8, _BLOCK)])
    stored["scale"] = scales[:, 0]
    stored["numbers"] = np.rint(blocks * inverse)
    return stored.tobytes()


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def main(folder: Path, target: Path) -> None:
    """Convert a CTranslate2 Whisper for whisper.cpp."""
    print(convert(folder, target))


if __name__ == "__main__":
    main()
