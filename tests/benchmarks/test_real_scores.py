"""That errors on real speech are counted as they are defined: on cases small enough to count."""

from __future__ import annotations

import pytest

from benchmarks.real_scores import WordCounts, count_errors, normal_words, start_errors_s
from benchmarks.real_speech import Utterance

FOX = Utterance("the quick brown fox jumps over the lazy dog", 0.5)
PRESS = Utterance("Printing, in the only sense with which we are concerned", 6.0)


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("One small step for man.", WordCounts(5, 0, 0, 0)),
        ("one small stop for man", WordCounts(5, substitutions=1)),
        ("one step for man", WordCounts(5, deletions=1)),
        ("one small step for a man", WordCounts(5, insertions=1)),
        ("won small step for for", WordCounts(5, substitutions=2)),
        ("won small step for for man", WordCounts(5, substitutions=1, insertions=1)),
    ],
)
def test_substituted_deleted_and_inserted_words_are_counted(
    hypothesis: str, expected: WordCounts
) -> None:
    assert count_errors("One small step for man", hypothesis) == expected


def test_spelling_case_numbers_and_punctuation_are_no_errors() -> None:
    counts = count_errors("it's Mr. Smith's colour, twenty one", "It is mister Smith's color: 21!")

    assert counts.wer == 0
    assert counts.words == len(normal_words("it is mister Smith's color 21"))


@pytest.mark.parametrize(
    ("hypothesis", "deletions", "lost"),
    [
        ("the quick brown fox jumps over the lazy dog", 0, 0),
        ("the quick brown fox lazy dog", 3, 0),
        ("the quick brown fox dog", 4, 4),
        ("the dog", 7, 7),
        ("the brown fox over lazy dog", 3, 0),  # as many, but one at a time
        ("", 9, 9),
    ],
)
def test_runs_of_four_and_more_deleted_words_are_lost(
    hypothesis: str, deletions: int, lost: int
) -> None:
    counts = count_errors(FOX.text, hypothesis)

    assert (counts.deletions, counts.lost, counts.words) == (deletions, lost, 9)


def test_two_short_runs_are_not_one_long_run() -> None:
    counts = count_errors("red a b c green d e f blue", "red green blue")

    assert (counts.deletions, counts.lost) == (6, 0)


def test_counts_of_files_add_up_and_errors_are_per_word_of_the_reference() -> None:
    total = WordCounts(10, 1, 4, 2, 4) + WordCounts(30, 0, 1, 0, 0)

    assert total == WordCounts(40, 1, 5, 2, 4)
    assert total.wer == pytest.approx(8 / 40)


def test_what_is_heard_where_nothing_is_said_is_inserted() -> None:
    assert count_errors("", "thank you") == WordCounts(insertions=2)
    assert count_errors("(coughs)", "") == WordCounts()


def test_a_segment_that_begins_with_an_utterance_is_compared_with_its_start() -> None:
    segments = [
        (0.75, " The quick brown fox jumps over the lazy dog."),
        (5.5, " Printing in the only sense"),
        (8.0, " with which we are concerned."),  # in the middle: its true start is unknown
    ]

    assert start_errors_s([FOX, PRESS], segments) == pytest.approx([0.25, -0.5])


def test_an_utterance_in_the_middle_of_a_segment_has_no_start() -> None:
    assert start_errors_s([FOX, PRESS], [(0.5, f"{FOX.text}. {PRESS.text}.")]) == [0.0]


def test_a_lost_utterance_does_not_shift_the_others() -> None:
    assert start_errors_s([FOX, PRESS], [(6.5, PRESS.text)]) == [0.5]


def test_one_misheard_word_at_the_start_of_an_utterance_does_not_hide_its_start() -> None:
    assert start_errors_s([FOX], [(1.5, "a quick brown fox jumps over the lazy dog")]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "quick brown fox jumps over the lazy dog",  # the first word is missing
        "so the quick brown fox jumps over the lazy dog",  # begins with a word not spoken there
        "a swift brown fox jumps over the lazy dog",  # most of its first words are others
    ],
)
def test_a_segment_that_begins_otherwise_is_not_compared(text: str) -> None:
    assert start_errors_s([FOX], [(1.5, text)]) == []


def test_empty_segments_and_unknown_starts_are_not_compared() -> None:
    unknown = Utterance("good morning everybody")
    segments = [(0.0, " ... "), (0.5, FOX.text), (4.0, ""), (9.0, unknown.text)]

    assert start_errors_s([FOX, unknown], segments) == [0.0]


def test_an_utterance_of_one_word_has_a_start() -> None:
    segments = [(0.0, FOX.text), (7.0, "Six!")]

    assert start_errors_s([FOX, Utterance("six", 6.8)], segments) == pytest.approx([-0.5, 0.2])


def test_without_segments_there_are_no_starts() -> None:
    assert start_errors_s([FOX], []) == []
