from __future__ import annotations

import pytest

from talkmill.engine.model.previous_text import PreviousText, make_previous
from talkmill.engine.model.tokenizer import MAX_PREVIOUS_TOKENS, WhisperTokenizer

LONG = "call emma at seven " * 100


def test_hotwords_stand_before_the_prompt(tokenizer: WhisperTokenizer) -> None:
    previous, warnings = make_previous(tokenizer, "call emma", ["talkmill", " ", "Zürich "])
    assert tokenizer.decode(previous.hotwords) == " talkmill, Zürich"
    assert tokenizer.decode(previous.tokens) == " talkmill, Zürich call emma"
    assert warnings == ()


@pytest.mark.parametrize(
    ("prompt", "hotwords"), [("", []), (" ", []), ("", ["", "\t"])], ids=["none", "blank", "words"]
)
def test_nothing_takes_no_place(
    tokenizer: WhisperTokenizer, prompt: str, hotwords: list[str]
) -> None:
    previous, warnings = make_previous(tokenizer, prompt, hotwords)
    assert (len(previous), previous.num_placed, warnings) == (0, 0, ())


def test_last_words_of_a_long_prompt_are_kept(tokenizer: WhisperTokenizer) -> None:
    previous, warnings = make_previous(tokenizer, LONG, [])
    tokens = tokenizer.encode(LONG)
    assert previous.text == tokens[-MAX_PREVIOUS_TOKENS:]
    assert previous.num_placed == 224
    assert warnings == (f"prompt: only the last 223 of its {len(tokens)} tokens were used",)


def test_first_hotwords_are_kept_and_leave_the_prompt_the_rest(tokenizer: WhisperTokenizer) -> None:
    words = ["emma"] * 60
    listed = tokenizer.encode(", ".join(words))
    assert len(listed) < MAX_PREVIOUS_TOKENS
    previous, warnings = make_previous(tokenizer, LONG, words)
    assert previous.hotwords == listed
    assert previous.text == tokenizer.encode(LONG)[-(MAX_PREVIOUS_TOKENS - len(listed)) :]
    assert len(warnings) == 1
    previous, warnings = make_previous(tokenizer, "call emma", ["emma"] * 500)
    assert (len(previous.hotwords), previous.text) == (MAX_PREVIOUS_TOKENS, ())
    assert [warning.split(":")[0] for warning in warnings] == ["hotwords", "prompt"]


def test_text_of_a_chunk_stands_before_the_next() -> None:
    previous = PreviousText((1, 2), (3, 4)).followed_by([5, 6], 0.0)
    assert previous == PreviousText((1, 2), (3, 4, 5, 6))


def test_oldest_text_makes_room_and_hotwords_stay() -> None:
    previous = PreviousText((1, 2), (3,) * 200)
    for _ in range(3):
        previous = previous.followed_by([4] * 100, 0.0)
    assert previous.hotwords == (1, 2)
    assert len(previous) == MAX_PREVIOUS_TOKENS
    assert previous.text == (4,) * 221


def test_text_is_forgotten_after_a_temperature_above_one_half() -> None:
    previous = PreviousText((1, 2), (3, 4))
    assert previous.followed_by([5], 0.5) == PreviousText((1, 2), (3, 4, 5))
    assert previous.followed_by([5], 0.6) == PreviousText((1, 2), ())
