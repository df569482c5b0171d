"""Whisper's tokenizer: builds prompts, and converts between text and tokens.

Reads a model's `tokenizer.json` and needs nothing else of the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from ..decoding.parameters import MAX_POSITIONS
from ..errors import ConfigError
from ..types import Task

MAX_PREVIOUS_TOKENS = MAX_POSITIONS // 2 - 1  # Whisper's limit on the tokens of preceding text
TIMESTAMP_S = 0.02  # seconds between consecutive timestamp tokens
MAX_TIMESTAMPS = 1501  # 0 to 30 s

_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")


def _bytes_of_characters() -> dict[str, int]:
    """Return the byte that each character of a token stands for.

    Byte-level BPE writes a byte that has no visible character in Latin-1 as one from U+0100 on
    (Radford et al., 2019: `bytes_to_unicode` of openai/gpt-2).
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    table = {chr(byte): byte for byte in visible}
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}


_BYTES = _bytes_of_characters()


class WhisperTokenizer:
    """The tokenizer of one model. Read-only, so threads may share it.

    Attributes:
        languages: Codes of the languages that have a token; only "en" if none has.
        tasks: Tasks that have a token; only transcribe if none has.
        end_of_text: The token that ends the text; the ids of text tokens are below it.
        start_of_transcript: The token that starts the transcript, in every prompt.
        no_speech: The token of a chunk without speech; None if the vocabulary has none.
        timestamp_begin: The timestamp token of 0.00 s; all ids from here on are timestamps.
    """

    def __init__(self, path: Path, is_multilingual: bool) -> None:
        """Read a `tokenizer.json`.

        Raises:
            ConfigError: The file is missing, is not valid, or lacks a token of Whisper.
        """
        if not path.is_file():
            raise ConfigError(f"model: {path.name} is missing in {path.parent}")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ConfigError(f"model: {path} is not a valid tokenizer.json: {error}") from error
        self._plain = Tokenizer.from_str(_without_special_tokens(path))
        self.end_of_text = self._special("<|endoftext|>")
        self.start_of_transcript = self._special("<|startoftranscript|>")
        self.no_speech = self._find("<|nospeech|>", "<|nocaptions|>")
        self._previous = self._special("<|startofprev|>")
        self._no_timestamps = self._special("<|notimestamps|>")
        self.timestamp_begin = self._no_timestamps + 1
        self._languages: dict[str, int] = {}
        self._tasks: dict[Task, int] = {}
        if is_multilingual:
            self._tasks = {task: self._special(f"<|{task.value}|>") for task in Task}
            for token, number in self._tokenizer.get_vocab().items():
                if match := _LANGUAGE.fullmatch(token):
                    self._languages[match[1]] = number
        self.languages = frozenset(self._languages or {"en"})
        self.tasks = frozenset(self._tasks or {Task.TRANSCRIBE})

    @property
    def names(self) -> dict[int, str]:
        """Each token's name in `tokenizer.json`, by its id."""
        return {number: name for name, number in self._tokenizer.get_vocab().items()}

    def prompt(
        self, language: str, task: Task, timestamps: bool, previous: tuple[int, ...] = ()
    ) -> list[int]:
        """Return the tokens of the prompt, which precede the generated ones.

        Its length depends only on `previous` and `timestamps`, so chunks with the same ones may
        share a batch.
        """
        tokens = [self._previous, *previous] if previous else []
        tokens.append(self.start_of_transcript)
        if self._languages:
            tokens += [self._languages[language], self._tasks[task]]
        return tokens if timestamps else [*tokens, self._no_timestamps]

    def language_of(self, prompt: Sequence[int]) -> str:
        """Return the code of the language in a prompt; that of the model's only one if none is."""
        by_token = {number: language for language, number in self._languages.items()}
        return next((by_token[token] for token in prompt if token in by_token), "en")

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text; what looks like a special token is text like any other."""
        if not text.strip():
            return ()
        return tuple(self._plain.encode(" " + text.strip(), add_special_tokens=False).ids)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of the tokens; special tokens and timestamps are dropped."""
        return self._tokenizer.decode([token for token in tokens if token < self.end_of_text])

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a text token; a character may need those of several."""
        characters = self._tokenizer.id_to_token(token) or ""
        return bytes(_BYTES[character] for character in characters)

    def _find(self, *names: str) -> int | None:
        numbers = (self._tokenizer.token_to_id(name) for name in names)
        return next((int(number) for number in numbers if number is not None), None)

    def _special(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ConfigError(f"model: tokenizer.json has no {token}, so it is not Whisper's")
        return int(number)


def _without_special_tokens(path: Path) -> str:
    """Return a `tokenizer.json` as it would be without its special tokens."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps({**content, "added_tokens": [], "post_processor": None})
