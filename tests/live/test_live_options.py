from __future__ import annotations

import pytest

from fakes import FakeModel, loaded
from live_sessions import open_talk
from talkmill.engine import LiveOptions, TranscribeOptions, VadOptions
from talkmill.engine.live.options import check_live


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (LiveOptions(interim_ms=99), "interim_ms"),
        (LiveOptions(max_utterance_s=31.0), "max_utterance_s"),
        (LiveOptions(max_utterance_s=float("nan")), "max_utterance_s"),
    ],
)
def test_options_out_of_range_are_refused(options: LiveOptions, field: str) -> None:
    with pytest.raises(Exception, match=field):
        open_talk(options)


def test_silence_duration_has_no_effect_where_utterances_are_committed() -> None:
    asked = TranscribeOptions(vad_options=VadOptions(silence_duration_ms=200))
    checked = check_live(loaded(FakeModel()), LiveOptions(asked, is_manual=True), 1)
    assert checked.final.warnings == (
        "silence_duration_ms has no effect: utterances end when they are committed",
    )
    assert checked.given.transcribe.vad_options == VadOptions(silence_duration_ms=30_000)
