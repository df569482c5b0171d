"""Finds broken models at start: damaged files, ids out of range, numbers that are not finite.

CTranslate2 checks little of this: it answers "!!!!" where a weight is not a number, and an id that
is out of range ends the process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..decoding.hypothesis import Hypothesis
from ..errors import ConfigError
from .files import read_config
from .tokenizer import MAX_TIMESTAMPS, WhisperTokenizer
from .weights import Weights, num_decoder_layers, num_logits, read_weights

_MAX_WEIGHT = 256.0  # no trained matrix has one; a flipped bit of an exponent makes larger ones
_MAX_OTHER_TOKENS = 0.01  # share of the vocabulary that the tokenizer may write in another way

_BITS: dict[np.dtype[Any], tuple[Any, int]] = {
    np.dtype(np.float16): (np.uint16, 1 << 15),
    np.dtype(np.float32): (np.uint32, 1 << 31),
}
"""An unsigned type of the same size, and the bit of the sign in it."""


def check_files(folder: Path) -> None:
    """Check a model's files before CTranslate2 reads them.

    Raises:
        ConfigError: `tokenizer.json` is missing, `model.bin` is damaged, or `config.json` is not
            valid or names a token or a head that the model does not have.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(f"model: tokenizer.json is missing in {folder}")
    weights = read_weights(folder / "model.bin")
    _check_size(weights)
    config = read_config(folder)
    num_tokens = num_logits(weights)
    for field in ("suppress_ids", "suppress_ids_begin", "lang_ids"):
        for token in _list(config, field):
            if not (isinstance(token, int) and 0 <= token < num_tokens):
                raise ConfigError(
                    f"model: config.json: {field} has {token!r}, not in 0 <= id < {num_tokens}"
                )
    _check_heads(_list(config, "alignment_heads"), weights)


def check_vocabulary(folder: Path, tokenizer: WhisperTokenizer, num_tokens: int) -> None:
    """Check that a tokenizer is the model's own.

    Args:
        folder: The model's folder.
        tokenizer: Read from its `tokenizer.json`.
        num_tokens: Tokens that the model has a logit for.

    Raises:
        ConfigError: It has more tokens than the model, or others than CTranslate2's vocabulary.
    """
    names = tokenizer.names
    last = max(max(names), tokenizer.timestamp_begin + MAX_TIMESTAMPS - 1)
    if last >= num_tokens:
        raise ConfigError(
            f"model: tokenizer.json has tokens up to id {last}, but model.bin only {num_tokens}: "
            "the tokenizer is another model's"
        )
    known = dict(enumerate(_vocabulary(folder)))
    common = names.keys() & known.keys()
    others = [number for number in sorted(common) if names[number] != known[number]]
    if len(others) > _MAX_OTHER_TOKENS * len(common):
        first = others[0]
        raise ConfigError(
            f"model: {len(others)} of {len(common)} tokens of tokenizer.json are not those of the "
            f"model's vocabulary, first id {first}, {names[first]!r} instead of {known[first]!r}: "
            "the tokenizer is another model's"
        )


def check_numbers(name: str, states: Any, found: Hypothesis) -> None:
    """Check what a model gave for a recording.

    Args:
        name: The model.
        states: The encoder's output, an array of any library.
        found: The answer.

    Raises:
        ConfigError: A number is not finite.
    """
    largest = float(abs(states).max())  # NaN if one of them is
    numbers = {
        "encoder's output": largest,
        "log-probability of an answer": found.avg_logprob,
        "probability of no speech": found.no_speech_prob,
    }
    for what, number in numbers.items():
        if not math.isfinite(number):
            raise ConfigError(
                f"model: {name} is damaged: on the bundled recording the {what} is {number}"
            )


def _check_size(weights: Weights) -> None:
    for name, matrix in weights.items():
        if matrix.ndim < 2 or matrix.dtype not in _BITS:
            continue
        kind, sign = _BITS[matrix.dtype]
        # As whole numbers: they are in the same order, and NumPy is slow with float16.
        largest = (matrix.view(kind) & ~kind(sign)).max().view(matrix.dtype)
        if not largest <= _MAX_WEIGHT:
            raise ConfigError(
                f"model: model.bin is damaged: {name} has a weight of {largest:g}, over the limit "
                f"of {_MAX_WEIGHT:g}"
            )


def _check_heads(heads: list[Any], weights: Weights) -> None:
    num_layers, num_heads = num_decoder_layers(weights), int(weights["decoder/num_heads"])
    for pair in heads:
        is_pair = isinstance(pair, list) and [type(number) for number in pair] == [int, int]
        if not (is_pair and 0 <= pair[0] < num_layers and 0 <= pair[1] < num_heads):
            raise ConfigError(
                f"model: config.json: alignment_heads has {pair!r}, but the decoder has "
                f"{num_layers} layers of {num_heads} heads"
            )


def _list(config: Mapping[str, Any], field: str) -> list[Any]:
    value = config.get(field)
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"model: config.json: {field} is {value!r}, not a list")
    return value or []


def _vocabulary(folder: Path) -> list[Any]:
    """Return CTranslate2's own list of tokens; it has checked that there is one."""
    path = folder / "vocabulary.json"
    if path.is_file():
        return list(json.loads(path.read_text(encoding="utf-8")))
    path = folder / "vocabulary.txt"
    return path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
