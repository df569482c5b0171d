"""Decodes any audio file to float32 at 16 kHz, mono or each channel, as a stream of blocks.

It opens nothing but the given bytes: formats that refer to other files or addresses (playlists,
concat scripts) are refused.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from typing import BinaryIO, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from ..errors import AudioTooLong, InvalidAudio
from ..types import Channels, Samples
from .container import decoded_frames, open_container
from .follower import Follower
from .growing import GrowingFile
from .parts import parts_of
from .resample import Planes, resample
from .timeline import has_times, on_timeline

SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 4 * SAMPLE_RATE  # least length of a block, except for the last

# Formats whose header has the number of samples, which shows if the file is cut off. In the other
# formats it is an estimate.
_FORMATS_WITH_LENGTH = {"wav", "w64", "flac", "aiff", "caf", "au", "mov", "matroska"}
_LENGTH_TOLERANCE_S = 0.5
_CUT_OFF = "audio is cut off: the end of the file is missing"
_MAX_OGG_PAGE = 65_307  # bytes
_OGG_END = 4  # flag of a stream's last page
_PEAK_LIMIT = 1e3  # float files may exceed 1.0; beyond this the values are not audio


def decode_audio(
    source: BinaryIO, max_audio_s: float, warn: Callable[[str], None]
) -> Iterator[Samples]:
    """Yield the first audio stream of a file as mono samples at 16 kHz; see `decode_channels`."""
    for planes in decode_channels(source, max_audio_s, warn):
        yield planes[0]


def decode_channels(
    source: BinaryIO,
    max_audio_s: float,
    warn: Callable[[str], None],
    channels: Channels = Channels.MIX,
) -> Generator[Planes]:
    """Yield the first audio stream of a file at 16 kHz.

    A file that is cut off or damaged is decoded as far as possible, and `warn` is called.

    Args:
        source: The file, seekable, at its start.
        max_audio_s: Limit on the decoded audio, all channels of the result together, in seconds.
        warn: Called with one sentence for each problem.
        channels: MIX gives one channel, SPLIT those of the file.

    Yields:
        float32 of shape (num_channels, num_samples), about 4 s each.

    Raises:
        InvalidAudio: The file has no known format or no audio stream, or nothing can be decoded.
        InvalidOption: The file has more channels than can be split.
        AudioTooLong: The decoded audio is longer than `max_audio_s`.
    """
    frames = _frames_of_parts(parts_of(source, warn), warn)
    yield from _planes_of(frames, max_audio_s, warn, channels, BLOCK_SAMPLES)


def decode_growing(
    body: GrowingFile,
    max_audio_s: float,
    warn: Callable[[str], None],
    channels: Channels = Channels.MIX,
) -> Generator[Planes]:
    """Yield what `decode_channels` does, of a body that is still coming, about 1 s each.

    Args:
        body: A body of which `follower.can_follow` is true.
        max_audio_s: See `decode_channels`.
        warn: See `decode_channels`.
        channels: See `decode_channels`.

    Raises:
        TalkmillError: See `decode_channels`; or the rest of the body does not come.
    """
    frames = _growing_frames(body, warn)
    yield from _planes_of(frames, max_audio_s, warn, channels, SAMPLE_RATE)


def _planes_of(
    frames: Iterator[AudioFrame],
    max_audio_s: float,
    warn: Callable[[str], None],
    channels: Channels,
    block_samples: int,
) -> Generator[Planes]:
    num_samples = 0
    pieces = resample(frames, SAMPLE_RATE, channels, warn)
    for block in _finite(_blocks(pieces, block_samples), warn):
        num_samples += block.shape[1]
        _check_length(num_samples, len(block), max_audio_s)
        yield block
    if num_samples == 0:
        raise InvalidAudio("nothing in the audio stream can be decoded")


def stream_blocks(source: BinaryIO, warn: Callable[[str], None]) -> Iterator[Samples]:
    """Yield the first audio stream of a file that is still being written, mono, as it comes.

    What only the whole file tells is not looked at: wrong lengths in its header, a second file
    after it, its end.

    Args:
        source: The file, which cannot be seeked; `read` returns what is there.
        warn: Called with one sentence for each problem.

    Raises:
        InvalidAudio: The file has no known format or no audio stream, or nothing can be decoded.
    """
    num_samples = 0
    with open_container(source, is_live=True) as container:
        frames = _decoded(container, _audio_stream(container), warn)
        timed = on_timeline(frames, container.format.name, None, warn)
        for planes in _finite(resample(timed, SAMPLE_RATE, Channels.MIX, warn, merged_s=0.0), warn):
            num_samples += planes.shape[1]
            yield planes[0]
    if num_samples == 0:
        raise InvalidAudio("nothing in the audio stream can be decoded")


def _check_length(num_samples: int, num_channels: int, max_audio_s: float) -> None:
    if num_samples * num_channels > int(max_audio_s * SAMPLE_RATE):
        count = f", each of its {num_channels} channels counted" if num_channels > 1 else ""
        raise AudioTooLong(f"audio is longer than the limit of {max_audio_s:g} s{count}")


def _frames_of_parts(
    parts: Iterator[BinaryIO], warn: Callable[[str], None], num_before: int = 0
) -> Iterator[AudioFrame]:
    """Yield the frames of the files in a body; `num_before` of them were decoded already."""
    for index, part in enumerate(parts, num_before):
        try:
            if _is_cut_off_ogg(part):
                warn(_CUT_OFF)
            with open_container(part) as container:
                yield from _frames_in(container, warn)
        except InvalidAudio as error:
            if index == 0:
                raise
            warn(f"file {index + 1} in the body was left out: {error}")


def _growing_frames(body: GrowingFile, warn: Callable[[str], None]) -> Iterator[AudioFrame]:
    follower = Follower(body, warn)
    with open_container(cast(BinaryIO, follower), is_live=True) as container:
        yield from _frames_in(container, warn)
    follower.finish()
    whole = body.whole()
    if _is_cut_off_ogg(whole):
        warn(_CUT_OFF)
    yield from _frames_of_parts(parts_of(whole, warn, follower.end), warn, num_before=1)


def _frames_in(container: InputContainer, warn: Callable[[str], None]) -> Iterator[AudioFrame]:
    decoded_s = reached_s = 0.0
    stream = _audio_stream(container)
    declared_s = _declared_s(container, stream)
    name, start = container.format.name, container.start_time
    first_s = None if start is None else start / av.time_base
    is_timed = has_times(name)
    for frame in on_timeline(_decoded(container, stream, warn), name, first_s, warn):
        decoded_s += frame.samples / frame.sample_rate
        if is_timed:  # a gap of hours was left out
            reached_s = max(reached_s, frame.time or 0.0)
        yield frame
    reached_s = max(reached_s, decoded_s)
    if 0.0 < reached_s < (declared_s or 0.0) - _LENGTH_TOLERANCE_S:
        warn(f"audio is cut off: {decoded_s:.1f} s decoded, {declared_s:.1f} s in its header")


def _is_cut_off_ogg(source: BinaryIO) -> bool:
    """Return whether the end of an Ogg file is missing; FFmpeg does not check that."""
    is_cut_off = False
    if source.read(4) == b"OggS":
        num_bytes = source.seek(0, io.SEEK_END)
        source.seek(max(0, num_bytes - _MAX_OGG_PAGE))
        tail = source.read()
        last = tail.rfind(b"OggS")
        is_cut_off = last < 0 or not tail[last + 5 : last + 6] or not tail[last + 5] & _OGG_END
    source.seek(0)
    return is_cut_off


def declared_duration_s(source: BinaryIO) -> float | None:
    """Return the length that the header states or estimates, in seconds; for display only.

    None if the header has no length.

    Raises:
        InvalidAudio: The file has no known format or no audio stream.
    """
    part = next(parts_of(source, lambda warning: None))
    with open_container(part) as container:
        _audio_stream(container)
        return None if container.duration is None else container.duration / av.time_base


def _audio_stream(container: InputContainer) -> AudioStream:
    """Return the first audio stream that FFmpeg has a decoder for."""
    streams = container.streams.audio
    if not streams:
        raise InvalidAudio(f"no audio stream in the {container.format.name} file")
    # PyAV gives a stream without a decoder no codec context, whatever its types say.
    decodable = [one for one in streams if getattr(one, "codec_context", None) is not None]
    if not decodable:
        raise InvalidAudio(f"no decoder for the audio in the {container.format.name} file")
    return decodable[0]


def _declared_s(container: InputContainer, stream: AudioStream) -> float | None:
    if _FORMATS_WITH_LENGTH.isdisjoint(container.format.name.split(",")):
        return None
    if stream.duration is not None and stream.time_base is not None:
        length = max(0, stream.start_time or 0) + stream.duration
        return float(length * Fraction(stream.time_base))
    return None if container.duration is None else container.duration / av.time_base


def _decoded(
    container: InputContainer, stream: AudioStream, warn: Callable[[str], None]
) -> Iterator[AudioFrame]:
    num_damaged = 0
    for frame in decoded_frames(container, stream):
        if frame is None:
            num_damaged += 1
        else:
            yield frame
    if num_damaged:
        warn(f"audio is damaged: {num_damaged} packets could not be decoded")


def _blocks(pieces: Iterator[Planes], block_samples: int) -> Iterator[Planes]:
    held: list[Planes] = []
    num_samples = 0
    for piece in pieces:
        held.append(piece)
        num_samples += piece.shape[1]
        if num_samples >= block_samples:
            yield np.concatenate(held, 1)
            held, num_samples = [], 0
    if num_samples:
        yield np.concatenate(held, 1)


def _finite(blocks: Iterator[Planes], warn: Callable[[str], None]) -> Iterator[Planes]:
    warn = functools.cache(warn)  # once for each channel
    for block in blocks:
        for channel, plane in enumerate(block):
            if np.abs(plane).max() <= _PEAK_LIMIT:  # false for NaN, too
                continue
            where = f"channel {channel}" if len(block) > 1 else "audio"
            warn(
                f"{where} has samples that are NaN or over {_PEAK_LIMIT:g}: NaN was set to 0, "
                "the rest clipped to -1 to 1"
            )
            plane[:] = np.clip(np.nan_to_num(plane, nan=0.0), -1.0, 1.0)
        yield block
