"""Equal requests are computed once, where the answer may come from the cache."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from audio_files import encode_audio
from fakes import PATIENCE_S, FakeModel, chunk_tones, loaded, small_config, tones_file, words
from talkmill.engine import (
    Cancelled,
    EncoderWindow,
    Engine,
    GenerationParameters,
    InvalidAudio,
    ModelError,
    Request,
    Segment,
    Task,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from talkmill.engine.scheduling.cache import MemoryStore
from talkmill.engine.types import Timings

OFF = TranscribeOptions(vad=VadMode.OFF)
TONE = tones_file(40)
LONG = tones_file(40, 20, 30)


@pytest.fixture
def engine(model: FakeModel) -> Iterator[Engine]:
    with Engine(small_config(cache_bytes=2**20, prepare_threads=2), model=loaded(model)) as engine:
        model.forget()
        yield engine
        model.release()


def answer(request: Request) -> Transcript:
    return request.future.result(PATIENCE_S)


@pytest.mark.parametrize("audio", [TONE, LONG], ids=["short", "long"])
def test_the_second_of_two_equal_requests_costs_nothing(
    engine: Engine, model: FakeModel, audio: bytes
) -> None:
    first, second = engine.transcribe(audio, OFF), engine.transcribe(audio, OFF)

    assert (first.is_cached, second.is_cached) == (False, True)
    assert (second.text, second.segments) == (first.text, first.segments)
    assert (second.duration_s, second.speech_s) == (first.duration_s, first.speech_s)
    assert len(model.bands) == len(set(model.bands))
    assert (engine.cache_stats.num_hits, engine.cache_stats.num_misses) == (1, 1)


def test_the_same_sound_in_another_container_is_known(engine: Engine) -> None:
    samples = chunk_tones([40])
    engine.transcribe(encode_audio(samples, "flac", "flac"), OFF)
    assert engine.transcribe(encode_audio(samples, "wav"), OFF).is_cached


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(TranscribeOptions(vad=VadMode.ON), id="vad"),
        pytest.param(TranscribeOptions(vad=VadMode.OFF, timestamps=True), id="timestamps"),
        pytest.param(TranscribeOptions(vad=VadMode.OFF, prompt="the code"), id="prompt"),
        pytest.param(TranscribeOptions(vad=VadMode.OFF, task=Task.TRANSLATE), id="task"),
        pytest.param(
            TranscribeOptions(vad=VadMode.OFF, encoder_window=EncoderWindow.FULL), id="window"
        ),
        pytest.param(
            TranscribeOptions(vad=VadMode.OFF, parameters=GenerationParameters(num_beams=2)),
            id="parameter",
        ),
    ],
)
def test_another_question_is_another_answer(engine: Engine, other: TranscribeOptions) -> None:
    engine.transcribe(TONE, OFF)
    assert not engine.transcribe(TONE, other).is_cached


def test_other_audio_is_another_answer(engine: Engine) -> None:
    engine.transcribe(TONE, OFF)
    assert not engine.transcribe(tones_file(41), OFF).is_cached


def test_what_is_drawn_afresh_is_not_kept(engine: Engine, model: FakeModel) -> None:
    sampled = TranscribeOptions(vad=VadMode.OFF, parameters=GenerationParameters(temperature=0.7))
    assert not any(engine.transcribe(TONE, sampled).is_cached for _ in range(2))
    assert len(model.bands) == 2


def test_an_answer_that_must_be_fresh_is_computed(engine: Engine, model: FakeModel) -> None:
    engine.transcribe(TONE, OFF)
    assert not answer(engine.submit(TONE, OFF, use_cache=False)).is_cached
    assert len(model.bands) == 2


def test_ten_equal_requests_at_once_are_computed_once(engine: Engine, model: FakeModel) -> None:
    model.hold()
    requests = [engine.submit(TONE, OFF) for _ in range(10)]
    model.wait_for_calls(1)
    model.release()

    assert {answer(request).text for request in requests} == {words(40)}
    assert model.bands == [40]
    stats = engine.cache_stats
    assert stats.num_misses == 1
    assert stats.num_hits + stats.num_coalesced == 9


def test_equal_requests_of_two_scopes_at_once_are_computed_for_each(
    engine: Engine, model: FakeModel
) -> None:
    model.hold()
    requests = [
        engine.submit(TONE, OFF, cache_scope=scope) for scope in ("alice", "bob", "alice", "bob")
    ]
    model.release()

    assert sum(not answer(request).is_cached for request in requests) == 2
    assert model.bands == [40, 40]


def test_cancelling_one_of_several_equal_requests_leaves_the_others(
    engine: Engine, model: FakeModel
) -> None:
    model.hold()
    first = engine.submit(TONE, OFF)
    model.wait_for_calls(1)
    others = [engine.submit(TONE, OFF) for _ in range(3)]
    first.cancel()
    model.release()

    assert {answer(request).text for request in others} == {words(40)}
    with pytest.raises(Cancelled):
        answer(first)


def test_a_failure_is_not_kept(engine: Engine, model: FakeModel) -> None:
    model.poisoned = frozenset({40})
    with pytest.raises(ModelError):
        engine.transcribe(TONE, OFF)
    model.poisoned = frozenset()
    assert engine.transcribe(TONE, OFF).text == words(40)


def test_each_request_has_its_own_warnings(engine: Engine) -> None:
    idle = TranscribeOptions(vad=VadMode.OFF, parameters=GenerationParameters(top_p=0.5))
    engine.transcribe(TONE, OFF)
    (warning,) = engine.transcribe(TONE, idle).warnings
    assert warning.startswith("top_p has no effect")
    again = engine.transcribe(TONE, OFF)
    assert again.is_cached
    assert not again.warnings


def test_warnings_about_the_audio_come_with_every_answer(engine: Engine) -> None:
    cut_off = encode_audio(chunk_tones([40]), "wav")[:-20_000]
    first, second = engine.transcribe(cut_off, OFF), engine.transcribe(cut_off, OFF)
    assert second.is_cached
    assert first.warnings == second.warnings != ()


def test_segments_are_given_out_for_a_known_answer(engine: Engine) -> None:
    reported: list[Segment] = []
    expected = engine.transcribe(LONG, OFF).segments
    answer(engine.submit(LONG, OFF, on_segment=reported.append))
    assert tuple(reported) == expected


def test_audio_that_cannot_be_decoded_is_refused_every_time(engine: Engine) -> None:
    for _ in range(2):
        with pytest.raises(InvalidAudio):
            engine.transcribe(b"no audio", OFF)


def test_the_source_of_a_known_answer_is_closed(engine: Engine) -> None:
    engine.transcribe(TONE, OFF)
    source = io.BytesIO(TONE)
    answer(engine.submit(source, OFF))
    engine.close()
    assert source.closed


class TestMemoryStore:
    def test_the_least_used_leaves_when_it_is_full(self) -> None:
        store = MemoryStore(3 * _size_of(_transcript()))
        for key in "abc":
            store.put(key, _transcript())
        store.get("a")
        store.put("d", _transcript())
        assert store.get("b") is None
        assert store.get("a") == store.get("d") == _transcript()

    def test_what_is_larger_than_all_of_it_is_not_kept(self) -> None:
        store = MemoryStore(100)
        store.put("a", _transcript())
        assert store.get("a") is None
        assert store.num_bytes == 0


def _transcript() -> Transcript:
    return Transcript("words " * 50, (), "en", 1.0, 1.0, 1.0, Timings())


def _size_of(transcript: Transcript) -> int:
    store = MemoryStore(2**20)
    store.put("it", transcript)
    return store.num_bytes
