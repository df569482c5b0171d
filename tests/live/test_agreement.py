from __future__ import annotations

import pytest

from talkmill.engine.live.agreement import Agreement


def test_one_pass_alone_makes_no_word_stable() -> None:
    assert Agreement().hear("ask not what") == ("", "ask not what")


def test_words_on_which_two_passes_agree_are_stable() -> None:
    agreement = Agreement()
    agreement.hear("ask not what")
    assert agreement.hear("ask not why your") == ("ask not", "ask not why your")


def test_a_pass_before_the_last_one_does_not_count() -> None:
    agreement = Agreement()
    for text in ("one two", "three", "one two"):
        stable, _ = agreement.hear(text)
    assert stable == ""


@pytest.mark.parametrize(("before", "after"), [("Ask, not", "ask not."), ("it's", "its")])
def test_case_and_punctuation_are_no_difference(before: str, after: str) -> None:
    agreement = Agreement()
    agreement.hear(before)
    assert agreement.hear(after) == (after, after)


def test_punctuation_alone_is_compared_as_it_is() -> None:
    agreement = Agreement()
    agreement.hear("- a")
    assert agreement.hear("... a") == ("", "... a")


def test_stable_words_stay_where_a_later_pass_contradicts_them() -> None:
    agreement = Agreement()
    agreement.hear("two words here")
    agreement.hear("two words there")
    assert agreement.hear("to words there and") == ("two words", "two words there and")


def test_words_are_put_apart_where_one_was_the_last_of_its_pass() -> None:
    agreement = Agreement()
    agreement.hear("in the")
    agreement.hear("in the")
    assert agreement.hear("in the garage") == ("in the", "in the garage")
    assert agreement.hear("on a garage") == ("in the", "in the garage")


def test_characters_are_compared_where_words_are_not_put_apart() -> None:
    agreement = Agreement()
    agreement.hear("今日はとて")
    assert agreement.hear("今日はとても") == ("今日はとて", "今日はとても")
    assert agreement.hear("今日はとても OK です") == ("今日はとても", "今日はとても OK です")


def test_a_shorter_pass_takes_no_stable_word_away() -> None:
    agreement = Agreement()
    agreement.hear("one two three")
    agreement.hear("one two three")
    assert agreement.hear("one") == ("one two three", "one two three")
