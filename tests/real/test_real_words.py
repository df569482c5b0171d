"""Words of OpenAI's weights: all there, in order, alike in every batch, where they were spoken.

`benchmarks.words` compares them with openai/whisper's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_speech import Clip, join, short
from benchmarks.words import TimedWord, off_s, words_of
from talkmill.engine import Engine, TranscribeOptions, Transcript

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

OPTIONS = TranscribeOptions(language="en", words=True)
TRUE_S = 0.15
MIN_TRUE = 0.8  # of the starts; a sentence may begin with a word that is hardly heard


@pytest.fixture(scope="module")
def answers(engine: Engine, clips: list[Clip]) -> list[Transcript]:
    return [engine.transcribe(one.path.read_bytes(), OPTIONS) for one in short(clips, 10)]


def test_words_are_the_text_in_order_inside_the_audio(answers: list[Transcript]) -> None:
    for answer in answers:
        words = [word for segment in answer.segments for word in segment.words]
        assert "".join(word.text for word in words).strip() == answer.text
        times = [time for word in words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert all(0 <= time <= answer.duration_s + 1e-6 for time in times)
        assert all(0 <= word.probability <= 1 for word in words)


def test_words_of_a_batch_are_those_of_a_request_alone(
    engine: Engine, clips: list[Clip], answers: list[Transcript]
) -> None:
    files = [one.path.read_bytes() for one in short(clips, 10)]
    requests = [engine.submit(file, OPTIONS) for file in files]
    together = [request.future.result() for request in requests]

    assert [words_of(one) for one in together] == [words_of(one) for one in answers]


def test_the_first_word_starts_where_each_clip_does(
    engine: Engine, clips: list[Clip], tmp_path: Path
) -> None:
    reader = [one for one in clips if one.path.parent.name == "ljspeech"][:12]  # without noise
    file = join(tmp_path / "joined.flac", reader, [1.5] * 12, np.random.default_rng(0))
    spoken = [
        TimedWord(text.lower(), None if i else one.start_s, None)
        for one in file.utterances
        for i, text in enumerate(one.text.split())
    ]

    errors_s = off_s(spoken, words_of(engine.transcribe(file.path.read_bytes(), OPTIONS)))

    assert len(errors_s) >= 6
    assert sum(error_s <= TRUE_S for error_s in errors_s) >= MIN_TRUE * len(errors_s), errors_s
