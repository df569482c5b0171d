"""Whisper models of true shapes with random weights: as costly as the real ones, and no download.

What they say means nothing; how long they take to say it does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

END_OF_TEXT = 50257
START = 50258
FIRST_TIMESTAMP = 50364
VOCABULARY = 51865
NUM_MELS = 80
PROMPT = [START, START + 1, 50359, FIRST_TIMESTAMP - 1]  # English, transcribe, no timestamps


@dataclass(frozen=True)
class Shape:
    """What sizes a Whisper model has.

    Attributes:
        d_model: Width.
        num_heads: Heads of each attention.
        num_layers: Of the encoder, and of the decoder.
    """

    d_model: int
    num_heads: int
    num_layers: int


SHAPES = {"tiny": Shape(384, 6, 4), "base": Shape(512, 8, 6)}


def build_model(folder: Path, shape: Shape, quantization: str = "int8", seed: int = 0) -> Path:
    """Write a CTranslate2 model of `shape` into `folder`, and return the folder."""
    spec = ctranslate2.specs.WhisperSpec(
        shape.num_layers, shape.num_heads, shape.num_layers, shape.num_heads
    )
    _fill(spec, shape, np.random.default_rng(seed))
    spec.register_vocabulary(_vocabulary())
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [START + 1]
    spec.config.alignment_heads = [(1, 0)]
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    return folder


def _fill(spec: object, shape: Shape, rng: np.random.Generator) -> None:
    width = shape.d_model
    outputs_inputs: dict[str, tuple[int, ...]] = {
        "conv1/weight": (width, NUM_MELS, 3),
        "conv2/weight": (width, width, 3),
        "encoder/position_encodings/encodings": (1500, width),
        "decoder/position_encodings/encodings": (448, width),
        "embeddings/weight": (VOCABULARY, width),
        "projection/weight": (VOCABULARY, width),
        "self_attention/linear_0/weight": (3 * width, width),
        "self_attention/linear_1/weight": (width, width),
        "attention/linear_0/weight": (width, width),
        "attention/linear_1/weight": (2 * width, width),
        "attention/linear_2/weight": (width, width),
        "ffn/linear_0/weight": (4 * width, width),
        "ffn/linear_1/weight": (width, 4 * width),
    }
    # Every bias is as long as its weights have rows; that of a norm or a convolution is `width`.
    shapes = outputs_inputs | {
        name.replace("/weight", "/bias"): sizes[:1]
        for name, sizes in outputs_inputs.items()
        if name.endswith("/weight")
    }

    def visit(owner: Any, name: str, value: object) -> None:
        leaf = name.rsplit("/", 1)[-1]
        if value is not None and leaf not in ("bias", "encodings"):
            return
        size = next((s for end, s in shapes.items() if name.endswith(end)), (width,))
        numbers: NDArray[Any] = np.ones(size)
        if leaf != "gamma":
            fan_in = int(np.prod(size[1:])) if leaf == "weight" else 100
            numbers = rng.normal(0, fan_in**-0.5, size)
        setattr(owner, leaf, numbers.astype(np.float32))

    ctranslate2.specs.model_spec.visit_spec(spec, visit)


def _vocabulary() -> list[str]:
    names = {
        END_OF_TEXT: "<|endoftext|>",
        START: "<|startoftranscript|>",
        START + 1: "<|en|>",
        50358: "<|translate|>",
        50359: "<|transcribe|>",
        50360: "<|startoflm|>",
        50361: "<|startofprev|>",
        50362: "<|nospeech|>",
        FIRST_TIMESTAMP - 1: "<|notimestamps|>",
    }
    return [names.get(token, json.dumps(token)) for token in range(VOCABULARY)]
