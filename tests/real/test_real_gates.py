"""What OpenAI's weights say to what they often mishear: noise, music, and words said ten times."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from real_sounds import sounds

from audio_files import encode_audio
from benchmarks.real_speech import Clip
from talkmill.engine import EncoderWindow, Engine, TranscribeOptions, VadMode
from talkmill.engine.audio.decode import SAMPLE_RATE, decode_audio
from talkmill.engine.types import Samples

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

MAX_TEXTS = 2


def heard_at(clip: Clip) -> Samples:
    """Return the audio of a clip at 16 kHz."""
    source = io.BytesIO(clip.path.read_bytes())
    return np.concatenate(list(decode_audio(source, 600, lambda warning: None)))


@pytest.mark.parametrize("vad", [VadMode.AUTO, VadMode.OFF])
def test_48_sounds_without_speech_give_two_texts_at_most(engine: Engine, vad: VadMode) -> None:
    options = TranscribeOptions(language="en", vad=vad)
    asked = {
        name: engine.submit(io.BytesIO(encode_audio(sound)), options) for name, sound in sounds()
    }

    answers = {name: request.future.result(500) for name, request in asked.items()}

    assert len(answers) == 48
    said = {name: one.text for name, one in answers.items() if one.text}
    # Without speech detection the model alone must tell; what it is not sure of is flagged.
    unflagged = [name for name in said if vad is VadMode.AUTO or not answers[name].warnings]
    assert len(unflagged) <= MAX_TEXTS, said


@pytest.mark.parametrize("vad", [VadMode.AUTO, VadMode.OFF])
def test_words_said_ten_times_are_written_about_ten_times(
    engine: Engine, clips: list[Clip], vad: VadMode
) -> None:
    clip = next(one for one in clips if one.path.parent.name == "speech_recognition")
    pause = np.zeros(int(0.35 * SAMPLE_RATE), np.float32)
    audio = np.concatenate([heard_at(clip), pause] * 10)
    options = TranscribeOptions(
        language="en", timestamps=True, vad=vad, encoder_window=EncoderWindow.FULL
    )

    transcript = engine.transcribe(encode_audio(audio), options)

    threes = len(re.findall(r"3|three", transcript.text.lower()))
    assert 5 <= threes <= 16 or transcript.warnings, transcript.text


def test_the_same_request_gives_the_same_words_alone_and_among_others(
    engine: Engine, clips: list[Clip]
) -> None:
    # Speech under loud noise: some answers fail and are drawn.
    rng = np.random.default_rng(3)
    speech = [heard_at(clip)[: 8 * SAMPLE_RATE] for clip in clips[-6:]]
    files = [encode_audio(one + rng.normal(0, 0.15, len(one)).astype(np.float32)) for one in speech]
    options = TranscribeOptions(language="en", vad=VadMode.OFF, encoder_window=EncoderWindow.FULL)
    alone = [engine.transcribe(file, options) for file in files]
    asked = [engine.submit(io.BytesIO(file), options) for file in files]

    together = [request.future.result(500) for request in asked]

    assert [one.text for one in together] == [one.text for one in alone]
