from __future__ import annotations

import numpy as np
import pytest

from live_sessions import blocks
from planned_audio import Plan, audio_of, detector, split
from talkmill.engine import SpeechStarted, VadOptions
from talkmill.engine.audio.cuts import BEFORE_SAMPLES
from talkmill.engine.audio.features import CHUNK_SAMPLES
from talkmill.engine.audio.silero import WINDOW_SAMPLES
from talkmill.engine.live.utterances import Utterance, Utterances
from talkmill.engine.types import Samples

OPTIONS = VadOptions(silence_duration_ms=500)
WINDOW_S = WINDOW_SAMPLES / 16_000
TALK: Plan = [(30, 20), (10, 5), (40, 30), (3, 16), (500, 2), (700, 1), (20, 40)]


def new() -> Utterances:
    return Utterances(CHUNK_SAMPLES, OPTIONS, detector)


def complete(changes: list[SpeechStarted | Utterance]) -> list[Utterance]:
    return [one for one in changes if isinstance(one, Utterance)]


@pytest.mark.parametrize("size", [160, 1_600, 24_000, 10**9])
def test_utterances_are_the_chunks_of_a_file_whatever_the_sizes_of_the_blocks(size: int) -> None:
    audio = audio_of(TALK)
    utterances = new()
    found = [one for block in blocks(audio, size) for one in complete(utterances.feed(block))]
    found += complete(utterances.commit())
    expected, _ = split(audio, options=OPTIONS)
    assert [one.chunk.spans for one in found] == [chunk.spans for chunk in expected]
    assert [one.chunk.speech for one in found] == [chunk.speech for chunk in expected]
    for one, chunk in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.chunk.samples, chunk.samples)
    assert [one.number for one in found] == list(range(len(found)))


@pytest.mark.parametrize("size", [160, 10**9])
def test_each_utterance_begins_once_and_before_it_is_complete(size: int) -> None:
    utterances = new()
    changes = [one for block in blocks(audio_of(TALK), size) for one in utterances.feed(block)]
    changes += utterances.commit()
    numbers = [(one.utterance if isinstance(one, SpeechStarted) else one.number) for one in changes]
    assert numbers == [n for number in range(len(changes) // 2) for n in (number, number)]
    starts = [one.start_s for one in changes if isinstance(one, SpeechStarted)]
    assert starts == [one.start_s for one in complete(changes)]


def test_a_sound_too_short_for_speech_begins_no_utterance() -> None:
    assert new().feed(audio_of([(2, 60)])) == []


def test_what_goes_on_is_pending_with_the_audio_before_it() -> None:
    utterances = new()
    utterances.feed(audio_of([(0, 50), (20, 4)]))
    pending = utterances.pending
    assert pending is not None
    assert pending.speech[0].start == 50 * WINDOW_SAMPLES
    assert pending.spans[0].start == pending.speech[0].start - 6400
    assert pending.spans[0].end == 74 * WINDOW_SAMPLES
    assert len(pending.samples) == pending.spans[0].end - pending.spans[0].start


def test_nothing_is_pending_in_silence() -> None:
    utterances = new()
    utterances.feed(audio_of([(20, 30)]))
    assert utterances.pending is None


def test_commit_ends_an_utterance_and_times_go_on() -> None:
    utterances = new()
    utterances.feed(audio_of([(20, 1)]))
    [first] = complete(utterances.commit())
    [second] = complete([*utterances.feed(audio_of([(0, 30), (20, 1)])), *utterances.commit()])
    assert (first.number, second.number) == (0, 1)
    assert second.start_s == pytest.approx((21 + 30) * WINDOW_S)


def test_a_sound_that_has_just_begun_at_a_commit_is_in_the_next_utterance() -> None:
    utterances = new()
    utterances.feed(audio_of([(0, 40), (2, 0)]))  # two windows are no speech yet
    assert utterances.commit() == []
    [one] = complete(utterances.feed(audio_of([(20, 30)])))
    # Windows are counted anew from the commit on: half a window later here.
    assert one.start_s == pytest.approx(40 * WINDOW_S, abs=WINDOW_S)
    assert one.chunk.speech[0].start - one.chunk.spans[0].start == BEFORE_SAMPLES


def test_an_utterance_soon_after_a_commit_has_the_audio_before_it() -> None:
    utterances = new()
    utterances.feed(audio_of([(20, 10)]))
    [first] = complete(utterances.commit())
    [second] = complete([*utterances.feed(audio_of([(0, 5), (20, 30)]))])
    assert second.start_s == pytest.approx(35 * WINDOW_S, abs=WINDOW_S)
    assert second.chunk.spans[0].start == first.chunk.spans[0].end  # less than BEFORE_SAMPLES


@pytest.mark.parametrize("size", [160, 1_600, 16_000])
@pytest.mark.parametrize("plan", [TALK, [(600, 10), (900, 30)], [(40, 930), (20, 30)]])
def test_what_is_pending_fits_the_model(size: int, plan: Plan) -> None:
    utterances = new()
    for block in blocks(audio_of(plan), size):
        utterances.feed(block)
        pending = utterances.pending
        assert pending is None or len(pending.samples) <= CHUNK_SAMPLES


def test_a_long_utterance_ends_as_soon_as_that_is_known() -> None:
    utterances = Utterances(5 * 16_000, OPTIONS, lambda: detector(5 * 16_000))
    num_fed, found = 0, list[Utterance]()
    for block in blocks(audio_of([(90, 4), (140, 0)]), 512):
        found = complete(utterances.feed(block))
        num_fed += 1
        if found:
            break
    assert found[0].end_s == pytest.approx(90 * WINDOW_S)
    assert num_fed * WINDOW_S < 5.5


def test_cleared_audio_is_forgotten_and_its_number_is_not_used_again() -> None:
    utterances = new()
    utterances.feed(audio_of([(20, 1)]))
    utterances.clear()
    assert utterances.pending is None
    assert utterances.commit() == []
    [one] = complete([*utterances.feed(audio_of([(20, 1)])), *utterances.commit()])
    assert one.number == 1
    assert one.start_s == pytest.approx(21 * WINDOW_S)


def test_an_hour_of_silence_takes_no_memory() -> None:
    utterances = new()
    silence: Samples = -np.ones(16_000, np.float32)
    for _ in range(3600):
        assert utterances.feed(silence) == []
    held = utterances._splitter._cutter._audio  # type: ignore[attr-defined]
    assert len(held) < 16_000
