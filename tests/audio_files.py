"""Audio for the tests: tones, and files of every format that PyAV writes."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np

from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.types import Samples


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
    """Return mono samples as a file of any format that PyAV writes, the same in each channel."""
    target = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        assert isinstance(stream, av.AudioStream)
        formats = stream.codec_context.codec.audio_formats
        sample_format = stream.format.name if stream.format else formats[0].name
        resampler = av.AudioResampler(sample_format, layout, rate)
        # A mono frame would lose 3 dB a channel on its way to stereo: give each its own copy.
        planes = np.ascontiguousarray(np.repeat(samples[None], channels, 0), dtype=np.float32)
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


def decode_file(path: Path) -> Samples:
    """Return a mono 16 kHz FLAC file's samples, read by PyAV alone."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    samples = np.concatenate(frames)
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max) + 1
    return (samples / scale).astype(np.float32)
