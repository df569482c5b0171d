"""Sound stands where its presentation times say; gaps are silence, of bounded length."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from audio_files import decoded, tone
from talkmill.engine import AudioTooLong
from talkmill.engine.audio.decode import SAMPLE_RATE, stream_blocks
from talkmill.engine.audio.timeline import MAX_GAP_S, on_timeline
from talkmill.engine.types import Samples

pytestmark = pytest.mark.usefixtures("quiet_ffmpeg")

RATE = 48_000
Steps = tuple[tuple[float, float], ...]
"""Second of the sound from which on times are later, and by how many seconds."""


def timed_file(container: str, codec: str, steps: Steps) -> bytes:
    """Return 3 s of a tone whose packets have later times."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        resampler = av.AudioResampler(stream.format.name, "mono", RATE)
        size = stream.codec_context.frame_size or RATE // 50
        packets = []
        sound = tone(440, 3.0, RATE)[None]
        for start in range(0, sound.shape[1], size):
            block = np.ascontiguousarray(sound[:, start : start + size])
            frame = AudioFrame.from_ndarray(block, "fltp", "mono")
            frame.sample_rate, frame.pts = RATE, start
            for resampled in resampler.resample(frame):
                packets += stream.encode(resampled)
        packets += stream.encode(None)
        for packet in packets:
            assert packet.pts is not None
            assert packet.time_base is not None
            time_s = float(packet.pts * packet.time_base)
            late_s = sum(late for since, late in steps if time_s >= since)
            packet.pts += round(late_s / packet.time_base)
            packet.dts = packet.pts
            output.mux(packet)
    return target.getvalue()


def stretches(samples: Samples) -> list[tuple[float, float]]:
    """Return start and end of each stretch of sound, in seconds, to 0.1 s."""
    loud = np.abs(samples[: len(samples) // 800 * 800]).reshape(-1, 800).max(1) > 0.1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]))) / 20
    return [(round(start, 1), round(end, 1)) for start, end in edges.reshape(-1, 2).tolist()]


FROM_ZERO = [("matroska", "flac"), ("matroska", "pcm_s16le"), ("mp4", "alac"), ("mov", "pcm_s16le")]


@pytest.mark.parametrize(("container", "codec"), FROM_ZERO)
def test_a_stream_that_begins_late_is_heard_late(container: str, codec: str) -> None:
    found, warnings = decoded(timed_file(container, codec, ((0.0, 5.0),)))
    assert warnings == []
    [(start, end)] = stretches(found)
    assert start == pytest.approx(5.0, abs=0.11)
    assert end == pytest.approx(8.0, abs=0.11)


@pytest.mark.parametrize(
    ("container", "codec"), [("mpegts", "mp2"), ("mpeg", "mp2"), ("ogg", "libopus")]
)
def test_the_clock_of_a_broadcast_counts_from_the_first_sound(container: str, codec: str) -> None:
    packets_from = -1.0  # all of them, those of the codec's delay, too
    found, warnings = decoded(timed_file(container, codec, ((packets_from, 500.0),)))
    assert warnings == []
    assert len(found) == pytest.approx(3 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("matroska", "flac"),
        ("webm", "libopus"),
        ("mp4", "aac"),
        ("ogg", "libopus"),
        ("mpegts", "mp2"),
    ],
)
def test_a_gap_in_the_times_is_silence(container: str, codec: str) -> None:
    found, warnings = decoded(timed_file(container, codec, ((1.0, 10.0),)))
    assert warnings == []
    [first, second] = stretches(found)
    assert first == pytest.approx((0.0, 1.0), abs=0.16)
    assert second == pytest.approx((11.0, 13.0), abs=0.16)


@pytest.mark.parametrize(("container", "codec"), [("matroska", "flac"), ("webm", "libopus")])
def test_a_gap_is_silence_in_a_file_that_is_being_written(container: str, codec: str) -> None:
    file = io.BytesIO(timed_file(container, codec, ((1.0, 2.0),)))
    warnings: list[str] = []
    found = np.concatenate(list(stream_blocks(file, warnings.append)))
    assert warnings == []
    [first, second] = stretches(found)
    assert first == pytest.approx((0.0, 1.0), abs=0.16)
    assert second == pytest.approx((3.0, 5.0), abs=0.16)


def test_an_edit_list_decides_what_is_heard() -> None:
    file = bytearray(timed_file("mp4", "aac", ()))
    entry = file.index(b"elst") + 12
    duration_ms, media_time = 1000, RATE
    file[entry : entry + 8] = struct.pack(">Ii", duration_ms, media_time)
    found, warnings = decoded(bytes(file))
    assert warnings == []
    assert len(found) == pytest.approx(SAMPLE_RATE, abs=0.03 * SAMPLE_RATE)


def test_a_gap_counts_towards_the_limit_of_the_audio() -> None:
    file = timed_file("matroska", "flac", ((1.0, 100.0),))
    decoded(file, max_audio_s=104.0)
    with pytest.raises(AudioTooLong, match="limit of 90 s"):
        decoded(file, max_audio_s=90.0)


@pytest.mark.parametrize("since", [-1.0, 1.0])
def test_a_gap_of_hours_is_left_out_with_a_warning(since: float) -> None:
    found, warnings = decoded(timed_file("matroska", "flac", ((since, 2 * MAX_GAP_S),)))
    assert len(found) == pytest.approx(3 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert warnings == [
        "a gap of 7200 s in the times of the audio was left out: it is longer than 3600 s"
    ]


def frames_at(times_s: list[float | None]) -> Iterator[AudioFrame]:
    """Yield frames of 0.1 s; each sample is the frame's number, from 1."""
    for i, time_s in enumerate(times_s):
        samples = np.full((1, RATE // 10), i + 1, np.float32)
        frame = AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        if time_s is not None:
            frame.pts = round(time_s * RATE)
        yield frame


def placed(
    times_s: list[float | None], format_name: str = "matroska,webm"
) -> tuple[list[float], list[str]]:
    """Return what is heard in each 0.1 s of frames 1, 2, ... at these times, and the warnings."""
    warnings: list[str] = []
    frames = on_timeline(frames_at(times_s), format_name, 0.0, warnings.append)
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return samples[:: RATE // 10].tolist(), warnings


def test_rounded_times_make_no_silence() -> None:
    assert placed([0.0, 0.13, 0.17, 0.35]) == ([1, 2, 3, 4], [])


def test_frames_without_times_follow_each_other() -> None:
    assert placed([None, None, 0.4, None]) == ([1, 2, 0, 0, 3, 4], [])


def test_frames_that_are_there_twice_are_heard_once() -> None:
    found, warnings = placed([0.0, 0.1, 0.2, 0.1, 0.2, 0.3])
    assert found == [1, 2, 3, 6]
    assert warnings == ["0.2 s of audio are in the file twice and were left out once"]


def test_a_clock_that_starts_again_loses_no_sound() -> None:
    times: list[float | None] = [round(0.1 * i, 1) for i in range(15)]
    found, warnings = placed([*times, 0.0, 0.1, 0.4])
    assert found == [*range(1, 18), 0, 0, 18]
    assert warnings == []


def test_short_streams_in_a_chain_lose_no_sound() -> None:
    assert placed([0.0, 0.1, 0.2, 0.0, 0.1], "ogg") == ([1, 2, 3, 4, 5], [])


def test_counted_times_are_not_looked_at() -> None:
    assert placed([0.0, 5.0, 0.0], "mp3") == ([1, 2, 3], [])


@pytest.mark.parametrize("audio_format", ["u8", "s16", "s16p", "fltp", "dblp", "s64"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "7.1"])
def test_silence_has_the_format_of_the_sound_around_it(audio_format: str, layout: str) -> None:
    frame = AudioFrame(audio_format, layout, RATE)
    frame.sample_rate, frame.pts = RATE, 2 * RATE
    frame.time_base = Fraction(1, RATE)
    silence = list(on_timeline(iter([frame]), "mov,mp4", 0.0, pytest.fail))[:-1]
    resampler = av.AudioResampler("flt", "mono", RATE)
    heard = [block.to_ndarray() for one in silence for block in resampler.resample(one)]
    assert sum(block.shape[1] for block in heard) == 2 * RATE
    assert max(np.abs(block).max() for block in heard) == 0
