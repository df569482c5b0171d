"""Raw samples as they come over a wire to float32 at 16 kHz, piece by piece."""

from __future__ import annotations

import enum

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from ..audio.decode import SAMPLE_RATE
from ..audio.filter_graph import AudioResampler
from ..audio.resample import MAX_CHANNELS
from ..errors import InvalidOption
from ..types import Samples

RATES_HZ = range(8_000, 192_001)
_NOTHING: Samples = np.zeros(0, np.float32)


class Encoding(enum.Enum):
    """How samples are written; numbers of several bytes are little-endian.

    PCM16: signed 16-bit integers. FLOAT32: -1 to 1. MULAW and ALAW: G.711, a byte each.
    """

    PCM16 = "pcm16"
    FLOAT32 = "float32"
    MULAW = "mulaw"
    ALAW = "alaw"


class PcmDecoder:
    """Decodes one stream of samples. Not thread-safe."""

    def __init__(self, encoding: Encoding, rate_hz: int = SAMPLE_RATE, num_channels: int = 1):
        """Start a stream.

        Args:
            encoding: How a sample is written.
            rate_hz: Samples of each channel per second.
            num_channels: Channels, whose samples take turns; they are mixed.

        Raises:
            InvalidOption: A number is out of range.
        """
        if rate_hz not in RATES_HZ:
            limits = f"{RATES_HZ.start} to {RATES_HZ.stop - 1}"
            raise InvalidOption(f"sample_rate_hz {rate_hz} is not in {limits}", "sample_rate_hz")
        if not 1 <= num_channels <= MAX_CHANNELS:
            raise InvalidOption(
                f"channels {num_channels} is not in 1 to {MAX_CHANNELS}", "channels"
            )
        self._encoding = encoding
        self._rate_hz = rate_hz
        self._num_channels = num_channels
        self._num_bytes = _BYTES[encoding] * num_channels  # of one sample of all channels
        self._rest = b""
        is_same_rate = rate_hz == SAMPLE_RATE
        self._resampler = None if is_same_rate else AudioResampler("flt", "mono", SAMPLE_RATE)

    @property
    def num_rest_bytes(self) -> int:
        """Bytes of a sample that is not there whole."""
        return len(self._rest)

    def feed(self, data: bytes) -> Samples:
        """Return the samples of the next bytes, of any number; half a sample waits for the rest."""
        data = self._rest + data
        whole = len(data) // self._num_bytes * self._num_bytes
        self._rest = data[whole:]
        samples = _to_float(data[:whole], self._encoding)
        if self._num_channels > 1:
            samples = samples.reshape(-1, self._num_channels).mean(1, dtype=np.float32)
        return samples if self._resampler is None else self._resampled(samples)

    def finish(self) -> Samples:
        """Return what resampling has kept back; the stream is over."""
        return _NOTHING if self._resampler is None else self._pulled(self._resampler, None)

    def _resampled(self, samples: Samples) -> Samples:
        assert self._resampler is not None
        if not len(samples):
            return samples
        frame = AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = self._rate_hz
        return self._pulled(self._resampler, frame)

    @staticmethod
    def _pulled(resampler: AudioResampler, frame: AudioFrame | None) -> Samples:
        blocks = [block.to_ndarray().reshape(-1) for block in resampler.resample(frame)]
        return np.concatenate([_NOTHING, *blocks]).astype(np.float32)


_BYTES = {Encoding.PCM16: 2, Encoding.FLOAT32: 4, Encoding.MULAW: 1, Encoding.ALAW: 1}


def _to_float(data: bytes, encoding: Encoding) -> Samples:
    samples: Samples
    if encoding is Encoding.PCM16:
        samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
    elif encoding is Encoding.FLOAT32:
        known = np.nan_to_num(np.frombuffer(data, "<f4"), nan=0.0)
        samples = np.clip(known, -1.0, 1.0).astype(np.float32)
    else:
        table = _MULAW if encoding is Encoding.MULAW else _ALAW
        samples = table[np.frombuffer(data, np.uint8)]
    return samples


def _mulaw_table() -> NDArray[np.float32]:
    """Return the value of each byte of mu-law (ITU-T G.711)."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << ((code >> 4) & 7)) - 132
    return (np.where(code & 128, -magnitude, magnitude) / 2**15).astype(np.float32)


def _alaw_table() -> NDArray[np.float32]:
    """Return the value of each byte of A-law (ITU-T G.711)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = ((code >> 4) & 7).astype(np.int32)
    low = ((code & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent > 0, low + 256 << np.maximum(exponent - 1, 0), low)
    return (np.where(code & 128, magnitude, -magnitude) / 2**15).astype(np.float32)


_MULAW, _ALAW = _mulaw_table(), _alaw_table()
