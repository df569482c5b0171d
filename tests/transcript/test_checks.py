from __future__ import annotations

import math

import pytest

from talkmill.engine import Segment
from talkmill.engine.decoding.gates import Gates
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.transcript.checks import (
    compression_ratio,
    gate_failure,
    is_silence,
    is_unwritten,
    max_tokens,
    num_written,
    suspicion,
    unspoken,
    written_until,
)
from talkmill.engine.transcript.loops import ngram_size
from talkmill.engine.types import Span

TIME = 1000  # tokens from here on are timestamps
WORDS = "the quick brown fox jumps over the lazy dog"


def reason(
    tokens: list[int] | None = None,
    text: str = WORDS,
    *,
    avg_logprob: float = -0.3,
    audio_s: float = 5.0,
    speech_s: float = 4.0,
) -> str:
    tokens = list(range(20)) if tokens is None else tokens
    hypothesis = Hypothesis(tuple(tokens), avg_logprob, 0.0)
    return suspicion(hypothesis, text, audio_s, speech_s, TIME)


def test_plain_answer_is_not_suspect() -> None:
    assert reason() == ""


def test_answer_as_long_as_a_loop_is_suspect() -> None:
    most = max_tokens(5.0)
    assert reason(list(range(most - 1))) == ""
    assert "tokens for 5.0 s of audio" in reason(list(range(most)))


def test_more_audio_may_have_more_tokens() -> None:
    assert max_tokens(10.0) > max_tokens(1.0) >= 40


def test_text_that_repeats_itself_is_suspect() -> None:
    assert "compression ratio" in reason(text="and then again " * 20)


def test_improbable_answer_is_suspect() -> None:
    assert reason(avg_logprob=-0.99) == ""
    assert "log-probability" in reason(avg_logprob=-1.01)
    assert "log-probability" in reason(avg_logprob=-math.inf)


def test_few_words_for_much_speech_are_suspect_and_times_are_no_words() -> None:
    assert reason([1, 2, 3], speech_s=2.9) == ""
    assert reason([1, 2, 3, 4], speech_s=4.0) == ""
    assert "tokens for 4.0 s of speech" in reason([1, 2, 3], speech_s=4.0)
    assert "3 tokens for 4.0 s of speech" in reason([TIME, 1, 2, 3, TIME + 1], speech_s=4.0)


def test_unknown_speech_needs_no_words() -> None:
    assert reason([], "", speech_s=0.0) == ""


@pytest.mark.parametrize("ngram", [[7], [7, 8], [1, 2, 3, 4, 5]])
def test_loop_at_the_end_is_found_from_four_times_on(ngram: list[int]) -> None:
    start = [100, 101, 102]
    assert not ngram_size(start + 3 * ngram)
    assert ngram_size(start + 4 * ngram)
    assert "repeats itself" in reason(start + 4 * ngram)


def test_nothing_is_no_loop() -> None:
    assert not ngram_size([])
    assert compression_ratio("  ") == 0.0


def test_chunk_is_written_up_to_its_last_time() -> None:
    span = Span(16_000, 16_000 * 11)
    segments = [Segment(" a", 1.5, 2.0), Segment(" b", 2.0, 4.5)]
    assert written_until(segments, span, timestamps=True) == 72_000
    assert written_until(segments, span, timestamps=False) == span.end
    assert written_until([], span, timestamps=True) == span.start


def test_segment_that_the_model_did_not_close_lasts_to_the_end() -> None:
    span = Span(0, 160_000)
    assert written_until([Segment(" a", 1.5, None)], span, timestamps=True) == span.end


def test_speech_long_after_the_last_time_is_unwritten() -> None:
    speech = (Span(0, 16_000), Span(32_000, 80_000))
    assert not is_unwritten(56_000, speech)  # 1.5 s
    assert is_unwritten(55_999, speech)
    assert not is_unwritten(0, ())


def test_written_speech_is_what_lies_before_the_last_time() -> None:
    speech = (Span(10, 20), Span(30, 50))
    assert [num_written(until, speech) for until in (0, 15, 25, 40, 60)] == [0, 5, 10, 20, 30]


GATES = Gates(logprob=-1.0, no_speech=0.6, compression_ratio=2.4)


def silence(logprob: float, prob: float, speech_s: float, *, is_doubtful: bool = False) -> bool:
    answer = Hypothesis((1,), logprob, prob)
    return is_silence(answer, GATES, speech_s, is_doubtful=is_doubtful)


def test_silence_is_what_is_improbable_and_probably_no_speech() -> None:
    assert silence(-1.01, 0.61, 0.0)
    assert not silence(-0.99, 0.99, 5.0)
    assert not silence(-1.01, 0.59, 5.0)


def test_where_another_answer_may_say_more_only_sure_silence_counts() -> None:
    assert not silence(-1.01, 0.69, 5.0, is_doubtful=True)
    assert silence(-1.01, 0.71, 5.0, is_doubtful=True)


def test_a_moment_that_is_surely_no_speech_is_silence_however_probable_its_text() -> None:
    assert silence(-0.1, 0.71, 0.4)
    assert not silence(-0.1, 0.69, 0.4)
    assert not silence(-0.1, 0.71, 0.6)
    assert not silence(-0.1, 0.71, 0.0), "the length of its speech is not known"


def test_without_a_threshold_nothing_is_silence() -> None:
    assert not is_silence(Hypothesis((1,), -9.0, 1.0), Gates(logprob=-1.0), 0.1, is_doubtful=False)


def test_the_ratio_is_of_the_text_or_of_hf_s_tokens() -> None:
    answer = Hypothesis((1, 2, 3) * 30, -0.1, 0.0)
    assert "over 2.4" in gate_failure(answer, "one two three" * 30, GATES, 30.0)
    assert gate_failure(answer, WORDS, GATES, 30.0) == ""
    by_tokens = Gates(token_compression_ratio=1.35)
    assert "over 1.35" in gate_failure(answer, WORDS, by_tokens, 30.0)
    assert gate_failure(Hypothesis(tuple(range(30)), 0.0, 0.0), "a" * 99, by_tokens, 30.0) == ""


def test_text_far_from_detected_speech_is_unspoken() -> None:
    speech = (Span(16_000, 32_000),)  # 1 to 2 s
    near, far = Segment(" a", 2.4, 3.0), Segment(" b", 2.6, 3.0)
    open_end = Segment(" c", 9.0, None)
    assert unspoken([near, far, open_end], speech) == [far, open_end]
    assert unspoken([far], ()) == []
