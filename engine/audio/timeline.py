"""Puts frames where their presentation times say: gaps become silence, doubles are left out.

In containers with timestamps a stream may begin late, pause, or have packets twice. Times in the
transcript are then those that a player shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from av.audio.frame import AudioFrame

# FFmpeg's names of containers whose times are stored, not counted. In the first, second 0 is the
# start of what is presented. In the others the clock of a broadcast goes on; the first time in the
# file is its start.
_FROM_ZERO = frozenset({"mov", "matroska"})
_FROM_FIRST = frozenset({"asf", "flv", "mpeg", "mpegts", "mxf", "nut", "ogg"})
_CHAINED = frozenset({"ogg"})  # its clock starts again where one stream follows another

_TOLERANCE_S = 0.1  # less is the rounding of times to milliseconds or to a film's pictures
MAX_GAP_S = 3600.0  # a longer one is no pause but another clock, or damage
_MAX_DOUBLE_S = 1.0
_MAX_PLANES = 7  # PyAV miscounts more


def has_times(format_name: str) -> bool:
    """Return whether the frames of a container have times, by FFmpeg's name of it."""
    return not (_FROM_ZERO | _FROM_FIRST).isdisjoint(format_name.split(","))


def on_timeline(
    frames: Iterator[AudioFrame],
    format_name: str,
    first_s: float | None,
    warn: Callable[[str], None],
) -> Iterator[AudioFrame]:
    """Yield frames, with silence where their times leave a gap of up to `MAX_GAP_S`.

    A frame that lies up to 1 s back is there twice and left out. A longer step back or ahead starts
    a new clock: what follows is put directly after what is before.

    Args:
        frames: The frames; those without a time follow the one before.
        format_name: FFmpeg's name of the container.
        first_s: The earliest time in the container; None: that of its first frame.
        warn: Called with one sentence for each kind of problem.
    """
    if not has_times(format_name):
        yield from frames
        return
    names = set(format_name.split(","))
    is_from_zero = bool(names & _FROM_ZERO)
    max_double_s = 0.0 if names & _CHAINED else _MAX_DOUBLE_S
    done_s = doubled_s = skipped_s = 0.0
    zero_s: float | None = None  # by the clock of the frames
    for frame in frames:
        length_s = frame.samples / frame.sample_rate
        time_s = frame.time
        if zero_s is None:
            first_s = (time_s or 0.0) if first_s is None else first_s
            zero_s = min(0.0, first_s) if is_from_zero else first_s
        ahead_s = 0.0 if time_s is None else time_s - zero_s - done_s
        if abs(ahead_s) <= _TOLERANCE_S:
            done_s += length_s
            yield frame
            continue
        if -max_double_s <= ahead_s <= -length_s:
            doubled_s += length_s
            continue
        if 0.0 < ahead_s <= MAX_GAP_S:
            yield from _silence(frame, ahead_s)
            done_s += ahead_s
        else:
            zero_s += ahead_s
            skipped_s += max(0.0, ahead_s)
        done_s += length_s
        yield frame
    if doubled_s:
        warn(f"{doubled_s:.1f} s of audio are in the file twice and were left out once")
    if skipped_s:
        warn(
            f"a gap of {skipped_s:.0f} s in the times of the audio was left out: it is longer than "
            f"{MAX_GAP_S:.0f} s"
        )


def _silence(like: AudioFrame, duration_s: float) -> Iterator[AudioFrame]:
    """Yield silence in the format of a frame, in frames of up to 1 s."""
    left = round(duration_s * like.sample_rate)
    packs = like.format.is_planar and len(like.layout.channels) > _MAX_PLANES
    audio_format = like.format.packed if packs else like.format
    zero = b"\x80" if audio_format.name.startswith("u8") else b"\0"
    while left > 0:
        size = min(left, like.sample_rate)
        frame = AudioFrame(format=audio_format.name, layout=like.layout, samples=size)
        frame.sample_rate = like.sample_rate
        for plane in frame.planes:
            plane.update(zero * plane.buffer_size)
        left -= size
        yield frame
