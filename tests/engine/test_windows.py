"""Which windows of the encoder a request gets, on an engine with fitted, full or declared ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from audio_files import encode_audio
from fakes import FakeModel, chunk_tone, chunk_tones, loaded, small_config, tones_file, words
from talkmill.engine import (
    EncoderWindow,
    Engine,
    InvalidOption,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from talkmill.engine.scheduling.window_guard import MIN_CHUNKS

FITTED, FULL, DECLARED = EncoderWindow.FITTED, EncoderWindow.FULL, EncoderWindow.DECLARED
OFF = TranscribeOptions(vad=VadMode.OFF)
LOOP = 20
Start = Callable[..., Engine]


@pytest.fixture
def start(model: FakeModel) -> Iterator[Start]:
    """Starts an engine on `model`, which declares no windows, with the settings given."""
    with ExitStack() as stack:

        def new(**settings: object) -> Engine:
            config = small_config(**settings)
            engine = stack.enter_context(Engine(config, model=loaded(model, windows_s=())))
            model.forget()  # the warm-up
            return engine

        yield new


def windows(model: FakeModel) -> list[int]:
    """Return the frames of every chunk that was encoded."""
    return [num_frames for batch in model.encoded for num_frames in batch.num_frames]


def answer_in(kind: EncoderWindow | None, engine: Engine, band: int = 10) -> Transcript:
    return engine.transcribe(tones_file(band), replace(OFF, encoder_window=kind))


@pytest.mark.parametrize("kind", [None, FITTED])
def test_chunks_are_in_windows_as_long_as_they_are(
    start: Start, model: FakeModel, kind: EncoderWindow | None
) -> None:
    transcript = answer_in(kind, start())
    assert (transcript.text, transcript.encoder_window) == (words(10), FITTED)
    assert windows(model) == [160]


def test_long_pieces_are_in_full_windows_beside_a_fitted_one(
    start: Start, model: FakeModel
) -> None:
    audio = encode_audio(chunk_tones([10, 30]))  # a piece of 30 s and one of 1 s
    transcript = start().transcribe(audio, OFF)
    assert transcript.text == f"{words(10)} {words(30)}"
    assert sorted(windows(model)) == [160, 3000]
    assert transcript.encoder_window is FITTED


def test_full_windows_on_demand(start: Start, model: FakeModel) -> None:
    transcript = answer_in(FULL, start())
    assert (transcript.text, transcript.encoder_window) == (words(10), FULL)
    assert windows(model) == [3000]


@pytest.mark.parametrize(
    ("setting", "kind", "num_frames"), [("full", FULL, 3000), ((5, 10), DECLARED, 500)]
)
def test_server_s_own_windows_are_the_default(
    start: Start, model: FakeModel, setting: object, kind: EncoderWindow, num_frames: int
) -> None:
    engine = start(encoder_windows=setting)
    for wanted in (None, kind):
        transcript = answer_in(wanted, engine)
        assert (transcript.text, transcript.encoder_window) == (words(10), kind)
    assert windows(model) == [num_frames] * 2
    assert answer_in(FULL, engine).encoder_window is FULL
    assert windows(model)[-1] == 3000


@pytest.mark.parametrize(
    ("setting", "refused", "available"),
    [
        ("auto", DECLARED, "fitted, full"),
        ("full", FITTED, "full"),
        ("full", DECLARED, "full"),
        ((5,), FITTED, "declared, full"),
    ],
)
def test_window_that_is_not_available_is_refused_with_those_that_are(
    start: Start, model: FakeModel, setting: object, refused: EncoderWindow, available: str
) -> None:
    engine = start(encoder_windows=setting)
    with pytest.raises(InvalidOption) as failure:
        answer_in(refused, engine)
    assert failure.value.field == "encoder_window"
    expected = f"encoder_window '{refused.value}' is not available for fake: {available}"
    assert str(failure.value) == expected
    assert model.encoded == []


def test_full_windows_take_pieces_of_30_s_on_a_server_with_shorter_ones(
    start: Start, model: FakeModel
) -> None:
    engine = start(encoder_windows=(5,))
    audio = encode_audio(chunk_tones([10, 30]))
    engine.transcribe(audio, replace(OFF, encoder_window=FULL))
    assert windows(model) == [3000, 3000]
    model.forget()
    engine.transcribe(audio, OFF)
    assert windows(model) == [500] * 7


@pytest.mark.parametrize("is_exact", [False, True])
def test_fallbacks_are_counted(start: Start, model: FakeModel, is_exact: bool) -> None:
    model.loops = frozenset({LOOP})
    engine = start()
    parameters = replace(OFF.parameters, min_new_tokens=1 if is_exact else None)
    for band in (10, LOOP, LOOP, 30):
        transcript = engine.transcribe(tones_file(band), replace(OFF, parameters=parameters))
        assert (transcript.text, transcript.encoder_window) == (words(band), FITTED)
    assert engine.num_window_fallbacks == 2
    assert windows(model) == [160, 160, 3000, 160, 3000, 160]
    assert {batch.plan.is_exact for batch in model.generated if batch.plan} == {is_exact}


def test_full_windows_take_over_from_fitted_ones_that_fail_often(
    start: Start, model: FakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.loops = frozenset({LOOP})
    engine = start(cache_bytes=0)
    for i in range(MIN_CHUNKS):
        assert answer_in(None, engine, LOOP if i % 5 == 0 else 10).encoder_window is FITTED
    model.forget()
    transcript = answer_in(FITTED, engine)
    assert (transcript.text, transcript.encoder_window) == (words(10), FULL)
    assert windows(model) == [3000]
    assert engine.num_window_fallbacks == MIN_CHUNKS // 5
    (warning,) = (text for text in caplog.messages if "full windows from now on" in text)
    assert warning.startswith(f"20 % of {MIN_CHUNKS} chunks have suspect answers in fitted windows")


def test_cache_does_not_mix_windows(start: Start, model: FakeModel) -> None:
    engine = start(cache_bytes=2**20)
    first = {kind: answer_in(kind, engine) for kind in (FITTED, FULL)}
    again = {kind: answer_in(kind, engine) for kind in (FITTED, FULL)}
    assert windows(model) == [160, 3000]
    for kind in (FITTED, FULL):
        assert (first[kind].is_cached, again[kind].is_cached) == (False, True)
        assert first[kind].encoder_window is again[kind].encoder_window is kind
    assert answer_in(None, engine).is_cached  # fitted ones are this server's own


def test_cached_answer_says_what_it_covers(
    start: Start, model: FakeModel, speech_file: bytes
) -> None:
    model.said_s = (0.0, 0.4)  # too little to go on from there
    options = TranscribeOptions(timestamps=True)
    engine = start(cache_bytes=2**20)
    first, second = (engine.transcribe(speech_file, options) for _ in range(2))
    assert (first.is_cached, second.is_cached) == (False, True)
    assert first.coverage is not None
    assert 0 < first.coverage < 0.98
    assert second.coverage == first.coverage
    assert second.warnings == first.warnings
    assert len(first.warnings) == 1


def test_speech_that_was_left_out_is_decoded_again(
    start: Start, model: FakeModel, speech_file: bytes
) -> None:
    engine = start(encoder_windows="full")
    num_chunks = len(engine.transcribe(speech_file).segments)
    model.forget()
    model.said_s = (0.0, 0.6)
    segments = engine.transcribe(speech_file, TranscribeOptions(timestamps=True)).segments
    assert num_chunks < len(segments) == len(model.bands) <= 3 * num_chunks
    times = [(segment.start_s, segment.end_s or 0.0) for segment in segments]
    assert all(end_s == pytest.approx(start_s + 0.6) for start_s, end_s in times)
    assert all(end_s <= start_s + 1e-6 for (_, end_s), (start_s, _) in itertools.pairwise(times))


def test_times_are_the_same_in_every_window(start: Start, model: FakeModel) -> None:
    engine = start()
    audio = encode_audio(chunk_tone(40))
    for kind in (FITTED, FULL):
        options = replace(OFF, encoder_window=kind, timestamps=True)
        (segment,) = engine.transcribe(audio, options).segments
        assert (segment.text.strip(), segment.start_s, segment.end_s) == (words(40), 1.0, 1.0)
