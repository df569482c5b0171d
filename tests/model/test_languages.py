from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkmill.engine import InvalidOption
from talkmill.engine.model.languages import NAMES, find_language, is_multi, is_open, language_name

ALL = frozenset(NAMES)


def find(language: str, known: frozenset[str] = ALL) -> str:
    return find_language(language, known, "language", "base")


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        (" en ", "en"),
        ("English", "en"),
        ("ENGLISH", "en"),
        ("en-US", "en"),
        ("en_gb", "en"),
        ("pt-BR", "pt"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("yue", "yue"),
        ("zh-yue-HK", "yue"),
        ("<|en|>", "en"),
        ("Haitian Creole", "ht"),
        ("Castilian", "es"),
        ("haw", "haw"),
        ("nb-NO", "no"),
        ("jv", "jw"),
        ("fil-PH", "tl"),
        ("iw", "he"),
    ],
)
def test_language_is_found_by_code_tag_token_and_name(language: str, code: str) -> None:
    assert find(language) == code


def test_whisper_has_a_hundred_languages_of_different_names() -> None:
    assert len(NAMES) == len(set(NAMES.values())) == 100
    assert all(name == name.lower() for name in NAMES.values())


@pytest.mark.parametrize("code", NAMES)
def test_each_name_finds_its_code(code: str) -> None:
    assert find(language_name(code)) == code
    assert find(language_name(code).title()) == code


def test_variant_that_the_model_lacks_is_the_language_itself() -> None:
    assert find("zh-yue", frozenset({"zh", "en"})) == "zh"


@pytest.mark.parametrize(
    ("language", "nearest"),
    [
        ("englsh", "en (english)"),
        ("germany", "de (german)"),
        ("Portugese", "pt (portuguese)"),
        ("enn", "en (english)"),
        ("english-ish", "en (english)"),
    ],
)
def test_unknown_language_is_refused_with_the_nearest(language: str, nearest: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        find(language)
    assert refusal.value.field == "language"
    for part in (repr(language), "base", nearest):
        assert part in str(refusal.value)


def test_language_unlike_any_other_is_refused_with_all() -> None:
    with pytest.raises(InvalidOption, match=r"tiny\.en: it has en$"):
        find_language("qqq", {"en"}, "language", "tiny.en")


@pytest.mark.parametrize(
    "language", ["", "-", "<||>", "en--US", "en-", "x" * 10**6, "\x00", "日本"]
)
def test_what_names_no_language_is_refused_in_few_words(language: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        find(language)
    assert len(str(refusal.value)) < 600


@given(st.text(max_size=12))
def test_any_text_is_a_known_language_or_refused(language: str) -> None:
    with suppress(InvalidOption):
        assert find(language) in NAMES


def test_code_without_a_name_is_its_own() -> None:
    assert language_name("xx") == "xx"


@pytest.mark.parametrize(
    ("language", "is_left_open", "is_of_each"),
    [
        (None, True, False),
        ("", True, False),
        ("Auto", True, False),
        ("multi", True, True),
        (" MULTI", True, True),
        ("en", False, False),
        ("multi-en", False, False),
    ],
)
def test_words_that_leave_the_language_open(
    language: str | None, is_left_open: bool, is_of_each: bool
) -> None:
    assert (is_open(language), is_multi(language)) == (is_left_open, is_of_each)
