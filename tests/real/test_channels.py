"""Two speakers on two channels: each is heard as if alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from audio_files import encode_audio
from benchmarks.real_speech import Clip
from talkmill.engine import Channels, Engine, Segment, TranscribeOptions, Transcript
from talkmill.engine.audio.decode import SAMPLE_RATE, decode_audio
from talkmill.engine.audio.resample import Planes
from talkmill.engine.types import Samples

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

NUM_PAIRS = 3


def samples_of(clip: Clip) -> Samples:
    with clip.path.open("rb") as file:
        return np.concatenate(list(decode_audio(file, clip.duration_s + 1, pytest.fail)))


def side_by_side(first: Samples, second: Samples, second_start: int) -> Planes:
    planes = np.zeros((2, max(len(first), second_start + len(second))), np.float32)
    planes[0, : len(first)] = first
    planes[1, second_start : second_start + len(second)] = second
    return planes


def lines(transcript: Transcript, channel: int | None = None) -> list[tuple[str, float, object]]:
    own = [one for one in transcript.segments if one.channel == channel]
    return [(one.text, one.start_s, one.end_s) for one in own]


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("is_overlapping", [False, True])
def test_each_channel_is_heard_as_if_alone(
    engine: Engine, clips: list[Clip], is_overlapping: bool, timestamps: bool
) -> None:
    chosen = [one for one in clips if one.path.parent.name == "librispeech_misc"][: NUM_PAIRS + 1]
    split = TranscribeOptions(language="en", timestamps=timestamps, channels=Channels.SPLIT)
    mixed = TranscribeOptions(language="en", timestamps=timestamps)
    for first, second in pairwise(map(samples_of, chosen)):
        start = SAMPLE_RATE if is_overlapping else len(first) + SAMPLE_RATE
        planes = side_by_side(first, second, start)
        streamed: list[Segment] = []
        file = encode_audio(planes, "flac", "flac")

        together = engine.submit(file, split, on_segment=streamed.append).future.result()

        for channel, plane in enumerate(planes):
            alone = engine.transcribe(encode_audio(plane, "flac", "flac"), mixed)
            assert lines(together, channel) == lines(alone) != []
        places = [(one.start_s, one.channel) for one in together.segments]
        assert places == sorted(places)
        assert tuple(streamed) == together.segments
