from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkmill.engine import Segment
from talkmill.engine.model.alignment import Alignment
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.transcript.words import split_words, with_words
from talkmill.engine.types import Span

LATER = Span(160_000, 320_000)  # 10 to 20 s


def spoken(tokenizer: WhisperTokenizer, *texts: str) -> list[Segment]:
    """Return segments of 2 s each from 10 s on."""
    return [
        Segment(f" {text}", 10.0 + 2 * i, 12.0 + 2 * i, tokenizer.encode(text))
        for i, text in enumerate(texts)
    ]


def pieces(tokenizer: WhisperTokenizer, segments: Sequence[Segment]) -> list[tuple[str, int]]:
    tokens = [token for segment in segments for token in segment.tokens]
    return split_words(tokens, tokenizer, "en")


def aligned(
    tokenizer: WhisperTokenizer, segments: Sequence[Segment], *starts_s: float
) -> Alignment:
    """Return an alignment whose words (punctuation is one) begin at these times; the last ends."""
    starts: list[int] = []
    for (_, count), (start_s, end_s) in zip(
        pieces(tokenizer, segments), itertools.pairwise(starts_s), strict=True
    ):
        starts += [round((start_s + i * (end_s - start_s) / count) / 0.02) for i in range(count)]
    starts.append(round(starts_s[-1] / 0.02))
    return Alignment(tuple(starts), (0.5,) * (len(starts) - 1))


def words(
    tokenizer: WhisperTokenizer, segments: Sequence[Segment], *starts_s: float
) -> list[list[tuple[str, float, float]]]:
    """Return the words of each segment; `starts_s` is that of `aligned`."""
    alignment = aligned(tokenizer, segments, *starts_s)
    found = with_words(segments, alignment, LATER, tokenizer, "en")
    assert [one.text for one in found] == [one.text for one in segments]
    assert [(one.start_s, one.end_s) for one in found] == [
        (one.start_s, one.end_s) for one in segments
    ]
    return [
        [(word.text, round(word.start_s, 2), round(word.end_s, 2)) for word in one.words]
        for one in found
    ]


def test_words_begin_with_a_space_and_marks_after_them_stand_alone(
    tokenizer: WhisperTokenizer,
) -> None:
    text = "one seven, two's five."
    found = split_words(tokenizer.encode(text), tokenizer, "en")

    assert [one for one, _ in found] == [" one", " seven", ",", " two's", " five", "."]


@pytest.mark.parametrize("language", ["zh", "ja", "th", "lo", "my", "yue"])
def test_without_spaces_each_character_is_a_word(
    tokenizer: WhisperTokenizer, language: str
) -> None:
    tokens = tokenizer.encode("漢字é")
    assert len(tokens) > 4  # several for a character

    found = split_words(tokens, tokenizer, language)

    assert "".join(text for text, _ in found).strip() == "漢字é"
    assert {"漢", "字", "é"} <= {text.strip() for text, _ in found}
    assert sum(count for _, count in found) == len(tokens)


@given(data=st.data())
@settings(deadline=None)
def test_words_hold_every_token_once(data: st.DataObject, tokenizer: WhisperTokenizer) -> None:
    tokens = data.draw(st.lists(st.integers(0, tokenizer.end_of_text - 1), max_size=30))
    language = data.draw(st.sampled_from(["en", "ja"]))

    found = split_words(tokens, tokenizer, language)

    assert sum(count for _, count in found) == len(tokens)
    assert all(count > 0 for _, count in found)


def test_words_have_their_times_in_the_utterance(tokenizer: WhisperTokenizer) -> None:
    segments = spoken(tokenizer, "one two", "six")

    assert words(tokenizer, segments, 0.2, 0.6, 1.8, 2.5) == [
        [(" one", 10.2, 10.6), (" two", 10.6, 11.8)],
        [(" six", 11.8, 12.5)],
    ]


def test_marks_join_their_word_and_leave_its_times(tokenizer: WhisperTokenizer) -> None:
    segments = spoken(tokenizer, 'one "two" three.')

    assert words(tokenizer, segments, 0.0, 0.4, 0.5, 0.9, 1.0, 1.4, 1.6) == [
        [(" one", 10.0, 10.4), (' "two"', 10.5, 10.9), (" three.", 11.0, 11.4)]
    ]


def test_a_pause_after_a_sentence_is_in_neither_word(tokenizer: WhisperTokenizer) -> None:
    segments = spoken(tokenizer, "one two. six seven")

    # The full stop takes 0.4 s; the word after it is long by the pause.
    assert words(tokenizer, segments, 0.0, 0.4, 0.8, 1.2, 4.0, 4.4) == [
        [(" one", 10.0, 10.4), (" two.", 10.4, 10.8), (" six", 13.2, 14.0), (" seven", 14.0, 14.4)]
    ]


def test_the_first_word_after_a_pause_is_shortened(tokenizer: WhisperTokenizer) -> None:
    segments = spoken(tokenizer, "one two", "six seven")

    (_, (six, seven)) = words(tokenizer, segments, 0.0, 0.4, 0.8, 5.0, 5.4)

    assert six == (" six", 14.2, 15.0)
    assert seven == (" seven", 15.0, 15.4)


def test_a_last_word_that_is_far_too_long_ends_with_its_segment(
    tokenizer: WhisperTokenizer,
) -> None:
    segments = spoken(tokenizer, "one two")

    assert words(tokenizer, segments, 0.0, 0.4, 9.0) == [
        [(" one", 10.0, 10.4), (" two", 10.4, 12.0)]
    ]


def test_words_beside_detected_silence_begin_and_end_at_its_edge(
    tokenizer: WhisperTokenizer,
) -> None:
    segments = spoken(tokenizer, "one two")
    alignment = aligned(tokenizer, segments, 0.0, 0.5, 0.9)
    speech = [Span(163_200, 176_000)]  # 10.2 to 11 s

    (found,) = with_words(segments, alignment, LATER, tokenizer, "en", speech)

    assert [(word.start_s, word.end_s) for word in found.words] == [(10.2, 10.5), (10.5, 11.0)]


def test_a_word_in_the_silence_before_speech_is_moved_to_it(tokenizer: WhisperTokenizer) -> None:
    segments = spoken(tokenizer, "one", "two")
    alignment = aligned(tokenizer, segments, 0.0, 1.6, 1.9)
    speech = [Span(160_000, 176_000), Span(195_200, 201_600)]  # 10 to 11 s, 12.2 to 12.6 s

    (_, found) = with_words(segments, alignment, LATER, tokenizer, "en", speech)

    assert [(word.start_s, word.end_s) for word in found.words] == [(12.2, 12.6)]


def test_a_word_is_not_stretched_over_speech_that_has_no_text(tokenizer: WhisperTokenizer) -> None:
    segments = spoken(tokenizer, "one two")
    alignment = aligned(tokenizer, segments, 0.0, 0.5, 0.9)

    (found,) = with_words(segments, alignment, LATER, tokenizer, "en", [LATER])

    assert found.words[-1].end_s == 10.9


@given(data=st.data())
@settings(deadline=None)
def test_whatever_the_alignment_words_are_in_order_inside_the_chunk(
    data: st.DataObject, tokenizer: WhisperTokenizer
) -> None:
    texts = data.draw(
        st.lists(
            st.sampled_from(["one", "two, three.", "漢字 (a)", '"x" - y!']), min_size=1, max_size=5
        )
    )
    times_s = st.floats(0.0, 30.0)
    segments = [
        Segment(
            f" {text}", data.draw(times_s), data.draw(st.none() | times_s), tokenizer.encode(text)
        )
        for text in texts
    ]
    count = sum(len(segment.tokens) for segment in segments)
    starts = sorted(
        data.draw(st.lists(st.integers(0, 1500), min_size=count + 1, max_size=count + 1))
    )
    alignment = Alignment(tuple(starts), (0.5,) * count)
    language = data.draw(st.sampled_from(["en", "ja"]))

    found = with_words(segments, alignment, LATER, tokenizer, language)

    said = [word for segment in found for word in segment.words]
    times = [time for word in said for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert all(10.0 <= time <= 20.0 for time in times)
    assert all(word.probability == pytest.approx(0.5) for word in said)
    assert "".join(word.text for word in said) == "".join(
        tokenizer.decode(segment.tokens) for segment in segments
    )
