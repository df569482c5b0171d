"""Languages on OpenAI's weights: detected in short windows as in full, switched, translated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.real_scores import count_errors, normal_words
from benchmarks.real_speech import Clip, SpokenFile, join
from talkmill.engine import (
    EncoderWindow,
    Engine,
    GenerationParameters,
    InvalidOption,
    Task,
    TranscribeOptions,
    Transcript,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

multilingual = pytest.mark.parametrize("engine", ["base"], indirect=True)
SPOKEN = ("en", "es", "sv", "ja")
# Words that any translation of the clip has, however loose.
MEANT = {"es": "surprise", "sv": "test", "zh": "guangzhou", "ja": "electricity"}
CONDITIONED = GenerationParameters(condition_on_prev_tokens=True)


def hear(engine: Engine, path: Path, **options: Any) -> Transcript:
    return engine.transcribe(path.read_bytes(), replace(TranscribeOptions(), **options))


def clip_in(clips: list[Clip], language: str) -> Clip:
    """Return a clip of 4.1 to 15 s in this language."""
    return next(one for one in clips if one.language == language and 4.1 < one.duration_s < 15)


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory, clips: list[Clip]) -> SpokenFile:
    """Speakers who follow each other in four languages, with pauses of 0.9 s."""
    path = tmp_path_factory.mktemp("switched") / "switched.flac"
    chosen = [clip_in(clips, language) for language in SPOKEN]
    return join(path, chosen, [0.9] * len(chosen), np.random.default_rng(0))


@multilingual
def test_speakers_who_switch_are_each_heard_in_their_language(
    engine: Engine, switched: SpokenFile
) -> None:
    transcript = hear(engine, switched.path, language="multi")
    languages = list(dict.fromkeys(segment.language for segment in transcript.segments))
    assert tuple(languages) == SPOKEN
    assert transcript.warnings == ()
    text = {
        code: "".join(one.text for one in transcript.segments if one.language == code)
        for code in SPOKEN
    }
    assert "sorpresa" in text["es"]
    assert set("キャンプ") <= set(text["ja"])


@multilingual
def test_switch_without_multi_gives_a_warning(engine: Engine, switched: SpokenFile) -> None:
    transcript = hear(engine, switched.path)
    assert transcript.language == "en"
    (warning,) = [one for one in transcript.warnings if one.startswith("language:")]
    assert "like es at" in warning


@multilingual
@pytest.mark.parametrize("language", MEANT)
def test_fitted_window_detects_what_the_full_one_does(
    engine: Engine, clips: list[Clip], language: str
) -> None:
    path = clip_in(clips, language).path
    for kind in (EncoderWindow.FITTED, EncoderWindow.FULL):
        transcript = hear(engine, path, encoder_window=kind)
        assert transcript.language == language
        assert transcript.language_probability > 0.9
        assert len(transcript.other_languages) == 3
        limited = hear(engine, path, encoder_window=kind, languages=(language, "fr", "en"))
        assert limited.language == language
        assert limited.language_probability >= transcript.language_probability


@multilingual
@pytest.mark.parametrize("language", MEANT)
def test_each_language_is_translated(engine: Engine, clips: list[Clip], language: str) -> None:
    transcript = hear(engine, clip_in(clips, language).path, task=Task.TRANSLATE)
    assert transcript.language == language
    said = normal_words(transcript.text)
    if language == "zh":  # beams of faster-whisper, too, leave most of it: "Guangzhou市房地产"
        assert said[0].startswith(MEANT[language])
    else:
        assert MEANT[language] in said


@pytest.mark.parametrize("engine", ["tiny.en"], indirect=True)
def test_english_model_refuses_to_translate_by_name(engine: Engine, speech_file: bytes) -> None:
    with pytest.raises(InvalidOption, match=r"'translate' is not a task of .*tiny\.en") as refusal:
        engine.transcribe(speech_file, TranscribeOptions(task=Task.TRANSLATE))
    assert refusal.value.field == "task"
    with pytest.raises(InvalidOption, match=r"tiny\.en"):
        engine.transcribe(speech_file, TranscribeOptions(language="es"))


@multilingual
def test_prompts_of_many_callers_meet_without_harm(engine: Engine, clips: list[Clip]) -> None:
    path = clip_in(clips, "en").path
    prompts = ["", "Talkmill.", "<|es|><|translate|>", "<|endoftext|>" * 40, "é🙂" * 2000, "\x00"]
    options = [TranscribeOptions(language="en", prompt=prompt) for prompt in prompts]
    alone = [engine.transcribe(path.read_bytes(), one).text for one in options]
    requests = [engine.submit(path.read_bytes(), one) for one in options * 2]
    assert [request.future.result(300).text for request in requests] == alone * 2


@multilingual
def test_hotwords_change_how_a_name_is_written(engine: Engine, clips: list[Clip]) -> None:
    spanish = clip_in(clips, "es").path
    assert "Wentworth" not in hear(engine, spanish, language="es").text
    assert "Wentworth" in hear(engine, spanish, language="es", hotwords=("Wentworth",)).text


def test_text_before_each_chunk_loses_no_words(
    engine: Engine, clips: list[Clip], tmp_path: Path
) -> None:
    chosen = [one for one in clips if one.language == "en" and 5 < one.duration_s < 12][:8]
    file = join(tmp_path / "joined.flac", chosen, [1.6] * 8, np.random.default_rng(0))
    for timestamps in (False, True):
        transcript = hear(
            engine, file.path, language="en", timestamps=timestamps, parameters=CONDITIONED
        )
        counts = count_errors(file.text, transcript.text)
        assert counts.lost == 0, counts
        assert counts.wer < 0.25, counts
