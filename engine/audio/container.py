"""Opens an audio file with FFmpeg, which may read nothing but the file and take little memory."""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Iterator
from typing import BinaryIO

import av
import av.frame
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec, codecs_available
from av.container import InputContainer
from av.packet import Packet

from ..errors import InvalidAudio

# Recordings of sound and film that are whole in themselves. FFmpeg also knows formats that open the
# files and addresses which the input names (playlists, scripts), devices, and those of games.
_FORMATS = (
    "aac,ac3,act,aea,aiff,amr,amrnb,amrwb,apac,ape,asf,au,avi,avr,bonk,caf,daud,dhav,dsf,dss,dts,"
    "dtshd,dv,eac3,epaf,flac,flv,gsm,gxf,hcom,iff,ircam,ivr,loas,lvf,matroska,webm,mlp,mmf,mov,mp4,"
    "m4a,3gp,3g2,mp2,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsp,nsv,nut,nuv,ogg,oma,osq,pva,pvf,"
    "qcp,qoa,rka,rm,s337m,sds,shn,smjpeg,sox,spdif,swf,tak,truehd,tta,ty,vivo,voc,vqf,w64,wav,"
    "wavarc,wsd,wtv,wv,wve,xwma"
)
_MAX_STREAMS = 100
# An index of 12 hours of film has 62 MB; a file of a few bytes can ask for 2 GB.
_MAX_ALLOCATION_BYTES = 2**27
# One packet of these codecs may hold any number of frames, some of one byte and 2 kB of sound.
_MANY_FRAMES = frozenset(
    {"amrnb", "amrwb", "g723_1", "g729", "libopencore_amrnb", "libopencore_amrwb", "speex"}
)
_MAX_PACKET_BYTES = 4096  # of them: more than any of their encoders writes
# Hz. Other rates come from damaged or hostile headers: FFmpeg cannot resample from much higher
# ones, and at 1 Hz a frame of a few bytes would become hours.
_RATES = range(1_000, 1_000_001)
_BUFFER_BYTES = 32_768  # PyAV's own
_LIVE_BUFFER_BYTES = 4_096  # FFmpeg asks for as much at once
_LIVE_PROBE_BYTES = 8_192  # two seconds of Opus for speech
_MAX_DAMAGED = 10_000  # packets in a row; each takes as long as a good one

_log = logging.getLogger(__name__)


def open_container(source: BinaryIO, *, is_live: bool = False) -> InputContainer:
    """Return an audio file, opened at its start.

    Args:
        source: The file.
        is_live: Whether it is still being written: as little as possible is read before the start.

    Raises:
        InvalidAudio: It has no known format.
    """
    _limit_memory()
    options = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": "",
        "codec_whitelist": _audio_codecs(),  # or FFmpeg decodes a film's first pictures
        "max_streams": str(_MAX_STREAMS),
    }
    if is_live:
        options |= {"probesize": str(_LIVE_PROBE_BYTES), "analyzeduration": "0"}
    try:
        return av.open(
            source,
            mode="r",
            metadata_errors="ignore",
            options=options,
            buffer_size=_LIVE_BUFFER_BYTES if is_live else _BUFFER_BYTES,
        )
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise InvalidAudio("not an audio file of a known format") from error


@functools.cache
def _limit_memory() -> None:
    """Limit what FFmpeg allocates at once, in the whole process; PyAV has no call for it."""
    # The library that PyAV loaded: a symbol is looked up in what a module was linked to, too.
    ctypes.CDLL(av.frame.__file__).av_max_alloc(ctypes.c_size_t(_MAX_ALLOCATION_BYTES))


@functools.cache
def _audio_codecs() -> str:
    return ",".join(name for name in sorted(codecs_available) if _is_audio_decoder(name))


def _is_audio_decoder(name: str) -> bool:
    try:
        return Codec(name, "r").type == "audio"
    except ValueError:  # it encodes only
        return False


def decoded_frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame | None]:
    """Yield the frames of a stream, and None for each packet that cannot be decoded."""
    num_damaged = 0  # since the last good packet
    try:
        # Packet by packet: a damaged one raises, which would end a generator over frames.
        for packet in container.demux(stream):
            frames = _frames_of(packet, stream)
            is_damaged = bool(frames) and all(frame is None for frame in frames)
            num_damaged = num_damaged + 1 if is_damaged else 0
            yield from frames
            if num_damaged >= _MAX_DAMAGED:
                return
    # PyAV raises IndexError at the end of a damaged file that gained a stream while it was read.
    except (av.FFmpegError, ValueError, IndexError, MemoryError) as error:
        _log.debug("unreadable container: %s", error)
        yield None


def _frames_of(packet: Packet[AudioStream], stream: AudioStream) -> list[AudioFrame | None]:
    """Return the frames of a packet; None stands for what cannot be decoded."""
    if packet.size > _MAX_PACKET_BYTES and stream.codec_context.name in _MANY_FRAMES:
        return [None]
    try:
        frames = packet.decode()
    except (av.FFmpegError, MemoryError) as error:
        _log.debug("damaged packet: %s", error)
        return [None]
    return [frame if frame.sample_rate in _RATES else None for frame in frames]
