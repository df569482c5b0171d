"""How an engine finds the language of a request and of each of its chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes import (
    PATIENCE_S,
    FakeModel,
    heard,
    loaded,
    small_config,
    tokenizer_file,
    tones_file,
    words,
)
from talkmill.engine import Engine, Task, TranscribeOptions, Transcript, VadMode
from talkmill.engine.model.protocol import Detection
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.scheduling.request_language import CHECKED_POSITIONS
from waiting import wait_until

GERMAN, SWEDISH = 20, 30  # bands that are in other languages than English
MISHEARD = 21  # German, but in a fitted window taken for Swedish
NOISE = 40  # without words
SURE = 0.9


class Polyglot(FakeModel):
    """Detects languages by what it hears; counts rows and positions of each detection."""

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        super().__init__(tokenizer)
        self.detections: list[tuple[int, int]] = []
        self.loops = frozenset({MISHEARD})

    def detect_languages(
        self, encoded: NDArray[np.float32], rows: Sequence[int], max_positions: int = 0
    ) -> list[Detection]:
        self.detections.append((len(rows), max_positions))
        return [self._detect(encoded[row]) for row in rows]

    @staticmethod
    def _detect(row: NDArray[np.float32]) -> Detection:
        is_short = row[0][-1] == -9.0  # `FakeModel` puts it after a fitted window
        code = {GERMAN: "de", SWEDISH: "sv", MISHEARD: "sv" if is_short else "de"}.get(
            heard(row), "en"
        )
        others = sorted({"en", "de", "sv"} - {code})
        return ((code, SURE), *((other, (1 - SURE) / 2) for other in others))

    def answer(self, row: Any, plan: Any) -> Any:
        found = super().answer(row, plan)
        return type(found)((), 0.0, 0.0) if heard(row) == NOISE else found


@pytest.fixture
def polyglot(tmp_path: Path) -> Polyglot:
    path = tokenizer_file(tmp_path, languages=["de", "sv"])
    return Polyglot(WhisperTokenizer(path, is_multilingual=True))


@pytest.fixture
def engine(polyglot: Polyglot) -> Iterator[Engine]:
    """An engine with fitted windows: the last chunk of `tones_file` is in a short one."""
    with Engine(small_config(), model=loaded(polyglot, windows_s=())) as engine:
        polyglot.forget()
        yield engine


def ask(engine: Engine, *bands: int, **options: Any) -> Transcript:
    return engine.transcribe(tones_file(*bands), TranscribeOptions(vad=VadMode.OFF, **options))


def languages_of(model: FakeModel) -> dict[int, str]:
    """Return the language that each band was last decoded in."""
    codes = {
        tuple(model.tokenizer.prompt(code, Task.TRANSCRIBE, False)): code
        for code in model.tokenizer.languages
    }
    return {
        band: codes[prompt]
        for batch in model.generated
        for band, prompt in zip(batch.bands, batch.prompts, strict=True)
    }


@pytest.mark.parametrize("language", [None, "", "auto", "AUTO"])
def test_open_language_is_that_of_the_first_chunk_with_its_likeliest_rivals(
    engine: Engine, polyglot: Polyglot, language: str | None
) -> None:
    transcript = ask(engine, GERMAN, 22, language=language)
    assert (transcript.language, transcript.language_probability) == ("de", SURE)
    assert [code for code, _ in transcript.other_languages] == ["en", "sv"]
    assert languages_of(polyglot) == {GERMAN: "de", 22: "de"}


def test_later_chunks_in_another_language_give_a_warning(
    engine: Engine, polyglot: Polyglot
) -> None:
    transcript = ask(engine, 10, 11, SWEDISH, 12)
    (warning,) = transcript.warnings
    for part in ("en was detected", "1 of 3", "sv at 60.0 s"):
        assert part in warning
    assert polyglot.detections[0] == (1, 0)
    assert sum(rows for rows, _ in polyglot.detections[1:]) == 3
    assert {most for _, most in polyglot.detections[1:]} == {CHECKED_POSITIONS}


@pytest.mark.parametrize("language", ["sv", "Swedish", "sv-SE", "<|sv|>"])
def test_named_language_is_not_detected(engine: Engine, polyglot: Polyglot, language: str) -> None:
    transcript = ask(engine, 10, 11, language=language)
    assert (transcript.language, transcript.language_probability) == ("sv", 1.0)
    assert (transcript.other_languages, transcript.warnings) == ((), ())
    assert polyglot.detections == []
    assert languages_of(polyglot) == {10: "sv", 11: "sv"}


def test_multi_decodes_each_chunk_in_its_own_language(engine: Engine, polyglot: Polyglot) -> None:
    transcript = ask(engine, 10, GERMAN, SWEDISH, GERMAN, language="multi")
    assert [segment.language for segment in transcript.segments] == ["en", "de", "sv", "de"]
    assert transcript.text == " ".join(map(words, (10, GERMAN, SWEDISH, GERMAN)))
    assert languages_of(polyglot) == {10: "en", GERMAN: "de", SWEDISH: "sv"}
    assert transcript.language == "de"
    assert [code for code, _ in transcript.other_languages] == ["en", "sv"]
    assert transcript.warnings == ()


def test_chunks_of_multi_do_not_wait_for_each_other(engine: Engine, polyglot: Polyglot) -> None:
    polyglot.hold()
    options = TranscribeOptions(vad=VadMode.OFF, language="multi")
    first = engine.submit(tones_file(10), TranscribeOptions(vad=VadMode.OFF, language="en"))
    polyglot.wait_for_calls(1)  # the model is busy with it, so that the next one's chunks gather
    request = engine.submit(tones_file(11, 12, 13, 14), options)
    wait_until(lambda: request.num_ahead == 4)
    polyglot.release()
    assert first.future.result(PATIENCE_S).language == "en"
    assert request.future.result(PATIENCE_S).language == "en"
    assert max(len(batch.bands) for batch in polyglot.encoded) > 1


def test_without_multi_no_segment_names_a_language(engine: Engine) -> None:
    assert [one.language for one in ask(engine, 10, GERMAN).segments] == ["", ""]


def test_detection_is_limited_to_languages(engine: Engine, polyglot: Polyglot) -> None:
    transcript = ask(engine, SWEDISH, languages=("English", "de-AT", "en"))
    assert transcript.language == "de"
    assert transcript.language_probability == pytest.approx(0.5)
    assert [code for code, _ in transcript.other_languages] == ["en"]
    mixed = ask(engine, SWEDISH, GERMAN, language="multi", languages=("sv", "en"))
    assert [segment.language for segment in mixed.segments] == ["sv", "en"]


def test_one_possible_language_needs_no_detection(engine: Engine, polyglot: Polyglot) -> None:
    transcript = ask(engine, 10, languages=("sv", "Swedish"))
    assert (transcript.language, transcript.language_probability) == ("sv", 1.0)
    assert polyglot.detections == []


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        ({"language": "sv", "languages": ("sv", "en")}, "languages"),
        ({"language": "multi", "languages": ("sv",)}, 'language "multi"'),
    ],
)
def test_what_has_no_effect_is_said(engine: Engine, options: dict[str, Any], idle: str) -> None:
    transcript = ask(engine, 10, **options)
    assert transcript.language == "sv"
    (warning,) = transcript.warnings
    assert warning.startswith(f"{idle} has no effect")


def test_model_of_one_language_takes_multi_and_languages_with_a_warning(model: FakeModel) -> None:
    with Engine(small_config(), model=loaded(model)) as engine:
        transcript = ask(engine, 10, language="multi", languages=("en",))
    assert transcript.language == "en"
    assert len(transcript.warnings) == 2
    assert transcript.segments[0].language == ""


@pytest.mark.parametrize("options", [{}, {"language": "multi"}], ids=str)
def test_language_is_detected_again_in_the_full_window(
    engine: Engine, polyglot: Polyglot, options: dict[str, Any]
) -> None:
    transcript = ask(engine, MISHEARD, **options)
    assert (transcript.language, transcript.text) == ("de", words(MISHEARD))
    assert languages_of(polyglot) == {MISHEARD: "de"}
    assert len(polyglot.detections) == 2


def test_chunks_without_words_do_not_decide(engine: Engine, polyglot: Polyglot) -> None:
    transcript = ask(engine, NOISE, GERMAN, 10)
    assert transcript.language == "de"
    assert languages_of(polyglot) == {NOISE: "en", GERMAN: "de", 10: "de"}
