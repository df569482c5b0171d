"""Converts a CTranslate2 Whisper to a folder for transformers: the same weights in float32.

python -m benchmarks.hf <folder of CTranslate2> <target folder>
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from talkmill.engine.model.weights import Weights, dense, read_weights

Array = NDArray[np.float32]


def convert(folder: Path, target: Path) -> Path:
    """Write the model in `folder` into the folder `target`, and return it."""
    target.mkdir(parents=True, exist_ok=True)
    weights = read_weights(folder / "model.bin")
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
    _write_safetensors(target / "model.safetensors", dict(tensors(weights)))
    files = {
        "config": _config(weights, tokens),
        "generation_config": _generation_config(tokens),
        "preprocessor_config": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": weights["encoder/conv1/weight"].shape[1],
        },
        "tokenizer_config": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "pad", "unk")},
        },
    }
    for name, content in files.items():
        (target / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    shutil.copy(folder / "tokenizer.json", target)
    return target


def _config(weights: Weights, tokens: dict[str, int]) -> dict[str, Any]:
    num_tokens, width = weights["decoder/embeddings/weight"].shape
    sides: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        sides[f"{side}_layers"] = num_layers(weights, side)
        sides[f"{side}_attention_heads"] = int(weights[f"{side}/num_heads"])
        sides[f"{side}_ffn_dim"] = len(weights[f"{side}/layer_0/ffn/linear_0/bias"])
    end = tokens["<|endoftext|>"]
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "vocab_size": num_tokens,
        "num_mel_bins": weights["encoder/conv1/weight"].shape[1],
        "d_model": width,
        **sides,
        **{f"{name}_token_id": end for name in ("pad", "bos", "eos")},
        "decoder_start_token_id": tokens["<|startoftranscript|>"],
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }


def _generation_config(tokens: dict[str, int]) -> dict[str, Any]:
    end = tokens["<|endoftext|>"]
    return {
        **{f"{name}_token_id": end for name in ("pad", "bos", "eos")},
        "decoder_start_token_id": tokens["<|startoftranscript|>"],
        "is_multilingual": True,
        "lang_to_id": {"<|en|>": tokens["<|en|>"]},
        "task_to_id": {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "max_length": 448,
    }


def num_layers(weights: Weights, side: str) -> int:
    """Return how many layers the encoder or the decoder has."""
    prefix = f"{side}/layer_"
    places = {name[len(prefix) :].split("/")[0] for name in weights if name.startswith(prefix)}
    return sum(place.isdigit() for place in places)


def tensors(weights: Weights) -> Iterator[tuple[str, Array]]:
    """Yield the name that transformers gives each tensor, and the tensor."""
    for side in ("encoder", "decoder"):
        encodings = weights[f"{side}/position_encodings/encodings"]
        yield f"model.{side}.embed_positions.weight", encodings.astype(np.float32)
        yield from _norm(weights, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for number in range(num_layers(weights, side)):
            yield from _layer(weights, f"{side}/layer_{number}", f"model.{side}.layers.{number}")
    yield "model.decoder.embed_tokens.weight", dense(weights, "decoder/embeddings")
    for number in (1, 2):
        yield from _linear(weights, f"encoder/conv{number}", (f"model.encoder.conv{number}",))


def _layer(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Array]]:
    own, cross, net = (f"{source}/{part}" for part in ("self_attention", "attention", "ffn"))
    target = f"{name}.self_attn"
    projections = tuple(f"{target}.{part}_proj" for part in "qkv")
    yield from _norm(weights, f"{own}/layer_norm", f"{target}_layer_norm")
    yield from _linear(weights, f"{own}/linear_0", projections)
    yield from _linear(weights, f"{own}/linear_1", (f"{target}.out_proj",))
    if f"{cross}/linear_0/weight" in weights:
        target = f"{name}.encoder_attn"
        yield from _norm(weights, f"{cross}/layer_norm", f"{target}_layer_norm")
        yield from _linear(weights, f"{cross}/linear_0", (f"{target}.q_proj",))
        yield from _linear(weights, f"{cross}/linear_1", (f"{target}.k_proj", f"{target}.v_proj"))
        yield from _linear(weights, f"{cross}/linear_2", (f"{target}.out_proj",))
    yield from _norm(weights, f"{net}/layer_norm", f"{name}.final_layer_norm")
    yield from _linear(weights, f"{net}/linear_0", (f"{name}.fc1",))
    yield from _linear(weights, f"{net}/linear_1", (f"{name}.fc2",))


def _linear(weights: Weights, source: str, names: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    matrices = np.split(dense(weights, source), len(names))
    biases = np.split(weights[f"{source}/bias"].astype(np.float32), len(names))
    for name, matrix, bias in zip(names, matrices, biases, strict=True):
        yield f"{name}.weight", matrix
        if not name.endswith("k_proj"):
            yield f"{name}.bias", bias


def _norm(weights: Weights, source: str, name: str) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", weights[f"{source}/gamma"].astype(np.float32)
    yield f"{name}.bias", weights[f"{source}/beta"].astype(np.float32)


def _write_safetensors(path: Path, tensors: dict[str, Array]) -> None:
    # The format: the header's length, a JSON header with each tensor's offsets, then the numbers.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        end = at + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path, target: Path) -> None:
    """Convert a CTranslate2 Whisper for transformers."""
    print(convert(folder, target))


if __name__ == "__main__":
    main()
