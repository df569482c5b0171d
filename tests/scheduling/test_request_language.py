from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from pending import heard, new_request
from talkmill.engine.scheduling.request_language import RequestLanguage, limited

SURE_GERMAN = (("de", 0.9), ("en", 0.1))
SURE_ENGLISH = (("en", 0.95), ("de", 0.05))


def language(*, is_multi: bool = False, given: str | None = None) -> RequestLanguage:
    return RequestLanguage(replace(new_request(language=given).checked, is_multi=is_multi))


def test_given_language_is_certain_whatever_is_heard() -> None:
    one = language(given="sv")
    one.hear(heard(*SURE_GERMAN))
    assert (one.code, one.is_open) == ("sv", False)
    assert one.probabilities() == (("sv", 1.0),)
    assert one.warnings() == []


def test_first_chunk_with_words_decides() -> None:
    one = language()
    assert one.is_open
    one.hear(heard(*SURE_GERMAN, has_text=False))
    assert (one.code, one.is_open) == (None, True)
    one.hear(heard(*SURE_ENGLISH, index=1))
    one.hear(heard(*SURE_GERMAN, index=2))
    assert (one.code, one.is_open) == ("en", False)
    assert one.probabilities() == SURE_ENGLISH


def test_audio_without_words_has_the_language_of_its_first_chunk() -> None:
    one = language()
    assert one.probabilities() == ()
    one.hear(heard(*SURE_GERMAN, has_text=False))
    one.hear(heard(*SURE_ENGLISH, index=1, has_text=False))
    assert one.probabilities() == SURE_GERMAN
    assert one.warnings() == []


def test_chunk_without_a_detection_says_nothing() -> None:
    one = language()
    one.hear(heard())
    assert (one.code, one.probabilities()) == (None, ())


def test_later_chunks_of_another_language_give_one_warning() -> None:
    one = language()
    one.hear(heard(*SURE_ENGLISH))
    one.hear(heard(*SURE_GERMAN, index=2, start_s=40.25))
    one.hear(heard(*SURE_GERMAN, index=3, start_s=50.0))
    one.hear(heard(*SURE_ENGLISH, index=1))
    (warning,) = one.warnings()
    for part in ("en was detected", "2 of 3", "de at 40.2 s", '"multi"'):
        assert part in warning


def test_doubtful_detections_give_no_warning() -> None:
    one = language()
    one.hear(heard(*SURE_ENGLISH))
    one.hear(heard(("de", 0.79), ("en", 0.21), index=1))
    assert one.warnings() == []


def test_of_many_languages_the_mean_over_the_speech_counts_in_any_order() -> None:
    chunks = [
        heard(*SURE_ENGLISH, num_samples=100),
        heard(*SURE_GERMAN, index=1, num_samples=300),
        heard(*SURE_ENGLISH, index=2, num_samples=10**6, has_text=False),
    ]
    for order in itertools.permutations(chunks):
        one = language(is_multi=True)
        for chunk in order:
            one.hear(chunk)
        (first, probability), (second, rest) = one.probabilities()
        assert (first, second) == ("de", "en")
        assert probability == pytest.approx(0.25 * 0.05 + 0.75 * 0.9)
        assert rest == pytest.approx(1 - probability)
        assert (one.code, one.is_open, one.warnings()) == (None, False, [])


def test_probabilities_are_among_the_languages_that_are_possible() -> None:
    detection = (("en", 0.5), ("de", 0.375), ("sv", 0.125))
    assert limited(detection, ()) == detection
    assert limited(detection, ("sv", "de")) == (("de", 0.75), ("sv", 0.25))
    assert limited((("en", 1.0), ("de", 0.0)), ("de",)) == (("de", 0.0),)
