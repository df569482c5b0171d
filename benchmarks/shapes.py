"""Whisper models of true shapes with random weights: as costly as the real ones, and no download.

What they say means nothing; how long they take to say it does. So that nobody is fast by stopping
early, the length of an answer is in the weights, where every engine has to obey it. Two dimensions
of the decoder's width carry no audio. One is constant after the last norm (its bias): the output
rows of timestamps and other special tokens have a large negative weight on it, so they never win.
The other is negative at the first positions and positive from `num_tokens` on: the end of text has
a large positive weight on that, so it wins then and never before. Every token that can be said is
one word, so that words count tokens whatever an engine returns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper.tokenizer import _LANGUAGE_CODES as LANGUAGES
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

END_OF_TEXT = 50257
START = 50258
FIRST_TIMESTAMP = 50364  # of the shapes with 99 languages
VOCABULARY = 51865
NUM_TIMESTAMPS = 1501
PROMPT = [START, START + 1, 50359, FIRST_TIMESTAMP - 1]  # English, transcribe, no timestamps

_FIRST_WORD = 256  # below are bytes, which are no words: never said
_CONSTANT, _CLOCK = -1, -2  # the dimensions that carry no audio
_BIAS = 4.0  # of the last norm, in `_CONSTANT`
_NEVER = -25.0  # times `_BIAS` is a logit of -100; those of words are within 6
_POOL_SIZE = 2**22 - 3  # a prime: rows of a matrix do not repeat
_SHARPNESS = 3.0  # of attention: else it averages all audio into the same words
_CLOCK_SIZE = 16.0  # several times what the layers add to any other dimension


@dataclass(frozen=True)
class Shape:
    """What sizes a Whisper model has.

    Attributes:
        d_model: Width.
        num_heads: Heads of each attention.
        num_layers: Of the encoder.
        num_decoder_layers: Of the decoder; 0 for as many as the encoder.
        n_mels: Mel bands.
        num_languages: In the vocabulary.
    """

    d_model: int
    num_heads: int
    num_layers: int
    num_decoder_layers: int = 0
    n_mels: int = 80
    num_languages: int = 99

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder."""
        return self.num_decoder_layers or self.num_layers

    @property
    def first_timestamp(self) -> int:
        """The token of 0.00 s."""
        return START + 1 + self.num_languages + 6

    @property
    def num_tokens(self) -> int:
        """Tokens of the vocabulary."""
        return self.first_timestamp + NUM_TIMESTAMPS


SHAPES = {
    "tiny": Shape(384, 6, 4),
    "base": Shape(512, 8, 6),
    "small": Shape(768, 12, 12),
    "large-v3-turbo": Shape(1280, 20, 32, 4, 128, 100),
    "large-v3": Shape(1280, 20, 32, 32, 128, 100),
}


def build_model(
    folder: Path,
    shape: Shape,
    quantization: str = "int8",
    seed: int = 0,
    num_tokens: int = 100,
    windows_s: tuple[float, ...] = (),
) -> Path:
    """Write a CTranslate2 model of `shape` into `folder`, and return the folder.

    Args:
        folder: Where to.
        shape: Of the model.
        quantization: How weights are stored, as CTranslate2 calls it; "" for float32.
        seed: Of its weights.
        num_tokens: Tokens of every answer, after a prompt of four tokens.
        windows_s: What the model declares in `talkmill.json`; nothing if empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = ctranslate2.specs.WhisperSpec(
        shape.num_layers, shape.num_heads, shape.decoder_layers, shape.num_heads
    )
    _fill(spec, shape, np.random.default_rng(seed), len(PROMPT) - 1 + num_tokens)
    tokenizer = _tokenizer(shape)
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    spec.register_vocabulary(sorted(vocabulary, key=vocabulary.__getitem__))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [
        vocabulary[f"<|{name}|>"] for name in LANGUAGES if f"<|{name}|>" in vocabulary
    ]
    spec.config.alignment_heads = [(1, 0)]
    spec.validate()
    if quantization:
        spec.optimize(quantization=quantization)
    spec.save(str(folder))
    files: dict[str, dict[str, Any]] = {"preprocessor_config": {"feature_size": shape.n_mels}}
    if windows_s:
        files["talkmill"] = {"windows_s": windows_s}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _fill(spec: Any, shape: Shape, rng: np.random.Generator, end_position: int) -> None:
    width = shape.d_model
    sizes: dict[str, tuple[int, ...]] = {
        "conv1/weight": (width, shape.n_mels, 3),
        "conv2/weight": (width, width, 3),
        "encoder/position_encodings/encodings": (1500, width),
        "decoder/position_encodings/encodings": (448, width),
        "embeddings/weight": (shape.num_tokens, width),
        "self_attention/linear_0/weight": (3 * width, width),
        "self_attention/linear_1/weight": (width, width),
        "attention/linear_0/weight": (width, width),
        "attention/linear_1/weight": (2 * width, width),
        "attention/linear_2/weight": (width, width),
        "ffn/linear_0/weight": (4 * width, width),
        "ffn/linear_1/weight": (width, 4 * width),
    }
    # Drawn once and used again from another start: drawing billions would take minutes.
    pool = rng.standard_normal(_POOL_SIZE, np.float32)
    # Every bias is as long as its weights have rows; that of a norm or a convolution is `width`.
    biases = {name[: -len("weight")] + "bias": size[:1] for name, size in sizes.items()}

    def visit(owner: Any, name: str, value: object) -> None:
        leaf = name.rsplit("/", 1)[-1]
        if "projection" in name or (value is not None and leaf not in ("bias", "encodings")):
            return
        size = next((s for end, s in (sizes | biases).items() if name.endswith(end)), (width,))
        if leaf == "gamma":
            numbers: NDArray[np.float32] = np.ones(size, np.float32)
        else:
            gain = {"weight": np.prod(size[1:]) ** -0.5, "encodings": 1.0}.get(leaf, 0.1)
            if name.endswith("attention/linear_0/weight"):
                gain *= _SHARPNESS
            start = rng.integers(len(pool) // 2)
            numbers = np.resize(pool[start:], size) * np.float32(gain)
        if name.startswith("decoder/"):
            _keep_clock(name, numbers)
        if name.endswith(("self_attention/linear_0/bias", "attention/linear_1/bias")):
            _without_key_bias(name, numbers, width)
        setattr(owner, leaf, numbers)

    ctranslate2.specs.model_spec.visit_spec(spec, visit)
    decoder = spec.decoder
    _set_length(decoder, shape, end_position)
    decoder.projection.weight = decoder.embeddings.weight  # tied, as all Whispers are,
    decoder.projection.bias = ctranslate2.specs.model_spec.OPTIONAL  # and without bias


def _keep_clock(name: str, numbers: NDArray[np.float32]) -> None:
    """Take what a layer would write into the two dimensions out of its weights."""
    reserved = [_CONSTANT, _CLOCK]
    if name.endswith("embeddings/weight"):
        numbers[:, reserved] = 0
    elif "norm" not in name and name.split("/", 2)[-1].rpartition("/")[0] in (
        "self_attention/linear_1",
        "attention/linear_2",
        "ffn/linear_1",
    ):
        numbers[reserved] = 0


def _without_key_bias(name: str, numbers: NDArray[np.float32], width: int) -> None:
    # No Whisper has one, and whisper.cpp has no place for it.
    start = width if "self_attention" in name else 0
    numbers[start : start + width] = 0


def _set_length(decoder: Any, shape: Shape, end_position: int) -> None:
    embeddings = (
        decoder.embeddings[0] if isinstance(decoder.embeddings, list) else decoder.embeddings
    )
    never = [*range(_FIRST_WORD), END_OF_TEXT - 1, *range(START, shape.num_tokens)]
    embeddings.weight[never, _CONSTANT] = _NEVER
    embeddings.weight[END_OF_TEXT] = 0
    embeddings.weight[END_OF_TEXT, _CLOCK] = -_NEVER
    positions = decoder.position_encodings.encodings
    positions[:, _CONSTANT] = 0
    positions[:, _CLOCK] = np.where(np.arange(len(positions)) < end_position, -1, 1) * _CLOCK_SIZE
    norm = decoder.layer_norm
    norm.gamma[_CONSTANT], norm.beta[_CONSTANT] = 0, _BIAS
    norm.gamma[_CLOCK], norm.beta[_CLOCK] = 1, 0


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
    special += [f"<|{name}|>" for name in languages[: shape.num_languages]]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(NUM_TIMESTAMPS)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in times])
    return tokenizer
