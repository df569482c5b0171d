from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_files import encode_audio
from fakes import (
    PATIENCE_S,
    FakeModel,
    chunk_tone,
    loaded,
    small_config,
    tokenizer_file,
    tones_file,
    words,
)
from talkmill.engine import (
    AudioTooLong,
    Cancelled,
    DeadlineExceeded,
    DeviceLost,
    Engine,
    GenerationParameters,
    InvalidAudio,
    InvalidOption,
    ModelError,
    NotReady,
    Overloaded,
    Request,
    RequestError,
    Segment,
    State,
    Task,
    TranscribeOptions,
    UnknownModel,
    VadMode,
)
from talkmill.engine.model.tokenizer import MAX_PREVIOUS_TOKENS, WhisperTokenizer

OFF = TranscribeOptions(vad=VadMode.OFF)
TONE = tones_file(40)


def outcome(request: Request) -> BaseException | None:
    return request.future.exception(PATIENCE_S)


def text(request: Request) -> str:
    return request.future.result(PATIENCE_S).text


class TestAnswers:
    def test_each_chunk_says_what_is_in_it(self, engine: Engine) -> None:
        transcript = engine.transcribe(tones_file(5, 70, 33), OFF)
        assert transcript.text == " ".join(words(band) for band in (5, 70, 33))
        assert [segment.start_s for segment in transcript.segments] == [0.0, 30.0, 60.0]
        assert transcript.segments[-1].end_s == pytest.approx(61.0)
        assert transcript.duration_s == transcript.speech_s == pytest.approx(61.0)
        assert transcript.language == "en"
        assert transcript.warnings == ()

    def test_times_of_the_model_are_those_of_the_utterance(self, engine: Engine) -> None:
        options = TranscribeOptions(vad=VadMode.OFF, timestamps=True)
        transcript = engine.transcribe(tones_file(5, 70), options)
        times = [(segment.start_s, segment.end_s) for segment in transcript.segments]
        assert times == [(1.0, 2.0), (31.0, 31.0)]  # the last chunk is 1 s long

    def test_many_requests_at_once_get_their_own_words(self, engine: Engine) -> None:
        bands = list(range(2, 74, 9))
        requests = [engine.submit(tones_file(band, band + 1), OFF) for band in bands]
        assert [text(request) for request in requests] == [
            f"{words(band)} {words(band + 1)}" for band in bands
        ]

    def test_segments_are_heard_in_order_before_the_answer(self, engine: Engine) -> None:
        heard: list[Segment] = []
        request = engine.submit(tones_file(*range(10, 20)), OFF, on_segment=heard.append)
        transcript = request.future.result(PATIENCE_S)
        assert tuple(heard) == transcript.segments
        assert [segment.text.strip() for segment in heard] == [words(b) for b in range(10, 20)]

    def test_speech_is_one_uncut_chunk(
        self, engine: Engine, model: FakeModel, speech_file: bytes
    ) -> None:
        transcript = engine.transcribe(speech_file)
        assert len(model.encoded) == len(transcript.segments) == 1
        assert transcript.segments[0].end_s == pytest.approx(11.0)
        assert 6 < transcript.speech_s < 11

    def test_silence_is_an_empty_answer_that_costs_the_model_nothing(
        self, engine: Engine, model: FakeModel
    ) -> None:
        transcript = engine.transcribe(encode_audio(np.zeros(160_000, np.float32)))
        assert (transcript.text, transcript.segments) == ("", ())
        assert transcript.duration_s == 10.0
        assert transcript.speech_s == 0.0
        assert model.encoded == []

    def test_damage_is_told_in_a_warning(self, engine: Engine) -> None:
        file = encode_audio(np.tile(chunk_tone(40), 8), "flac", "flac")
        transcript = engine.transcribe(file[: len(file) // 2], OFF)
        assert transcript.text == words(40)
        assert transcript.warnings

    def test_chunks_of_several_requests_share_batches(
        self, engine: Engine, model: FakeModel
    ) -> None:
        model.hold()
        requests = [engine.submit(tones_file(70), OFF)]
        model.wait_for_calls(1)
        requests += [engine.submit(tones_file(band), OFF) for band in range(10, 14)]
        while engine.num_waiting_chunks < 4:
            threading.Event().wait(0.001)
        model.release()
        assert [text(request) for request in requests] == [
            words(band) for band in (70, 10, 11, 12, 13)
        ]
        assert max(batch.shape[0] for batch in model.encoded) == 4
        assert engine.stats.num_chunks == 5

    def test_features_have_the_bands_that_the_model_takes(
        self, tokenizer: WhisperTokenizer
    ) -> None:
        model = FakeModel(tokenizer, n_mels=128)
        with Engine(small_config(), model=loaded(model)) as engine:
            model.forget()
            engine.transcribe(TONE, OFF)
        assert model.encoded[0].shape == (1, 128, 3000)


class TestLanguages:
    @pytest.fixture
    def polyglot(self, tmp_path: Path) -> FakeModel:
        path = tokenizer_file(tmp_path, languages=["de", "sv"])
        model = FakeModel(WhisperTokenizer(path, is_multilingual=True))
        model.language = ("de", 0.625)
        return model

    def test_only_the_first_chunk_goes_ahead_of_the_language(self, polyglot: FakeModel) -> None:
        with Engine(small_config(), model=loaded(polyglot)) as engine:
            polyglot.forget()
            request = engine.submit(tones_file(10, 20, 30, 40), OFF)
            transcript = request.future.result(PATIENCE_S)
        assert polyglot.encoded[0].bands == (10,)
        assert polyglot.num_detections == 1
        assert (transcript.language, transcript.language_probability) == ("de", 0.625)
        prompt = tuple(polyglot.tokenizer.prompt("de", Task.TRANSCRIBE, timestamps=False))
        assert all(p == prompt for batch in polyglot.generated for p in batch.prompts)

    def test_given_language_is_not_detected(self, polyglot: FakeModel) -> None:
        with Engine(small_config(), model=loaded(polyglot)) as engine:
            transcript = engine.transcribe(TONE, TranscribeOptions(language="sv", vad=VadMode.OFF))
        assert (transcript.language, transcript.language_probability) == ("sv", 1.0)
        assert polyglot.num_detections == 0

    def test_model_of_one_language_detects_none(self, engine: Engine, model: FakeModel) -> None:
        assert model.tokenizer.languages == {"en"}
        assert engine.transcribe(TONE, OFF).language_probability == 1.0
        assert model.num_detections == 0


REFUSED = [
    pytest.param({"language": "xx"}, InvalidOption, "language", id="language"),
    pytest.param({"language": ""}, InvalidOption, "language", id="empty language"),
    pytest.param({"task": Task.TRANSLATE}, InvalidOption, "task", id="task"),
    *(
        pytest.param(
            {"parameters": GenerationParameters(max_new_tokens=count)},
            InvalidOption,
            "max_new_tokens",
            id=f"max_new_tokens {count}",
        )
        for count in (-1, 0, 445, 10**9)
    ),
    *(
        pytest.param(
            {"parameters": GenerationParameters(num_beams=count)},
            InvalidOption,
            "num_beams",
            id=f"num_beams {count}",
        )
        for count in (-1, 0, 17)
    ),
]


class TestRefusals:
    @pytest.fixture
    def engine(self, model: FakeModel) -> Engine:
        return Engine(
            small_config(max_audio_bytes=100_000, max_audio_s=40.0),
            model=loaded(model, tasks=[Task.TRANSCRIBE]),
        )

    @pytest.mark.parametrize(("options", "error", "field"), REFUSED)
    def test_option_that_cannot_be_is_refused_by_name(
        self, engine: Engine, options: dict[str, Any], error: type[RequestError], field: str
    ) -> None:
        source = io.BytesIO(TONE)
        with engine, pytest.raises(error) as failure:
            engine.submit(source, TranscribeOptions(**options))
        assert failure.value.field == field
        assert source.closed

    def test_other_model_is_refused(self, engine: Engine) -> None:
        with engine, pytest.raises(UnknownModel) as failure:
            engine.check(OFF, model="large-v3")
        assert failure.value.field == "model"

    def test_checked_options_are_taken_as_they_are(self, engine: Engine) -> None:
        with engine:
            checked = engine.check(OFF, model="fake")
            request = engine.submit(TONE, checked)
            assert text(request) == words(40)
            assert request.checked is checked

    @pytest.mark.parametrize(
        ("file", "error"),
        [(b"", InvalidAudio), (bytes(100_001), AudioTooLong)],
        ids=["empty", "too large"],
    )
    def test_size_is_checked_before_anything_is_read(
        self, engine: Engine, file: bytes, error: type[RequestError]
    ) -> None:
        source = io.BytesIO(file)
        with engine, pytest.raises(error):
            engine.submit(source)
        assert source.closed

    def test_longest_answer_that_fits_is_taken(self, engine: Engine, model: FakeModel) -> None:
        prompt = len(model.tokenizer.prompt("en", Task.TRANSCRIBE, False))
        options = TranscribeOptions(
            vad=VadMode.OFF,
            parameters=GenerationParameters(max_new_tokens=448 - prompt),
        )
        with engine:
            assert text(engine.submit(TONE, options)) == words(40)

    def test_more_requests_than_allowed_are_overload(self, model: FakeModel) -> None:
        with Engine(small_config(max_requests=2), model=loaded(model)) as engine:
            model.forget()
            model.hold()
            taken = [engine.submit(TONE, OFF) for _ in range(2)]
            source = io.BytesIO(TONE)
            with pytest.raises(Overloaded):
                engine.submit(source, OFF)
            assert source.closed
            taken[0].cancel()  # makes room at once
            taken.append(engine.submit(TONE, OFF))
            model.release()
            assert text(taken[1]) == text(taken[2]) == words(40)

    def test_engine_that_is_not_started_takes_nothing(self, engine: Engine) -> None:
        assert engine.state is State.LOADING
        with pytest.raises(NotReady):
            engine.submit(TONE)

    def test_closed_engine_takes_nothing(self, engine: Engine) -> None:
        with engine:
            before = engine.state
        assert (before, engine.state) == (State.READY, State.DRAINING)
        source = io.BytesIO(TONE)
        with pytest.raises(NotReady):
            engine.submit(source)
        assert source.closed

    def test_engine_that_never_started_can_be_closed(self, engine: Engine) -> None:
        engine.close()
        engine.close()


class TestPrompts:
    def test_prompt_stands_before_the_answer(self, engine: Engine, model: FakeModel) -> None:
        engine.transcribe(TONE, TranscribeOptions(vad=VadMode.OFF, prompt="call emma"))
        expected = model.tokenizer.prompt(
            "en", Task.TRANSCRIBE, False, model.tokenizer.encode("call emma")
        )
        assert model.generated[0].prompts == (tuple(expected),)

    def test_prompt_that_is_too_long_loses_its_head_with_a_warning(
        self, engine: Engine, model: FakeModel
    ) -> None:
        prompt = "call emma at seven " * 300
        transcript = engine.transcribe(TONE, TranscribeOptions(vad=VadMode.OFF, prompt=prompt))
        assert any(warning.startswith("prompt") for warning in transcript.warnings)
        tokens = model.tokenizer.encode(prompt)[-MAX_PREVIOUS_TOKENS:]
        assert model.generated[0].prompts[0][1 : 1 + len(tokens)] == tokens

    def test_prompts_of_two_lengths_do_not_share_a_batch(
        self, engine: Engine, model: FakeModel
    ) -> None:
        requests = [
            engine.submit(TONE, TranscribeOptions(vad=VadMode.OFF, prompt="emma " * count))
            for count in (0, 1, 2, 0, 1, 2)
        ]
        # FakeModel.generate refuses a batch of several lengths.
        assert [text(request) for request in requests] == [words(40)] * 6


class TestFailures:
    def test_poisoned_request_fails_alone(self, engine: Engine, model: FakeModel) -> None:
        model.poisoned = frozenset({20})
        model.hold()
        requests = [engine.submit(tones_file(band), OFF) for band in (10, 20, 30, 40)]
        model.release()
        errors = [outcome(request) for request in requests]
        assert [type(error) for error in errors] == [
            type(None),
            ModelError,
            type(None),
            type(None),
        ]
        assert engine.state is State.READY

    def test_one_poisoned_chunk_fails_its_whole_request(
        self, engine: Engine, model: FakeModel
    ) -> None:
        model.poisoned = frozenset({20})
        request = engine.submit(tones_file(10, 20, 30), OFF)
        assert isinstance(outcome(request), ModelError)
        assert text(engine.submit(TONE, OFF)) == words(40)

    def test_lost_device_fails_every_request_and_is_told_once(self, model: FakeModel) -> None:
        told: list[DeviceLost] = []
        with Engine(small_config(), model=loaded(model), on_failure=told.append) as engine:
            model.forget()
            model.hold()
            sources = [io.BytesIO(tones_file(10, 20, 30)) for _ in range(6)]
            requests = [engine.submit(source, OFF) for source in sources]
            model.wait_for_calls(1)
            model.is_lost = True
            model.release()
            assert all(isinstance(outcome(request), ModelError) for request in requests)
            assert engine.state is State.FAILED
            with pytest.raises(NotReady):
                engine.submit(TONE)
        assert len(told) == 1
        assert engine.state is State.FAILED
        assert all(source.closed for source in sources)

    def test_cancelled_request_never_reaches_the_model(
        self, engine: Engine, model: FakeModel
    ) -> None:
        model.hold()
        first = engine.submit(tones_file(10), OFF)
        model.wait_for_calls(1)
        gone = engine.submit(tones_file(20), OFF)
        stays = engine.submit(tones_file(30), OFF)
        gone.cancel()
        model.release()
        assert isinstance(outcome(gone), Cancelled)
        assert (text(first), text(stays)) == (words(10), words(30))
        assert 20 not in model.bands

    def test_expired_request_never_reaches_the_model(
        self, engine: Engine, model: FakeModel
    ) -> None:
        request = engine.submit(tones_file(20), OFF, timeout_s=0.0)
        assert isinstance(outcome(request), DeadlineExceeded)
        assert text(engine.submit(TONE, OFF)) == words(40)
        assert model.bands == [40]

    def test_listener_that_raises_fails_its_own_request_only(self, engine: Engine) -> None:
        def raise_(_: Segment) -> None:
            raise ValueError("a fault of the listener")

        faulty = engine.submit(tones_file(10, 20), OFF, on_segment=raise_)
        assert isinstance(outcome(faulty), ModelError)
        assert text(engine.submit(TONE, OFF)) == words(40)

    @pytest.mark.parametrize(
        ("file", "error"),
        [(b"no audio", InvalidAudio), (tones_file(1, 2), AudioTooLong)],
        ids=["invalid", "too long"],
    )
    def test_fault_of_the_audio_is_the_answer(
        self, model: FakeModel, file: bytes, error: type[RequestError]
    ) -> None:
        with Engine(small_config(max_audio_s=30.5), model=loaded(model)) as engine:
            assert isinstance(outcome(engine.submit(file, OFF)), error)


class TestSources:
    @pytest.mark.parametrize("what", ["answer", "invalid", "poisoned", "cancelled", "expired"])
    def test_source_is_closed_whatever_the_outcome(self, model: FakeModel, what: str) -> None:
        source = io.BytesIO(b"no audio" if what == "invalid" else tones_file(10, 20))
        with Engine(small_config(), model=loaded(model)) as engine:
            model.poisoned = frozenset({10}) if what == "poisoned" else frozenset()
            request = engine.submit(source, OFF, timeout_s=0.0 if what == "expired" else None)
            if what == "cancelled":
                request.cancel()
            outcome(request)
        assert source.closed

    def test_file_on_disk_is_read_and_closed(self, engine: Engine, tmp_path: Path) -> None:
        path = tmp_path / "tone.flac"
        path.write_bytes(TONE)
        file = path.open("rb")
        assert text(engine.submit(file, OFF)) == words(40)
        engine.close()
        assert file.closed


class TestMemory:
    def test_long_request_is_set_aside_while_enough_of_it_waits(
        self, engine: Engine, model: FakeModel
    ) -> None:
        bands = list(range(10, 24))
        model.hold()
        long = engine.submit(tones_file(*bands), OFF)
        model.wait_for_calls(1)
        max_ahead = 8  # two batches of 4: one with the model, and the next
        while long.num_ahead < max_ahead:
            threading.Event().wait(0.001)
        other = engine.submit(TONE, OFF)
        while not other.num_ahead:  # the one thread that prepares has turned to it
            threading.Event().wait(0.001)
        assert long.num_ahead == max_ahead < len(bands)
        model.release()
        assert text(long) == " ".join(words(band) for band in bands)


class TestClosing:
    def test_what_was_taken_is_finished(self, model: FakeModel) -> None:
        with Engine(small_config(), model=loaded(model)) as engine:
            model.forget()
            model.hold()
            requests = [engine.submit(tones_file(band, band), OFF) for band in (10, 20, 30)]
            model.wait_for_calls(1)
            closer = threading.Thread(target=engine.close)
            closer.start()
            while engine.state is State.READY:
                closer.join(0.001)
            with pytest.raises(NotReady):
                engine.submit(TONE)
            model.release()
            closer.join(PATIENCE_S)
            assert [text(request) for request in requests] == [
                f"{words(band)} {words(band)}" for band in (10, 20, 30)
            ]

    def test_what_is_not_finished_in_time_fails(self, model: FakeModel) -> None:
        engine = Engine(small_config(), model=loaded(model))
        engine.start()
        model.forget()
        model.hold()
        sources = [io.BytesIO(tones_file(10, 20)) for _ in range(3)]
        requests = [engine.submit(source, OFF) for source in sources]
        model.wait_for_calls(1)
        requests[0].future.add_done_callback(lambda _: model.release())
        engine.close(drain_s=0.0)
        assert all(isinstance(outcome(request), NotReady) for request in requests)
        assert all(source.closed for source in sources)

    def test_no_thread_is_left(self, model: FakeModel) -> None:
        before = set(threading.enumerate())
        with Engine(small_config(), model=loaded(model)) as engine:
            engine.transcribe(TONE, OFF)
        assert set(threading.enumerate()) <= before

    def test_every_request_of_a_race_with_closing_has_an_outcome(self, model: FakeModel) -> None:
        engine = Engine(small_config(), model=loaded(model))
        engine.start()
        requests: list[Request] = []
        sources: list[io.BytesIO] = []

        def submit() -> None:
            while True:
                sources.append(io.BytesIO(TONE))
                try:
                    requests.append(engine.submit(sources[-1], OFF))
                except NotReady:
                    return
                outcome(requests[-1])

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        model.wait_for_calls(3)
        engine.close(drain_s=0.0)
        for thread in threads:
            thread.join(PATIENCE_S)
        for request in requests:
            assert isinstance(outcome(request), NotReady | None)
        assert all(source.closed for source in sources)


class Interrupted(io.BytesIO):
    """Lets a test act between the engine's first look at a request and its admission."""

    def __init__(self, content: bytes, act: object) -> None:
        super().__init__(content)
        self._act = act

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == io.SEEK_END and callable(self._act):
            self._act()
        return super().seek(offset, whence)


def test_request_that_meets_closing_half_way_is_refused(model: FakeModel) -> None:
    engine = Engine(small_config(), model=loaded(model))
    engine.start()
    source = Interrupted(TONE, engine.close)
    with pytest.raises(NotReady):
        engine.submit(source, OFF)
    assert source.closed


def test_failed_start_raises_and_leaves_the_engine_unready(tokenizer: WhisperTokenizer) -> None:
    model = FakeModel(tokenizer)
    model.poisoned = frozenset({0})  # what the warm-up's silence is heard as
    engine = Engine(small_config(), model=loaded(model))
    with pytest.raises(RuntimeError):
        engine.start()
    assert engine.state is not State.READY


def test_every_replica_is_warmed_up_and_works(tokenizer: WhisperTokenizer) -> None:
    replicas = [FakeModel(tokenizer), FakeModel(tokenizer)]
    with Engine(small_config(), model=loaded(*replicas)) as engine:
        assert [len(replica.generated) for replica in replicas] == [1, 1]
        for replica in replicas:
            replica.forget()
            replica.hold()
        requests = [engine.submit(tones_file(band, band), OFF) for band in (10, 20, 30)]
        for replica in replicas:
            replica.wait_for_calls(1)
            replica.release()
        assert [text(request) for request in requests] == [
            f"{words(band)} {words(band)}" for band in (10, 20, 30)
        ]
