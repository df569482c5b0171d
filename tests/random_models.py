"""Real CTranslate2 models of any shape: the demo's vocabulary, and weights that mean nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.random_weights import Shape, plain
from benchmarks.shapes import write_model
from fakes import tokenizer_file


def build(
    folder: Path,
    shape: Shape,
    *,
    is_multilingual: bool = True,
    seed: int = 0,
    gain: float | None = None,
    quantization: str = "",
) -> Path:
    """Write a model whose vocabulary is the demo's, with two more languages, or English only.

    It declares windows of 30 s: random weights never stop, so none of their answers in a fitted
    window would be accepted.

    Args:
        folder: Where to.
        shape: Of the model; the size of its vocabulary is not taken from here.
        is_multilingual: Whether its prompts carry a language and a task.
        seed: Of its weights.
        gain: Standard deviation of every weight; by default it keeps activations near one.
        quantization: How weights are stored, as CTranslate2 calls it; float32 by default.
    """
    languages = ["de", "sv"] if is_multilingual else []
    vocabulary = _vocabulary(folder, languages)
    shape = replace(shape, num_tokens=len(vocabulary))
    write_model(
        folder,
        shape,
        plain(shape, seed, gain),
        vocabulary,
        ["en", *languages],
        # Never the end, so that every answer is as long as it may be.
        suppress_ids=[vocabulary.index("<|endoftext|>")],
        quantization=quantization,
    )
    (folder / "talkmill.json").write_text('{"windows_s": [30]}', encoding="utf-8")
    return folder


def _vocabulary(folder: Path, languages: list[str]) -> list[str]:
    path = tokenizer_file(folder, languages=languages)
    content = json.loads(path.read_text(encoding="utf-8"))
    ids = {**content["model"]["vocab"], **{t["content"]: t["id"] for t in content["added_tokens"]}}
    vocabulary = sorted(ids, key=ids.__getitem__)
    # CTranslate2 takes a vocabulary that has the empty token for that of a multilingual model.
    if not languages:
        return [token or "<|filler|>" for token in vocabulary]
    return vocabulary if "" in vocabulary else [*vocabulary, ""]
