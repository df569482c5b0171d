"""The demo model's tokenizer: byte-level BPE tokens, then Whisper's special tokens.

The special tokens are in Whisper's order. Add languages in `LANGUAGES`.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

LANGUAGES = ("en",)
NUM_TEXT_TOKENS = 1024
TIMESTAMP_STEP_S = 0.02
NUM_TIMESTAMPS = 1501  # 0.00 s to 30.00 s

_BEFORE_LANGUAGES = ("<|endoftext|>", "<|startoftranscript|>")
_AFTER_LANGUAGES = (
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


class SpeechTokenizer:
    """Converts text and times to token ids and back. Immutable, so thread-safe."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer that has Whisper's special tokens."""
        self.tokenizer = tokenizer
        self.eot = self.id_of("<|endoftext|>")
        self.sot = self.id_of("<|startoftranscript|>")
        self.translate = self.id_of("<|translate|>")
        self.transcribe = self.id_of("<|transcribe|>")
        self.startofprev = self.id_of("<|startofprev|>")
        self.nospeech = self.id_of("<|nospeech|>")
        self.notimestamps = self.id_of("<|notimestamps|>")
        self.first_timestamp = self.notimestamps + 1

    @property
    def num_tokens(self) -> int:
        """Rows of the embedding: text, special and timestamp tokens."""
        return self.tokenizer.get_vocab_size()

    def id_of(self, token: str) -> int:
        """Return the id of a token given by its name."""
        token_id = self.tokenizer.token_to_id(token)
        if token_id is None:
            raise ValueError(f"the tokenizer has no token {token!r}")
        return int(token_id)

    def language(self, code: str) -> int:
        """Return the language token of a code such as "en"."""
        return self.id_of(f"<|{code}|>")

    def timestamp(self, time_s: float) -> int:
        """Return the timestamp token nearest to a time in the window."""
        return self.first_timestamp + round(time_s / TIMESTAMP_STEP_S)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, which gets the leading space that Whisper expects."""
        return list(self.tokenizer.encode(f" {text}").ids)

    def decode(self, token_ids: Iterable[int]) -> str:
        """Return the text of the tokens; special and timestamp tokens are left out."""
        return str(self.tokenizer.decode([i for i in token_ids if i < self.eot])).strip()

    def all_tokens(self) -> list[str]:
        """Return every token's name, by id."""
        return [str(self.tokenizer.id_to_token(i)) for i in range(self.num_tokens)]


def train_tokenizer(texts: Iterable[str]) -> SpeechTokenizer:
    """Return a tokenizer with `NUM_TEXT_TOKENS` byte-level BPE tokens learned from the texts."""
    texts = [f" {text}" for text in texts]
    # faster-whisper suppresses the first token of " -" and " '". Train both as single tokens: else
    # that token is the bare space, and every word spelled in pieces is lost.
    marks = [" -", " '"] * len(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=NUM_TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *marks], trainer)
    languages = tuple(f"<|{code}|>" for code in LANGUAGES)
    special = (*_BEFORE_LANGUAGES, *languages, *_AFTER_LANGUAGES)
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    times = (f"<|{i * TIMESTAMP_STEP_S:.2f}|>" for i in range(NUM_TIMESTAMPS))
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in times])
    return SpeechTokenizer(tokenizer)


def load_tokenizer(path: Path) -> SpeechTokenizer:
    """Read a tokenizer.json."""
    return SpeechTokenizer(Tokenizer.from_file(str(path)))
