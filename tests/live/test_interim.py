"""What a session tells of an utterance that goes on."""

from __future__ import annotations

from live_sessions import PAUSE, SPEECH, talk
from talkmill.engine import GenerationParameters, Interim, LiveOptions, TranscribeOptions


def test_a_preview_shows_what_is_said_so_far() -> None:
    one = talk(LiveOptions())
    one.say((SPEECH, 0))
    one.passes.previews[0].answer("hello wor")
    one.say((SPEECH, 0))
    one.passes.previews[1].answer("hello world")
    assert one.of(Interim) == [Interim(0, "", "hello wor"), Interim(0, "hello", "hello world")]


def test_there_is_one_preview_at_a_time() -> None:
    one = talk(LiveOptions())
    for _ in range(5):
        one.say((SPEECH, 0))
    assert len(one.passes.previews) == 1


def test_previews_are_as_far_apart_as_the_options_say() -> None:
    one = talk(LiveOptions(interim_ms=3_000))
    for n in range(9):
        one.say((SPEECH, 0))
        for each in one.passes.previews:
            each.answer(str(n))
    assert len(one.passes.previews) == 3


def test_a_preview_is_given_up_when_its_utterance_is_over() -> None:
    one = talk(LiveOptions())
    one.say((SPEECH, 0))
    one.say((0, PAUSE))
    [preview] = one.passes.previews
    assert preview.request.is_done
    one.passes.finals[0].answer("hello")
    assert one.of(Interim) == []


def test_previews_are_greedy_and_have_no_times() -> None:
    asked = TranscribeOptions(words=True, parameters=GenerationParameters(num_beams=4))
    one = talk(LiveOptions(asked))
    one.say((SPEECH, 0))
    one.say((0, PAUSE))
    [preview], [final] = one.passes.previews, one.passes.finals
    assert (preview.checked.plan.num_rows, final.checked.plan.num_rows) == (1, 4)
    assert (preview.checked.given.words, final.checked.given.words) == (False, True)
