"""What stands before the start of the transcript: hotwords, the prompt, the text before a chunk.

Hotwords come first, as in faster-whisper, so that what precedes the audio stays next to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .tokenizer import MAX_PREVIOUS_TOKENS, WhisperTokenizer

MAX_TEMPERATURE = 0.5  # text that was drawn at a higher one is no context: openai/whisper's rule


@dataclass(frozen=True)
class PreviousText:
    """Tokens that stand between <|startofprev|> and <|startoftranscript|>; at most 223 in all.

    Attributes:
        hotwords: Words that are likely to occur; they stay before every chunk.
        text: What precedes the audio, or seems to.
    """

    hotwords: tuple[int, ...] = ()
    text: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.hotwords) + len(self.text)

    @property
    def tokens(self) -> tuple[int, ...]:
        """All tokens in their order."""
        return self.hotwords + self.text

    @property
    def num_placed(self) -> int:
        """Number of tokens that it takes of the decoder's positions, <|startofprev|> included."""
        return len(self) + 1 if len(self) else 0

    def followed_by(self, tokens: Sequence[int], temperature: float) -> PreviousText:
        """Return what stands before the next chunk, as openai/whisper has it.

        Args:
            tokens: What was generated for this chunk, timestamps included.
            temperature: Temperature that it was generated at.
        """
        if temperature > MAX_TEMPERATURE:
            return replace(self, text=())
        text = self.text + tuple(tokens)
        return replace(self, text=_last(text, MAX_PREVIOUS_TOKENS - len(self.hotwords)))


NOTHING = PreviousText()


def make_previous(
    tokenizer: WhisperTokenizer, prompt: str, hotwords: Sequence[str]
) -> tuple[PreviousText, tuple[str, ...]]:
    """Return the tokens of a request's prompt and hotwords, and a warning for each that is cut."""
    warnings = []
    prompt = prompt.strip()
    listed = ", ".join(word.strip() for word in hotwords if word.strip())
    first = tokenizer.encode(listed)
    kept = first[:MAX_PREVIOUS_TOKENS]
    if len(kept) < len(first):
        warnings.append(f"hotwords: only the first {len(kept)} of {len(first)} tokens were used")
    room = MAX_PREVIOUS_TOKENS - len(kept)
    text = tokenizer.encode(prompt)
    if len(text) > room:
        warnings.append(f"prompt: only the last {room} of its {len(text)} tokens were used")
    return PreviousText(kept, _last(text, room)), tuple(warnings)


def _last(tokens: tuple[int, ...], room: int) -> tuple[int, ...]:
    return tokens[max(0, len(tokens) - room) :]
