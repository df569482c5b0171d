"""Frames of any format to float32 samples at one rate, mixed to mono or each channel on its own."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from ..errors import InvalidAudio, InvalidOption
from ..types import Channels, Samples
from .filter_graph import AudioResampler

Planes = NDArray[np.float32]
"""Audio of one or more channels, float32 of shape (num_channels, num_samples), in -1 to 1."""

MAX_CHANNELS = 8
"""Most channels that are transcribed each on its own: those of 7.1."""

_SCALES = {"s16": 2**-15, "s16p": 2**-15, "flt": 1, "fltp": 1}  # by the format of the samples

# Two channels cancel each other out if their mix has less than this share of the power of the first
# one: they are then about as loud as each other. Channels with nothing in common leave a quarter.
_CANCELLED_POWER = 0.01


def resample(
    frames: Iterator[AudioFrame],
    rate: int,
    channels: Channels,
    warn: Callable[[str], None],
    merged_s: float = 1.0,
) -> Iterator[Planes]:
    """Yield the samples of a stream, whose frames may change their format midway.

    Args:
        frames: The frames.
        rate: Samples per second of the result.
        channels: MIX gives one channel, SPLIT as many as the first frame has.
        warn: Called with one sentence for each problem.
        merged_s: Audio in one call of the resampler, in seconds: calls for short frames are costly.

    Raises:
        InvalidAudio: A format cannot be resampled.
        InvalidOption: There are more channels to split than `MAX_CHANNELS`.
    """
    warn = functools.cache(warn)  # once for each problem
    num_channels = 0  # of the result
    resampler: _Scaler | _Mixer | _Splitter | None = None
    for frame in _merge(frames, merged_s):
        if resampler is None or _format(frame) != resampler.format:
            if resampler is not None:
                yield from resampler.take(None)
            if channels is Channels.MIX:
                num_channels = 1
            else:
                num_channels = num_channels or _num_to_split(frame)
                _warn_of_change(num_channels, _num_channels(frame), warn)
            resampler = _new_resampler(frame, rate, num_channels, warn)
        yield from resampler.take(frame)
    if resampler is not None:
        yield from resampler.take(None)


def _num_to_split(frame: AudioFrame) -> int:
    if (num_channels := _num_channels(frame)) > MAX_CHANNELS:
        raise InvalidOption(
            f"channels 'split' takes audio of at most {MAX_CHANNELS} channels, this has "
            f"{num_channels}",
            "channels",
        )
    return num_channels


def _warn_of_change(before: int, after: int, warn: Callable[[str], None]) -> None:
    if after != before:
        warn(
            f"the audio changes from {before} to {after} channels midway: the rest is mixed, the "
            f"same in each of the {before}"
        )


def _new_resampler(
    frame: AudioFrame, rate: int, num_channels: int, warn: Callable[[str], None]
) -> _Scaler | _Mixer | _Splitter:
    found = _num_channels(frame)
    if num_channels == found == 1 and frame.sample_rate == rate and frame.format.name in _SCALES:
        return _Scaler(frame)
    if num_channels == found:
        return _Splitter(frame, rate)
    return _Mixer(frame, rate, num_channels, warn)


def _merge(frames: Iterator[AudioFrame], merged_s: float) -> Iterator[AudioFrame]:
    """Join frames of one format into frames of about `merged_s` seconds."""
    fifo = AudioFifo()
    audio_format: tuple[str, str, int] | None = None
    for frame in frames:
        frame.pts = None  # AudioFifo refuses gaps in the timestamps
        found = _format(frame)
        if found != audio_format or fifo.samples >= frame.sample_rate * merged_s:
            yield from _drain(fifo)
            if found != audio_format:  # a stream may change its format midway
                fifo, audio_format = AudioFifo(), found
        fifo.write(frame)
    yield from _drain(fifo)


def _drain(fifo: AudioFifo) -> Iterator[AudioFrame]:
    frame = fifo.read()
    if frame is not None:
        frame.pts = None  # gaps in the timestamps are not filled
        yield frame


def _format(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _num_channels(frame: AudioFrame) -> int:
    return len(frame.layout.channels)


class _Scaler:
    """Scales audio that is mono at the rate already; FFmpeg would take twice as long to copy it."""

    def __init__(self, frame: AudioFrame) -> None:
        self.format = _format(frame)
        self._scale = np.float32(_SCALES[frame.format.name])

    def take(self, frame: AudioFrame | None) -> list[Planes]:
        """Return the samples of a frame; None ends the stream and returns none."""
        return [] if frame is None else [np.asarray(frame.to_ndarray() * self._scale, np.float32)]


class _Splitter:
    """Resamples audio of one format, each channel on its own."""

    def __init__(self, frame: AudioFrame, rate: int) -> None:
        self.format = _format(frame)
        self._num_channels = _num_channels(frame)
        # Packed samples: PyAV crashes on more than seven planes.
        self._resampler = AudioResampler("flt", frame.layout, rate)

    def take(self, frame: AudioFrame | None) -> list[Planes]:
        """Return the samples that are ready; None ends the stream and returns the rest."""
        with _errors_as_invalid_audio():
            found = self._resampler.resample(frame)
        packed = [np.asarray(block.to_ndarray(), np.float32) for block in found]
        return [samples.reshape(-1, self._num_channels).T for samples in packed]


class _Mixer:
    """Resamples audio of one format; mixes to mono first, or FFmpeg would resample each channel.

    Where two channels cancel each other out, as with a microphone that is wired the wrong way, the
    first is taken instead of their mix.
    """

    def __init__(
        self, frame: AudioFrame, rate: int, num_copies: int, warn: Callable[[str], None]
    ) -> None:
        self.format = _format(frame)
        self._num_copies = num_copies
        self._warn = warn
        self._mixer = AudioResampler("fltp", "mono", frame.sample_rate)
        self._resampler = AudioResampler("fltp", "mono", rate)
        is_stereo = _num_channels(frame) == 2
        self._stereo = _Splitter(frame, frame.sample_rate) if is_stereo else None
        with _errors_as_invalid_audio():
            self._gain = _mixing_gain(frame.layout.name, _num_channels(frame))

    def take(self, frame: AudioFrame | None) -> list[Planes]:
        """Return the samples that are ready; None ends the stream and returns the rest."""
        with _errors_as_invalid_audio():
            mixed: list[AudioFrame | None] = [*self._mix(frame)]
            if frame is None:
                mixed.append(None)
            found = [block for part in mixed for block in self._resampler.resample(part)]
        samples = [np.asarray(block.to_ndarray(), np.float32) for block in found]
        if self._gain != 1.0:
            samples = [block * self._gain for block in samples]
        return [np.repeat(block, self._num_copies, 0) for block in samples]

    def _mix(self, frame: AudioFrame | None) -> list[AudioFrame]:
        mixed = self._mixer.resample(frame)
        if frame is None or self._stereo is None:
            return mixed
        [both] = self._stereo.take(frame)
        if not _cancel(*both):
            return mixed
        self._warn("the two channels cancel each other out when they are mixed: the first is used")
        first = AudioFrame.from_ndarray(both[:1] / self._gain, "fltp", "mono")
        first.sample_rate = frame.sample_rate
        return [first]


def _cancel(left: Samples, right: Samples) -> bool:
    """Return whether the mix of two channels has next to nothing of them; silence does not."""
    with np.errstate(over="ignore", invalid="ignore"):  # a file of floats may hold any number
        mix = (left + right) / 2
        return bool(np.dot(mix, mix) < _CANCELLED_POWER * np.dot(left, left))


@contextlib.contextmanager
def _errors_as_invalid_audio() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise InvalidAudio("the audio's format cannot be resampled to 16 kHz") from error


@functools.cache
def _mixing_gain(layout: str, num_channels: int) -> float:
    """Return the gain that keeps a mono mix as loud as its channels.

    FFmpeg does not scale the mix if the output is float.
    """
    # Packed samples, as PyAV miscounts more than eight planes.
    rate = 16_000
    ones = np.ones((1, num_channels * rate // 10), np.float32)
    frame = AudioFrame.from_ndarray(ones, format="flt", layout=layout)
    frame.sample_rate = rate
    [mixed, *_] = AudioResampler("flt", "mono", rate).resample(frame)
    return 1.0 / max(1.0, float(mixed.to_ndarray().max()))
