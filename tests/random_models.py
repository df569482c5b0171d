"""Real CTranslate2 models of any shape, with weights that mean nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np

from fakes import tokenizer_file


@dataclass(frozen=True)
class Shape:
    """Of a model.

    Attributes:
        width: d_model.
        num_heads: Of each attention.
        num_layers: Of the encoder, and of the decoder.
        n_mels: Mel bands.
        is_multilingual: Whether its prompts carry a language and a task.
    """

    width: int = 64
    num_heads: int = 2
    num_layers: int = 2
    n_mels: int = 80
    is_multilingual: bool = True


def build(
    folder: Path, shape: Shape, *, seed: int = 0, gain: float | None = None, quantization: str = ""
) -> Path:
    """Write a model whose vocabulary is the demo's, with two more languages, or English only.

    Args:
        folder: Where to.
        shape: Of the model.
        seed: Of its weights.
        gain: Standard deviation of every weight; by default it keeps activations near one.
        quantization: How weights are stored, as CTranslate2 calls it; float32 by default.
    """
    languages = ["de", "sv"] if shape.is_multilingual else []
    vocabulary = _vocabulary(folder, languages, shape)
    spec = ctranslate2.specs.WhisperSpec(*[shape.num_layers, shape.num_heads] * 2)
    _fill(spec, np.random.default_rng(seed), _shapes(shape, len(vocabulary)), gain)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight  # tied, as all Whispers are,
    spec.decoder.projection.bias = ctranslate2.specs.model_spec.OPTIONAL  # and without bias
    spec.register_vocabulary(vocabulary)
    names = {token: number for number, token in enumerate(vocabulary)}
    spec.config.lang_ids = [names[f"<|{code}|>"] for code in ["en", *languages]]
    # Never the end, so that every answer is as long as it may be.
    spec.config.suppress_ids = [names["<|endoftext|>"]]
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(1, 0)]
    spec.validate()
    if quantization:
        spec.optimize(quantization=quantization)
    spec.save(str(folder))
    return folder


def _vocabulary(folder: Path, languages: list[str], shape: Shape) -> list[str]:
    path = tokenizer_file(folder, languages=languages)
    content = json.loads(path.read_text(encoding="utf-8"))
    ids = {**content["model"]["vocab"], **{t["content"]: t["id"] for t in content["added_tokens"]}}
    vocabulary = [token for token, _ in sorted(ids.items(), key=lambda pair: pair[1])]
    # CTranslate2 takes a vocabulary that knows the empty token for a multilingual one.
    filler = "" if shape.is_multilingual else "<|filler|>"
    vocabulary = [filler if token == "" else token for token in vocabulary]
    if shape.is_multilingual and "" not in vocabulary:
        vocabulary.append("")
    return vocabulary


def _shapes(shape: Shape, num_tokens: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each variable, by how its name ends."""
    width = shape.width
    return {
        "conv1/weight": (width, shape.n_mels, 3),
        "conv2/weight": (width, width, 3),
        "encoder/position_encodings/encodings": (1500, width),
        "decoder/position_encodings/encodings": (448, width),
        "embeddings/weight": (num_tokens, width),
        "self_attention/linear_0/weight": (3 * width, width),
        "self_attention/linear_0/bias": (3 * width,),
        "attention/linear_0/weight": (width, width),
        "attention/linear_0/bias": (width,),
        "self_attention/linear_1/weight": (width, width),
        "self_attention/linear_1/bias": (width,),
        "attention/linear_1/weight": (2 * width, width),
        "attention/linear_1/bias": (2 * width,),
        "attention/linear_2/weight": (width, width),
        "attention/linear_2/bias": (width,),
        "ffn/linear_0/weight": (4 * width, width),
        "ffn/linear_0/bias": (4 * width,),
        "ffn/linear_1/weight": (width, 4 * width),
        "ffn/linear_1/bias": (width,),
        "gamma": (width,),
        "beta": (width,),
        "bias": (width,),
    }


def _fill(
    spec: object, rng: np.random.Generator, shapes: dict[str, tuple[int, ...]], gain: float | None
) -> None:
    """Give every weight of a spec random numbers."""

    def visit(owner: object, name: str, value: object) -> None:
        leaf = name.rsplit("/", 1)[-1]
        if "projection" in name or (value is not None and leaf not in ("bias", "encodings")):
            return
        shape = next(shape for end, shape in shapes.items() if name.endswith(end))
        own_gain = gain or (float(np.prod(shape[1:])) ** -0.5 if leaf == "weight" else 0.3)
        weights = np.ones(shape) if leaf == "gamma" else rng.normal(0, own_gain, shape)
        setattr(owner, leaf, weights.astype(np.float32))

    ctranslate2.specs.model_spec.visit_spec(spec, visit)
