"""Whisper models of true shapes with random weights: as costly as the real ones, and no download.

What they say means nothing; how long they take to say it does. So that nobody is fast by stopping
early, the length of an answer is in the weights, where every engine has to obey it: see
`random_weights.fixed_length`. Every token that can be said is one word, so that words count tokens
whatever an engine returns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
from faster_whisper.tokenizer import _LANGUAGE_CODES as LANGUAGES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from benchmarks.random_weights import Shape, Weights, fixed_length

END_OF_TEXT = 50257
START = 50258
FIRST_TIMESTAMP = 50364  # of the shapes with 99 languages
VOCABULARY = 51865
NUM_TIMESTAMPS = 1501
PROMPT = [START, START + 1, 50359, FIRST_TIMESTAMP - 1]  # English, transcribe, no timestamps

_FIRST_WORD = 256  # below are bytes, which are no words: never said
_NUM_TASKS = 6  # special tokens between the languages and the timestamps

SHAPES = {
    "tiny": Shape(384, 6, 4),
    "base": Shape(512, 8, 6),
    "small": Shape(768, 12, 12),
    "large-v3-turbo": Shape(1280, 20, 32, 4, 128, VOCABULARY + 1),
    "large-v3": Shape(1280, 20, 32, 32, 128, VOCABULARY + 1),
}


def build_model(
    folder: Path,
    shape: Shape,
    quantization: str = "int8",
    seed: int = 0,
    num_tokens: int = 100,
    windows_s: tuple[float, ...] = (30.0,),
) -> Path:
    """Write a CTranslate2 model of `shape` into `folder`, and return the folder.

    Args:
        folder: Where to.
        shape: Of the model; its vocabulary is Whisper's, with 99 languages or more.
        quantization: How weights are stored, as CTranslate2 calls it; "" for float32.
        seed: Of its weights.
        num_tokens: Tokens of every answer, after a prompt of four tokens.
        windows_s: What the model declares in `talkmill.json`; nothing if empty. By default 30 s:
            random weights never stop, so fitted windows would decode everything twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = fixed_length(
        shape,
        seed,
        end_position=len(PROMPT) - 1 + num_tokens,
        end_of_text=END_OF_TEXT,
        never=[*range(_FIRST_WORD), END_OF_TEXT - 1, *range(START, shape.num_tokens)],
    )
    tokenizer = _tokenizer(shape)
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    write_model(folder, shape, weights, tokens, LANGUAGES, quantization=quantization)
    files: dict[str, dict[str, Any]] = {"preprocessor_config": {"feature_size": shape.n_mels}}
    if windows_s:
        files["talkmill"] = {"windows_s": windows_s}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_model(
    folder: Path,
    shape: Shape,
    weights: Weights,
    vocabulary: Sequence[str],
    languages: Sequence[str],
    *,
    suppress_ids: Sequence[int] = (),
    quantization: str = "",
) -> None:
    """Write what CTranslate2 reads: model.bin, config.json and vocabulary.json.

    Args:
        folder: Where to.
        shape: Of the model.
        weights: Every variable of `random_weights.layout(shape)`.
        vocabulary: The tokens, in order; CTranslate2 takes a vocabulary that has the empty token
            for that of a multilingual model.
        languages: Codes of those that may be detected; codes without a token are left out.
        suppress_ids: Tokens that are never said.
        quantization: How weights are stored, as CTranslate2 calls it; "" for float32.

    Raises:
        KeyError: A weight has a name that CTranslate2's Whisper does not have.
    """
    spec = ctranslate2.specs.WhisperSpec(
        shape.num_layers, shape.num_heads, shape.decoder_layers, shape.num_heads
    )
    owners: dict[str, Any] = {}
    ctranslate2.specs.model_spec.visit_spec(
        spec, lambda owner, name, _: owners.setdefault(name, owner)
    )
    for name, numbers in weights:
        setattr(owners[name], name.rsplit("/", 1)[-1], numbers)
    decoder = spec.decoder
    decoder.projection.weight = decoder.embeddings.weight  # tied, as all Whispers are,
    decoder.projection.bias = ctranslate2.specs.model_spec.OPTIONAL  # and without bias
    spec.register_vocabulary(list(vocabulary))
    places = {token: place for place, token in enumerate(vocabulary)}
    spec.config.lang_ids = [places[f"<|{code}|>"] for code in languages if f"<|{code}|>" in places]
    spec.config.suppress_ids = list(suppress_ids)
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(1, 0)]
    spec.validate()
    if quantization:
        spec.optimize(quantization=quantization)
    spec.save(str(folder))


def _tokenizer(shape: Shape) -> Tokenizer:
    """Return a byte-level vocabulary with Whisper's places; there are no merges."""
    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    names += [f"Ġw{token}" for token in range(_FIRST_WORD, END_OF_TEXT - 1)]
    names.append("")  # by which CTranslate2 knows a multilingual model
    vocabulary = {name: token for token, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Whisper's own order is by size of the training data; any will do here, with English first.
    languages = ["en", *(name for name in LANGUAGES if name not in ("en", "yue")), "yue"]
    special = ["<|endoftext|>", "<|startoftranscript|>"]
    num_languages = shape.num_tokens - (START + 1) - _NUM_TASKS - NUM_TIMESTAMPS
    special += [f"<|{name}|>" for name in languages[:num_languages]]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(NUM_TIMESTAMPS)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in times])
    return tokenizer
