"""What the engine answers: words, segments, languages, prompts; and which chunks share batches."""

from __future__ import annotations

from pathlib import Path

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
from pending import text
from talkmill.engine import Engine, Segment, Task, TranscribeOptions, VadMode, VadOptions
from talkmill.engine.model.tokenizer import MAX_PREVIOUS_TOKENS, WhisperTokenizer
from waiting import wait_until

OFF = TranscribeOptions(vad=VadMode.OFF)
TONE = tones_file(40)


class TestAnswers:
    def test_each_chunk_says_what_is_in_it(self, engine: Engine) -> None:
        transcript = engine.transcribe(tones_file(5, 60, 33), OFF)
        assert transcript.text == " ".join(words(band) for band in (5, 60, 33))
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

    def test_segments_are_reported_in_order_before_the_answer(self, engine: Engine) -> None:
        reported: list[Segment] = []
        request = engine.submit(tones_file(*range(10, 20)), OFF, on_segment=reported.append)
        transcript = request.future.result(PATIENCE_S)
        assert tuple(reported) == transcript.segments
        assert [segment.text.strip() for segment in reported] == [words(b) for b in range(10, 20)]

    def test_speech_is_cut_at_its_long_pauses(
        self, engine: Engine, model: FakeModel, speech_file: bytes
    ) -> None:
        at_a_second = TranscribeOptions(vad_options=VadOptions(silence_duration_ms=1000))
        transcript = engine.transcribe(speech_file, at_a_second)
        assert len(model.bands) == len(transcript.segments) == 3
        starts_s = [segment.start_s for segment in transcript.segments]
        assert starts_s == pytest.approx([0.0, 2.9, 5.0], abs=0.1)
        ends_s = [segment.end_s for segment in transcript.segments]
        assert ends_s == pytest.approx([2.4, 4.6, 10.7], abs=0.1)
        assert 6 < transcript.speech_s < 11
        assert (transcript.coverage, transcript.warnings) == (1.0, ())

    def test_silence_is_an_empty_answer_that_costs_the_model_nothing(
        self, engine: Engine, model: FakeModel
    ) -> None:
        transcript = engine.transcribe(encode_audio(np.zeros(160_000, np.float32)))
        assert (transcript.text, transcript.segments) == ("", ())
        assert transcript.duration_s == 10.0
        assert transcript.speech_s == 0.0
        assert model.encoded == []

    def test_damage_is_reported_in_a_warning(self, engine: Engine) -> None:
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
        wait_until(lambda: engine.num_waiting_chunks == 4)
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
        prompt = "call emma at seven " * 200
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


class TestMemory:
    def test_long_request_is_set_aside_while_enough_of_it_waits(
        self, engine: Engine, model: FakeModel
    ) -> None:
        bands = list(range(10, 24))
        model.hold()
        long = engine.submit(tones_file(*bands), OFF)
        model.wait_for_calls(1)
        max_ahead = 8  # two batches of 4: one with the model, and the next
        wait_until(lambda: long.num_ahead == max_ahead)
        other = engine.submit(TONE, OFF)
        wait_until(lambda: other.num_ahead > 0)  # the one thread that prepares has turned to it
        assert long.num_ahead == max_ahead < len(bands)
        model.release()
        assert text(long) == " ".join(words(band) for band in bands)
