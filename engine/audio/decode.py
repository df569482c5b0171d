"""Bytes of any audio file to float32 mono at 16 kHz, as a stream of blocks.

Owns PyAV. Never opens anything but the bytes it is given: containers that refer to other files
or addresses (playlists, concat scripts) are not read at all.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from ..errors import AudioTooLong, InvalidAudio
from ..types import Samples

SAMPLE_RATE = 16_000
_SLAB_S = 1  # of sound, that go through the resampler at once
_SCALES = {
    (sample_format, "mono", SAMPLE_RATE): scale
    for sample_format, scale in (("s16", 2**-15), ("s16p", 2**-15), ("flt", 1), ("fltp", 1))
}
BLOCK_SAMPLES = 4 * SAMPLE_RATE  # blocks are at least this long, but for the last

# Self-contained formats. FFmpeg's others include some that open what the file names.
_FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,matroska,webm,mov,mp4,"
    "m4a,3gp,3g2,mp2,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,ogg,oma,rm,shn,tak,tta,voc,w64,wav,wv"
)
# Where the header counts the samples, so that a short file shows. Elsewhere it is an estimate.
_FORMATS_WITH_LENGTH = {"wav", "w64", "flac", "aiff", "caf", "au", "mov", "matroska"}
_LENGTH_TOLERANCE_S = 0.5
# Hz. Outside these a damaged or hostile header speaks: FFmpeg cannot resample from far above, and
# from 1 Hz a frame of a few bytes would become hours.
_RATES = range(1_000, 1_000_001)
_UNKNOWN_RIFF_SIZE = 0xFFFF_FFF0  # about so much is written where the length was not known yet
_RIFF_SLACK = 16  # bytes by which careless writers are off
_MAX_OGG_PAGE = 65_307  # bytes
_OGG_END = 4  # the flag of a stream's last page
_PEAK_LIMIT = 1e3  # a float file may overshoot 1.0; past this it holds no sound

_log = logging.getLogger(__name__)


def decode_audio(
    source: BinaryIO, max_audio_s: float, warn: Callable[[str], None]
) -> Iterator[Samples]:
    """Yield the first audio stream of a file as mono samples at 16 kHz.

    A file that is cut off or damaged midway yields what can be decoded, and `warn` is told.

    Args:
        source: The file, seekable, at its start.
        max_audio_s: Most seconds to decode.
        warn: Called with one sentence for each thing amiss.

    Yields:
        float32 of shape (num_samples,), about 4 s each.

    Raises:
        InvalidAudio: Nothing can be decoded.
        AudioTooLong: There is more audio than `max_audio_s`.
    """
    max_samples = int(max_audio_s * SAMPLE_RATE)
    num_samples = 0
    if _is_cut_off(source):
        warn("audio is cut off: the file is shorter than it says")
    with _open(source) as container:
        stream = _audio_stream(container)
        declared_s = _declared_s(container, stream)
        for block in _finite(_blocks(_resample(_slabs(_frames(container, stream, warn)))), warn):
            num_samples += len(block)
            if num_samples > max_samples:
                raise AudioTooLong(f"audio is longer than the limit of {max_audio_s:g} s")
            yield block
    decoded_s = num_samples / SAMPLE_RATE
    if num_samples == 0:
        raise InvalidAudio("the audio stream holds no sound that can be decoded")
    if declared_s is not None and decoded_s < declared_s - _LENGTH_TOLERANCE_S:
        warn(f"audio is cut off: {decoded_s:.1f} s of the {declared_s:.1f} s its header names")


def _is_cut_off(source: BinaryIO) -> bool:
    """Return whether a WAV or Ogg file lacks its end; FFmpeg takes these as they come."""
    head = source.read(8)
    num_bytes = source.seek(0, io.SEEK_END)
    is_cut_off = False
    if head[:4] == b"RIFF":
        declared = int.from_bytes(head[4:], "little")
        is_cut_off = declared < _UNKNOWN_RIFF_SIZE and declared + 8 > num_bytes + _RIFF_SLACK
    elif head[:4] == b"OggS":
        source.seek(max(0, num_bytes - _MAX_OGG_PAGE))
        tail = source.read()
        last = tail.rfind(b"OggS")
        is_cut_off = last < 0 or not tail[last + 5 : last + 6] or not tail[last + 5] & _OGG_END
    source.seek(0)
    return is_cut_off


def declared_duration_s(source: BinaryIO) -> float | None:
    """Return the length that a file's header names or lets one guess; for display only.

    Raises:
        InvalidAudio: It is not an audio file.
    """
    with _open(source) as container:
        _audio_stream(container)
        return None if container.duration is None else container.duration / av.time_base


def _open(source: BinaryIO) -> InputContainer:
    try:
        return av.open(
            source,
            mode="r",
            metadata_errors="ignore",
            options={"format_whitelist": _FORMATS, "protocol_whitelist": ""},
        )
    except (av.FFmpegError, ValueError) as error:
        raise InvalidAudio("not an audio file of a known format") from error


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise InvalidAudio(f"no audio stream in the {container.format.name} file")
    return container.streams.audio[0]


def _declared_s(container: InputContainer, stream: AudioStream) -> float | None:
    if _FORMATS_WITH_LENGTH.isdisjoint(container.format.name.split(",")):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * Fraction(stream.time_base))
    return None if container.duration is None else container.duration / av.time_base


def _frames(
    container: InputContainer, stream: AudioStream, warn: Callable[[str], None]
) -> Iterator[AudioFrame]:
    # Packet by packet: a damaged one raises, and a generator over frames would end there.
    num_damaged = 0
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                _log.debug("damaged packet: %s", error)
                num_damaged += 1
                continue
            sound = [frame for frame in frames if frame.sample_rate in _RATES]
            num_damaged += len(sound) < len(frames)
            yield from sound
    # PyAV's last packets are an IndexError where a damaged file gained a stream on the way.
    except (av.FFmpegError, ValueError, IndexError) as error:
        _log.debug("unreadable container: %s", error)
        num_damaged += 1
    if num_damaged:
        warn(f"audio is damaged: {num_damaged} of its packets could not be decoded")


def _slabs(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """Join frames of one form to longer ones: a call each costs more than what is done in it."""
    fifo = AudioFifo()
    form: tuple[str, str, int] | None = None
    for frame in frames:
        frame.pts = None  # the queue would refuse gaps
        found = _form(frame)
        if found != form or fifo.samples >= frame.sample_rate * _SLAB_S:
            yield from _rest(fifo)
            if found != form:  # streams may change midway
                fifo, form = AudioFifo(), found
        fifo.write(frame)
    yield from _rest(fifo)


def _rest(fifo: AudioFifo) -> Iterator[AudioFrame]:
    slab = fifo.read()
    if slab is not None:
        slab.pts = None  # gaps in the timestamps are not ours to fill
        yield slab


def _form(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _resample(slabs: Iterator[AudioFrame]) -> Iterator[Samples]:
    resampler: _Scaler | _Resampler | None = None
    for slab in slabs:
        if resampler is None or _form(slab) != resampler.form:
            if resampler is not None:
                yield from resampler.take(None)
            resampler = _Scaler(slab) if _form(slab) in _SCALES else _Resampler(slab)
        yield from resampler.take(slab)
    if resampler is not None:
        yield from resampler.take(None)


class _Scaler:
    """Takes sound that is at our rate and mono: half the time that FFmpeg takes to do nothing."""

    def __init__(self, frame: AudioFrame) -> None:
        self.form = _form(frame)
        self._scale = np.float32(_SCALES[self.form])

    def take(self, frame: AudioFrame | None) -> list[Samples]:
        """Return a frame as samples."""
        return [] if frame is None else [frame.to_ndarray()[0] * self._scale]


class _Resampler:
    """Turns sound of one form into ours: mono first, as FFmpeg alone resamples each channel."""

    def __init__(self, frame: AudioFrame) -> None:
        self.form = _form(frame)
        self._mixer = AudioResampler("fltp", "mono", frame.sample_rate)
        self._resampler = AudioResampler("fltp", "mono", SAMPLE_RATE)
        with _refusing_forms():
            self._gain = _mixing_gain(frame.layout.name, len(frame.layout.channels))

    def take(self, frame: AudioFrame | None) -> list[Samples]:
        """Return what is ready after a frame, or all of it after the last, which is None."""
        with _refusing_forms():
            mixed: list[AudioFrame | None] = [*self._mixer.resample(frame)]
            if frame is None:
                mixed.append(None)
            found = [block for part in mixed for block in self._resampler.resample(part)]
        samples = [block.to_ndarray()[0] for block in found]
        return samples if self._gain == 1.0 else [block * self._gain for block in samples]


@contextlib.contextmanager
def _refusing_forms() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise InvalidAudio("the audio has a form that cannot be resampled") from error


@functools.cache
def _mixing_gain(layout: str, num_channels: int) -> float:
    """Return what keeps a mix to mono as loud as its channels; to floats FFmpeg does not scale."""
    # Not planar: past eight planes PyAV loses count.
    ones = np.ones((1, num_channels * SAMPLE_RATE // 10), np.float32)
    frame = AudioFrame.from_ndarray(ones, format="flt", layout=layout)
    frame.sample_rate = SAMPLE_RATE
    [mixed, *_] = AudioResampler("flt", "mono", SAMPLE_RATE).resample(frame)
    return 1.0 / max(1.0, float(mixed.to_ndarray().max()))


def _blocks(pieces: Iterator[Samples]) -> Iterator[Samples]:
    held: list[Samples] = []
    num_samples = 0
    for piece in pieces:
        held.append(piece)
        num_samples += len(piece)
        if num_samples >= BLOCK_SAMPLES:
            yield np.concatenate(held)
            held, num_samples = [], 0
    if num_samples:
        yield np.concatenate(held)


def _finite(blocks: Iterator[Samples], warn: Callable[[str], None]) -> Iterator[Samples]:
    is_told = False
    for block in blocks:
        if np.abs(block).max() <= _PEAK_LIMIT:  # false for NaN too
            yield block
            continue
        if not is_told:
            warn("audio holds values that are not sound; they were silenced or clipped")
            is_told = True
        yield np.clip(np.nan_to_num(block, nan=0.0), -1.0, 1.0)
