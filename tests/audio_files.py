"""Audio for the tests: tones, files of every format that PyAV writes, and what is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np

from talkmill.engine import Channels
from talkmill.engine.audio.decode import SAMPLE_RATE, decode_audio, decode_channels
from talkmill.engine.audio.resample import Planes
from talkmill.engine.types import Samples

# container, codec, rate, channels, least correlation with what was encoded
FORMATS = [
    ("wav", "pcm_s16le", 16_000, 1, 0.999),
    ("wav", "pcm_s16le", 44_100, 2, 0.999),
    ("wav", "pcm_s16le", 48_000, 6, 0.999),
    ("wav", "pcm_u8", 8_000, 1, 0.99),
    ("wav", "pcm_s24le", 48_000, 2, 0.999),
    ("wav", "pcm_f32le", 22_050, 1, 0.999),
    ("wav", "pcm_f64le", 96_000, 1, 0.999),
    ("wav", "pcm_mulaw", 8_000, 1, 0.99),
    ("wav", "pcm_alaw", 8_000, 1, 0.99),
    ("wav", "adpcm_ima_wav", 16_000, 1, 0.99),
    ("w64", "pcm_s16le", 16_000, 1, 0.999),
    ("flac", "flac", 16_000, 1, 0.999),
    ("flac", "flac", 96_000, 2, 0.999),
    ("mp3", "libmp3lame", 8_000, 1, 0.9),
    ("mp3", "libmp3lame", 44_100, 2, 0.99),
    ("ogg", "libopus", 48_000, 1, 0.99),
    ("ogg", "libopus", 16_000, 2, 0.99),
    ("ogg", "flac", 16_000, 1, 0.999),
    ("ipod", "aac", 44_100, 2, 0.99),
    ("mp4", "aac", 16_000, 1, 0.99),
    ("mp4", "alac", 44_100, 1, 0.999),
    ("mov", "pcm_s16le", 44_100, 1, 0.999),
    ("3gp", "libopencore_amrnb", 8_000, 1, 0.8),
    ("amr", "libopencore_amrnb", 8_000, 1, 0.8),
    ("adts", "aac", 22_050, 1, 0.98),
    ("webm", "libopus", 48_000, 2, 0.99),
    ("matroska", "pcm_s16le", 16_000, 1, 0.999),
    ("asf", "wmav2", 44_100, 2, 0.95),
    ("asf", "wmav1", 22_050, 1, 0.95),
    ("aiff", "pcm_s16be", 44_100, 1, 0.999),
    ("caf", "pcm_s16le", 16_000, 1, 0.999),
    ("au", "pcm_s16be", 8_000, 1, 0.999),
    ("voc", "pcm_s16le", 16_000, 1, 0.999),
    ("avi", "pcm_s16le", 16_000, 1, 0.999),
    ("flv", "libmp3lame", 44_100, 1, 0.98),
    ("mp2", "mp2", 32_000, 1, 0.95),
    ("mpeg", "mp2", 48_000, 1, 0.95),
    ("mpegts", "aac", 48_000, 1, 0.95),
    ("ac3", "ac3", 48_000, 2, 0.95),
    ("eac3", "eac3", 48_000, 2, 0.95),
    ("rm", "ac3", 44_100, 2, 0.95),
    ("tta", "tta", 16_000, 1, 0.999),
    ("wv", "wavpack", 16_000, 1, 0.999),
    ("mxf_opatom", "pcm_s16le", 48_000, 1, 0.999),
    ("ircam", "pcm_s16le", 16_000, 1, 0.999),
    ("latm", "aac", 48_000, 1, 0.95),
    ("mmf", "adpcm_yamaha", 44_100, 1, 0.95),
    ("nut", "libmp3lame", 48_000, 1, 0.95),
    ("smjpeg", "pcm_s16le", 16_000, 1, 0.999),
    ("sox", "pcm_s32le", 48_000, 1, 0.999),
    ("spdif", "ac3", 48_000, 2, 0.95),
    ("swf", "libmp3lame", 44_100, 1, 0.95),
    ("wtv", "ac3", 48_000, 2, 0.95),
]


def tone(hz: float, duration_s: float, rate: int = SAMPLE_RATE) -> Samples:
    """Return a pure tone of half the full scale."""
    time_s = np.arange(round(duration_s * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def encode_audio(
    samples: Samples,
    container: str = "wav",
    codec: str = "pcm_s16le",
    *,
    rate: int = SAMPLE_RATE,
    channels: int = 1,
    from_rate: int = SAMPLE_RATE,
    bit_rate: int | None = None,
) -> bytes:
    """Return samples as a file of any format that PyAV writes.

    Args:
        samples: Of shape (num_samples,), the same in each channel, or (num_channels, num_samples).
        container: The format of the file.
        codec: The codec of its stream.
        rate: Its samples per second.
        channels: Its channels, for mono samples.
        from_rate: Samples per second of `samples`.
        bit_rate: Of the codec; None for its own choice.
    """
    target = io.BytesIO()
    if samples.ndim == 1:
        samples = np.repeat(samples[None], channels, 0)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        formats = stream.codec_context.codec.audio_formats
        sample_format = stream.format.name if stream.format or not formats else formats[0].name
        resampler = av.AudioResampler(sample_format, layout, rate)
        # A mono frame would lose 3 dB a channel on its way to stereo: give each its own copy.
        planes = np.ascontiguousarray(samples, dtype=np.float32)
        for start in range(0, planes.shape[1], 4096):
            block = np.ascontiguousarray(planes[:, start : start + 4096])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = from_rate
            frame.pts = start
            for resampled in resampler.resample(frame):
                output.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))
    return target.getvalue()


def pcm_wav(planes: Planes) -> bytes:
    """Return 16 kHz audio as WAV of 16 bits that names no layout; of any number of channels."""
    num_channels = len(planes)
    data = (planes.T * 32767).astype("<i2").tobytes()
    fields = (1, num_channels, SAMPLE_RATE, SAMPLE_RATE * 2 * num_channels, 2 * num_channels, 16)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, *fields)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def decode_file(path: Path) -> Samples:
    """Return a mono 16 kHz FLAC file's samples, read by PyAV alone."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    samples = np.concatenate(frames)
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max) + 1
    return (samples / scale).astype(np.float32)


def video_file(sound: Samples | None) -> bytes:
    """Return a film of five pictures, with or without sound."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        audio = None
        if sound is not None:
            audio = output.add_stream("pcm_s16le", rate=SAMPLE_RATE)
            audio.layout = "mono"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for _ in range(5):
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(
                (sound * 32767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate = SAMPLE_RATE
            output.mux(audio.encode(frame))
            output.mux(audio.encode(None))
    return target.getvalue()


def decoded(file: bytes, max_audio_s: float = 60.0) -> tuple[Samples, list[str]]:
    """Return all samples of a file, and the warnings."""
    warnings: list[str] = []
    blocks = list(decode_audio(io.BytesIO(file), max_audio_s, warnings.append))
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    return np.concatenate(blocks), warnings


def decoded_channels(file: bytes, max_audio_s: float = 60.0) -> tuple[Planes, list[str]]:
    """Return all samples of each channel of a file, and the warnings."""
    warnings: list[str] = []
    source = io.BytesIO(file)
    blocks = list(decode_channels(source, max_audio_s, warnings.append, Channels.SPLIT))
    assert all(block.dtype == np.float32 and block.ndim == 2 for block in blocks)
    return np.concatenate(blocks, 1), warnings


def correlation(found: Samples, expected: Samples, reach_s: float = 0.1) -> float:
    """Return the best correlation at any shift of up to `reach_s`: codecs delay."""
    size = 1 << (len(found) + len(expected)).bit_length()
    spectrum = np.fft.rfft(found, size) * np.fft.rfft(expected, size).conj()
    products = np.fft.irfft(spectrum)
    reach = int(reach_s * SAMPLE_RATE)
    near = np.concatenate([products[:reach], products[-reach:]])
    return float(near.max() / np.linalg.norm(found) / np.linalg.norm(expected))


def mel_centres_hz(n_mels: int) -> list[float]:
    """Return the centre of each mel band of Whisper's features, in Hz."""
    # Slaney's mel scale, as Whisper's filters: linear to 1 kHz, then 27 steps to each 6.4-fold.
    top = 15 + 27 * np.log(8.0) / np.log(6.4)
    mels = np.linspace(0, top, n_mels + 2)[1:-1]
    hz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
    return [float(centre) for centre in hz]
