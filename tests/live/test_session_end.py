"""What is left of a session that has ended: nothing."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref

import pytest

from fakes import PATIENCE_S
from live_sessions import PAUSE, SAID, SPEECH, talk
from talkmill.engine import Ended, Event, Final, LiveOptions, NotReady, SpeechStarted


@pytest.mark.parametrize("kind", [SpeechStarted, Final, Ended])
def test_an_on_event_that_raises_ends_the_session(kind: type[Event]) -> None:
    one, has_ended = talk(), threading.Event()

    def tell(event: Event) -> None:
        one.events.append(event)
        if isinstance(event, kind):
            raise RuntimeError("a fault of the caller's")

    one.session._on_event, one.session._on_end = tell, has_ended.set
    with contextlib.suppress(NotReady):
        one.say(*SAID)
    if kind is not SpeechStarted:
        one.passes.finals[0].answer("hello")
        one.session.close()
    assert one.session.wait(PATIENCE_S)
    assert has_ended.is_set()
    assert one.kinds[-1] == "Ended"
    with pytest.raises(NotReady):
        one.say(*SAID)


def test_a_session_that_has_ended_is_freed_at_once() -> None:
    one = talk(LiveOptions())
    one.say((SPEECH, 0))
    one.passes.previews[0].answer("hel")
    one.say((SPEECH, PAUSE))
    one.passes.finals[0].answer("hello")
    one.session.close()
    passes = [weakref.ref(each.request) for each in one.passes.all]
    session = weakref.ref(one.session)
    gc.disable()
    try:
        one.passes.all.clear()
        del one
        assert session() is None
        assert [one() for one in passes] == [None] * len(passes)
    finally:
        gc.enable()
