"""Each segment gets the log-probabilities of its own tokens."""

from __future__ import annotations

import pytest

from fakes import demo_tokenizer
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.transcript.logprobs import with_logprobs
from talkmill.engine.transcript.segments import to_segments
from talkmill.engine.types import Span

SPANS = (Span(0, 160_000),)


@pytest.fixture(scope="module")
def tokenizer() -> WhisperTokenizer:
    return demo_tokenizer()


def hypothesis_of(tokens: list[int]) -> Hypothesis:
    """Return an answer whose log-probabilities are the places of its tokens, negative."""
    return Hypothesis(tuple(tokens), -1.0, 0.0, token_logprobs=tuple(range(0, -len(tokens), -1)))


@pytest.mark.parametrize("timestamps", [True, False])
def test_segments_have_their_tokens_without_times(
    tokenizer: WhisperTokenizer, timestamps: bool
) -> None:
    begin = tokenizer.timestamp_begin
    first, second, blank = tokenizer.encode("one two"), tokenizer.encode("three"), (220,)
    assert not tokenizer.decode(blank).strip()
    tokens = [begin, *first, begin + 50, begin + 50, *blank, begin + 60, begin + 60, *second]
    if not timestamps:
        tokens = [token for token in tokens if token < begin]
    hypothesis = hypothesis_of(tokens)
    found = with_logprobs(
        to_segments(tokens, SPANS, tokenizer, timestamps=timestamps), hypothesis, tokenizer
    )
    assert "".join(one.text for segment in found for one in segment.logprobs) == "".join(
        segment.text for segment in found
    )
    places = [[-round(one.logprob) for one in segment.logprobs] for segment in found]
    assert [[tokens[place] for place in own] for own in places] == [
        list(segment.tokens) for segment in found
    ]
    words = [first, second] if timestamps else [(*first, *blank, *second)]
    assert [segment.tokens for segment in found] == words


def test_the_same_words_again_are_those_of_the_second_time(tokenizer: WhisperTokenizer) -> None:
    begin, word = tokenizer.timestamp_begin, tokenizer.encode("one")
    tokens = [begin, *word, begin + 50, begin + 50, *word, begin + 90]
    segments = to_segments(tokens, SPANS, tokenizer, timestamps=True)
    found = with_logprobs(segments, hypothesis_of(tokens), tokenizer)
    assert found[0].logprobs[0].logprob == -1
    assert found[1].logprobs[0].logprob == -(len(word) + 3)


def test_segments_without_log_probabilities_stay_as_they_are(tokenizer: WhisperTokenizer) -> None:
    tokens = tokenizer.encode("one two")
    segments = to_segments(tokens, SPANS, tokenizer, timestamps=False)
    assert with_logprobs(segments, Hypothesis(tokens, -1.0, 0.0), tokenizer) == segments


def test_a_character_of_several_tokens_has_its_bytes_in_them(tokenizer: WhisperTokenizer) -> None:
    tokens = list(tokenizer.encode("\u20ac 5"))
    segments = to_segments(tokens, SPANS, tokenizer, timestamps=False)
    (segment,) = with_logprobs(segments, hypothesis_of(tokens), tokenizer)
    data = b"".join(one.data for one in segment.logprobs)
    assert data.decode() == segment.text == " \u20ac 5"
    assert any("\ufffd" in one.text for one in segment.logprobs)


def test_every_text_token_has_bytes_that_its_text_is_made_of(tokenizer: WhisperTokenizer) -> None:
    for token in range(tokenizer.end_of_text):
        assert tokenizer.token_bytes(token).decode(errors="replace") == tokenizer.decode([token])
