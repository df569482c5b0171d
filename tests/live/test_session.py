from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fakes import PATIENCE_S, tokenizer_file
from live_sessions import SAID, SPEECH, Talk, open_talk, talk
from talkmill.engine import (
    AudioTooLong,
    Ended,
    Failed,
    Final,
    GenerationParameters,
    LiveOptions,
    ModelError,
    NotReady,
    TranscribeOptions,
)
from talkmill.engine.live.session import MAX_WAITING
from talkmill.engine.model.tokenizer import WhisperTokenizer
from waiting import wait_until


def finals(one: Talk) -> list[tuple[int, str]]:
    return [(event.utterance, event.transcript.text) for event in one.of(Final)]  # type: ignore[union-attr]


def test_an_utterance_is_told_from_its_start_to_its_words() -> None:
    one = talk()
    one.say(*SAID)
    one.passes.finals[0].answer("hello")
    assert one.kinds == ["SpeechStarted", "SpeechStopped", "Final"]
    assert finals(one) == [(0, "hello")]


def test_answers_are_given_in_the_order_of_the_speech() -> None:
    one = talk()
    one.say(*SAID, *SAID)
    first, second = one.passes.finals
    second.answer("second")
    assert finals(one) == []
    first.answer("first")
    assert finals(one) == [(0, "first"), (1, "second")]


def test_close_answers_what_was_said_and_the_last_event_says_why() -> None:
    one = talk()
    one.say((SPEECH, 0))
    one.session.close("enough")
    assert not one.session.has_ended
    one.passes.finals[0].answer("hello")
    assert one.kinds == ["SpeechStarted", "SpeechStopped", "Final", "Ended"]
    assert one.events[-1] == Ended("enough")


def test_a_session_without_speech_ends_at_once_and_no_model_is_asked() -> None:
    one = talk()
    one.say((0, 1000))
    one.session.close()
    assert one.events == [Ended("the audio has ended")]
    assert one.passes.all == []


def test_a_closed_session_takes_no_more_audio() -> None:
    one = talk()
    one.session.close("enough")
    with pytest.raises(NotReady, match="enough"):
        one.say(*SAID)
    with pytest.raises(NotReady, match="enough"):
        one.session.commit()


def test_an_utterance_that_fails_does_not_end_the_session() -> None:
    one = talk()
    one.say(*SAID, *SAID)
    first, second = one.passes.finals
    first.request.fail(ModelError("broken"))
    second.answer("second")
    [failed] = one.of(Failed)
    assert isinstance(failed, Failed)
    assert (failed.utterance, str(failed.error)) == (0, "broken")
    assert finals(one) == [(1, "second")]


def test_an_engine_that_is_closed_ends_the_session_with_its_error() -> None:
    one = talk()
    one.say(*SAID, *SAID)
    one.passes.finals[0].request.fail(NotReady("the engine is not ready: closed"))
    assert one.kinds[-3:] == ["Failed", "Failed", "Ended"]
    assert one.passes.finals[1].request.is_done
    assert isinstance(one.events[-1], Ended)
    assert isinstance(one.events[-1].error, NotReady)


def test_cancel_ends_at_once_and_no_pass_is_wanted_any_more() -> None:
    one = talk()
    one.say(*SAID, (SPEECH, 0))
    one.session.cancel()
    assert one.session.has_ended
    assert all(each.request.is_done for each in one.passes.all)
    assert finals(one) == []


def test_cancel_starts_no_utterance_that_waits_for_another(swedish: WhisperTokenizer) -> None:
    one = open_talk(LiveOptions(interim=False), tokenizer=swedish)
    one.say(*SAID, *SAID)
    one.session.cancel()
    assert len(one.passes.all) == 1
    assert one.kinds[-1] == "Ended"


def test_too_much_audio_ends_the_session() -> None:
    one = talk(max_audio_s=2.0)
    one.say(*SAID)
    with pytest.raises(AudioTooLong, match="limit of 2 s"):
        one.say(*SAID)
    one.passes.finals[0].answer("hello")
    assert one.kinds[-2:] == ["Final", "Ended"]
    assert isinstance(one.events[-1], Ended)
    assert isinstance(one.events[-1].error, AudioTooLong)


def test_who_is_faster_than_the_model_waits_for_it() -> None:
    one = talk()
    one.say(*SAID * MAX_WAITING)
    assert one.session.is_full
    has_fed = threading.Event()

    def feed() -> None:
        one.say(*SAID)
        has_fed.set()

    thread = threading.Thread(target=feed)
    thread.start()
    assert not has_fed.wait(0.05)
    one.passes.finals[0].answer("first")
    assert has_fed.wait(PATIENCE_S)
    thread.join()
    assert len(one.passes.finals) == MAX_WAITING + 1


def test_one_call_with_much_audio_waits_as_many_calls_do() -> None:
    one = talk()
    has_fed = threading.Event()

    def feed() -> None:
        one.say(*SAID * 3 * MAX_WAITING)
        has_fed.set()

    thread = threading.Thread(target=feed)
    thread.start()
    wait_until(lambda: one.session.is_full)
    assert len(one.passes.finals) <= MAX_WAITING + 1
    answered = 0
    while not has_fed.wait(0.01):
        for each in one.passes.finals[answered:]:
            each.answer("hello")
            answered += 1
    thread.join(PATIENCE_S)
    assert len(one.passes.finals) == 3 * MAX_WAITING


def test_close_wakes_who_waits_for_the_model() -> None:
    one = talk()
    one.say(*SAID * MAX_WAITING)
    errors: list[BaseException] = []

    def feed() -> None:
        try:
            one.say(*SAID)
        except NotReady as error:
            errors.append(error)

    thread = threading.Thread(target=feed)
    thread.start()
    one.session.close("draining")
    thread.join(PATIENCE_S)
    assert [str(error) for error in errors] == ["the session takes no more audio: draining"]


def test_commit_ends_the_utterance_and_tells_its_number() -> None:
    one = talk()
    one.say(*SAID, (SPEECH, 0))
    assert one.session.commit() == 1
    assert len(one.passes.finals) == 2
    assert one.session.commit() is None


def test_manual_utterances_end_at_commit_only() -> None:
    one = talk(LiveOptions(interim=False, is_manual=True))
    one.say(*SAID, *SAID)
    assert one.passes.finals == []
    assert one.session.commit() == 0
    assert len(one.passes.finals) == 1


def test_cleared_speech_is_not_transcribed() -> None:
    one = talk()
    one.say((SPEECH, 0))
    one.session.clear()
    one.say(*SAID)
    one.passes.finals[0].answer("hello")
    assert len(one.passes.finals) == 1
    assert finals(one) == [(1, "hello")]


@pytest.fixture
def swedish(tmp_path: Path) -> WhisperTokenizer:
    """A vocabulary of two languages."""
    return WhisperTokenizer(tokenizer_file(tmp_path, languages=("sv",)), is_multilingual=True)


def test_the_language_of_the_first_words_is_that_of_the_session(swedish: WhisperTokenizer) -> None:
    one = open_talk(LiveOptions(interim=False), tokenizer=swedish)
    one.say(*SAID, *SAID, *SAID)
    assert [each.checked.language for each in one.passes.finals] == [None]
    one.passes.finals[0].answer("", "sv")
    assert [each.checked.language for each in one.passes.finals] == [None, None]
    one.passes.finals[1].answer("hej", "sv")
    assert [each.checked.language for each in one.passes.finals] == [None, None, "sv"]


def test_a_language_for_each_utterance_is_never_fixed(swedish: WhisperTokenizer) -> None:
    options = LiveOptions(TranscribeOptions(language="multi"), interim=False)
    one = open_talk(options, tokenizer=swedish)
    one.say(*SAID, *SAID)
    assert len(one.passes.finals) == 2
    for each in one.passes.finals:
        each.answer("hej", "sv")
    one.say(*SAID)
    assert one.passes.finals[2].checked.language is None


def test_an_utterance_that_needs_the_words_before_it_waits_for_them() -> None:
    parameters = GenerationParameters(condition_on_prev_tokens=True)
    one = talk(LiveOptions(TranscribeOptions(parameters=parameters), interim=False))
    one.say(*SAID, *SAID)
    assert len(one.passes.finals) == 1
    one.passes.finals[0].answer("first")
    assert len(one.passes.finals) == 2


def test_a_session_as_a_context_waits_for_its_last_event() -> None:
    one = talk()

    def answer() -> None:
        wait_until(lambda: bool(one.passes.finals))
        one.passes.finals[0].answer("hello")

    thread = threading.Thread(target=answer)
    thread.start()
    with one.session:
        one.say((SPEECH, 0))
    thread.join()
    assert one.session.has_ended
    assert finals(one) == [(0, "hello")]
