"""Which words of an unfinished utterance will stay: those on which two passes in a row agree.

Source: the "local agreement" of Liu, Spanakis and Niehues, "Low-latency sequence-to-sequence speech
recognition and translation by partial hypothesis selection" (2020).
"""

from __future__ import annotations

import itertools
import re

# Thai, Lao and Khmer, kana, and Chinese characters: words are not separated there.
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_STARTS_ALONE = re.compile(f"[{_UNSPACED}]")
_ENDS_ALONE = re.compile(rf"[\s{_UNSPACED}]$")
_WORDS = re.compile(rf"(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)\s*")


class Agreement:
    """The passes over one utterance. Not thread-safe.

    Words are compared; in languages that do not separate them, characters.
    """

    def __init__(self) -> None:
        """Start without a pass."""
        self._before: list[str] = []  # words of the last pass, with the spaces after them
        self._stable: list[str] = []

    def hear(self, text: str) -> tuple[str, str]:
        """Take the text of a pass over the audio so far; return the stable text and all of it.

        Stable words stay as they are: where a pass contradicts them, its words after as many are
        put behind them.
        """
        words = _WORDS.findall(" ".join(text.split()))
        agreed = _common_prefix(self._before, words)
        num_stable = len(self._stable)
        self._stable += agreed[num_stable:]
        self._before = words
        stable = _joined(self._stable)
        return stable, _joined([*self._stable, *words[len(self._stable) :]])


def _joined(words: list[str]) -> str:
    """Return words as a text; one that was the last of its pass has no space after it."""
    text = ""
    for word in words:
        if text and not _ENDS_ALONE.search(text) and not _STARTS_ALONE.match(word):
            text += " "
        text += word
    return text.rstrip()


def _common_prefix(before: list[str], words: list[str]) -> list[str]:
    """Return the first words that are the same in both, as the second has them."""
    pairs = itertools.takewhile(
        lambda pair: _letters(pair[0]) == _letters(pair[1]), zip(before, words, strict=False)
    )
    return [word for _, word in pairs]


def _letters(word: str) -> str:
    """Return a word without case and punctuation, which change as an utterance goes on."""
    letters = "".join(letter for letter in word.casefold() if letter.isalnum())
    return letters or word.strip()
