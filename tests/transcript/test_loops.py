from __future__ import annotations

import pytest

from talkmill.engine.transcript.loops import find_loop

TIME = 1000  # tokens from here on are timestamps


@pytest.mark.parametrize("rest", [[], [1], [1, 2]])
def test_one_of_the_repeated_words_is_kept_wherever_the_tokens_ran_out(rest: list[int]) -> None:
    loop = find_loop([7, 8, *[1, 2, 3] * 5, *rest], TIME)
    assert loop is not None
    assert (loop.kept, loop.ngram, loop.times) == ((7, 8, 1, 2, 3), (1, 2, 3), 5)


def test_a_loop_that_counts_up_its_times_keeps_the_first_phrase_closed() -> None:
    phrases = [[TIME + 10 * i, 1, 2, TIME + 10 * i + 5] for i in range(6)]
    loop = find_loop([token for phrase in phrases for token in phrase], TIME)
    assert loop is not None
    assert loop.kept == (TIME, 1, 2, TIME + 5)
    assert loop.times == 6


@pytest.mark.parametrize("tokens", [[], [5], [1, 2] * 3, [*[1, 2] * 9, 3]])
def test_what_does_not_end_in_a_repetition_is_no_loop(tokens: list[int]) -> None:
    assert find_loop(tokens, TIME) is None
