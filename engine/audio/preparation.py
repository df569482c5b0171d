"""The CPU stage of one request: audio bytes to chunks with their features, one at a time.

Audio is read and decoded only as far as the next chunk needs. So a long file takes no more memory
than its chunks in flight, and the model gets the first chunk before the rest is decoded.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..types import Channels, Chunk, Features, VadMode, VadOptions
from .chunk_stream import split_chunks
from .cuts import CUT_PAUSE, TURN_PAUSE
from .decode import SAMPLE_RATE
from .features import CHUNK_SAMPLES, log_mel
from .level import leveled
from .resample import Planes
from .sources import AudioSource
from .windows import FULL_WINDOW, Window


@dataclass(frozen=True, eq=False)
class Prepared:
    """A chunk that is ready for the model.

    Attributes:
        chunk: The chunk.
        features: float32 (n_mels, window.num_frames).
        window: The encoder's window.
    """

    chunk: Chunk
    features: Features
    window: Window


# Audio shorter than this is identified by its samples, whatever the file format. Longer audio is
# identified by its file, so that its first chunk does not wait until all of it is decoded.
_HASH_SAMPLES_BELOW_S = 30
_SOUND_RMS = 10 ** (-60 / 20)  # more than the noise of most microphones
_DEFAULTS = VadOptions()


@dataclass
class AudioReport:
    """Facts about one request's audio; complete when its last chunk is prepared.

    Attributes:
        num_samples: Number of samples of each channel decoded so far, at 16 kHz.
        speech_of: Number of samples of each channel that are in spans of speech; channel 0 if
            channels are mixed.
        decode_s: CPU seconds spent on decoding.
        vad_s: CPU seconds spent on detecting speech and splitting into chunks.
        features_s: CPU seconds spent on features.
        warnings: One sentence for each problem with the audio.
    """

    num_samples: int = 0
    speech_of: Counter[int] = field(default_factory=Counter)
    decode_s: float = 0.0
    vad_s: float = 0.0
    features_s: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Length of the audio decoded so far, in seconds."""
        return self.num_samples / SAMPLE_RATE

    @property
    def num_speech_samples(self) -> int:
        """Number of samples in spans of speech, of all channels together."""
        return self.speech_of.total()

    @property
    def speech_s(self) -> float:
        """Length of the speech in all its channels, in seconds."""
        return self.num_speech_samples / SAMPLE_RATE


class Preparation(Iterator[Prepared | None]):
    """Iterates over one request's prepared chunks. Not thread-safe; owns its source.

    Each step returns a chunk with its features, padded to the shortest window that holds it, or
    None if no chunk is complete yet. A step raises `RequestError` if the audio cannot be decoded or
    is too long.
    """

    def __init__(
        self,
        source: AudioSource,
        vad: VadMode,
        n_mels: int,
        max_audio_s: float,
        max_samples: int = CHUNK_SAMPLES,
        choose_window: Callable[[int], Window] = lambda num_samples: FULL_WINDOW,
        vad_options: VadOptions = _DEFAULTS,
        channels: Channels = Channels.MIX,
        *,
        has_turns: bool = False,
    ) -> None:
        """Store the source; nothing is read yet.

        Args:
            source: The audio, closed with it.
            vad: Whether speech is detected.
            n_mels: Mel bands of the model.
            max_audio_s: Limit on the decoded audio, split channels together, in seconds.
            max_samples: Length of the longest chunk, in samples.
            choose_window: Returns the encoder's window of a chunk with this number of samples.
            vad_options: How speech is detected and cut.
            channels: What to do with audio of several channels.
            has_turns: Whether shorter pauses end a chunk: the next one may be in another language.
        """
        self.report = AudioReport()
        self._source = source
        self._n_mels = n_mels
        self._choose_window = choose_window
        warn = self.report.warnings.append
        self._decoder = source.blocks(max_audio_s, warn, channels)
        self._blocks = self._decoded(self._decoder)
        self._head: list[Planes] = []  # decoded by `identify`, not split yet
        self._loudest_rms = 0.0  # of a block of one channel
        blocks = self._all_blocks()
        chunks = split_chunks(
            blocks if vad is VadMode.OFF else leveled(blocks),
            vad,
            self._count_speech,
            max_samples=max_samples,
            options=vad_options,
            max_pause=TURN_PAUSE if has_turns else CUT_PAUSE,
        )
        self._chunks = self._checked(chunks)

    @property
    def is_ready(self) -> bool:
        """Whether a step can be taken without waiting for audio that has not come."""
        return self._source.is_ready

    @property
    def coming_s(self) -> float:
        """See `AudioSource`."""
        return self._source.coming_s

    def listen(self, on_ready: Callable[[], None]) -> None:
        """Have `on_ready` called, from any thread, when `is_ready` may have become true."""
        self._source.listen(on_ready)

    def identify(self) -> str:
        """Return an identifier of the audio, a SHA-256 digest. Call it before the first step.

        Raises:
            RequestError: The audio cannot be decoded or is too long.
        """
        while self.report.duration_s < _HASH_SAMPLES_BELOW_S:
            block = next(self._blocks, None)
            if block is None:
                return self._digest_samples()
            self._head.append(block)
        return f"file {self._source.digest()}"

    def _digest_samples(self) -> str:
        digest = hashlib.sha256()
        for block in self._head:
            digest.update(
                block.T.tobytes()
            )  # sample by sample: blocks differ from format to format
        num_channels = len(self._head[0])
        # A damaged file may have the same samples, but its transcript has other warnings.
        return f"samples {digest.hexdigest()} {num_channels} {self.report.warnings}"

    def __next__(self) -> Prepared | None:
        """Return the next chunk with its features, or None if none is complete yet."""
        decoded_before_s, start_s = self.report.decode_s, time.thread_time()
        try:
            chunk = next(self._chunks)
        finally:
            cut_s = time.thread_time()
            self.report.vad_s += cut_s - start_s - (self.report.decode_s - decoded_before_s)
        if chunk is None:
            return None
        window = self._choose_window(len(chunk.samples))
        features = log_mel(chunk.samples, self._n_mels, window.num_frames)
        self.report.features_s += time.thread_time() - cut_s
        return Prepared(chunk, features, window)

    def close(self) -> None:
        """Close the source, and what reads it: FFmpeg's decoder with its threads and buffers."""
        self._head.clear()
        try:
            for generator in (self._chunks, self._blocks, self._decoder):
                generator.close()
        finally:
            self._source.close()

    def _all_blocks(self) -> Generator[Planes]:
        while self._head:
            yield self._head.pop(0)
        yield from self._blocks

    def _decoded(self, blocks: Iterator[Planes]) -> Generator[Planes]:
        while True:
            start_s = time.thread_time()
            block = next(blocks, None)
            self.report.decode_s += time.thread_time() - start_s
            if block is None:
                self.report.decode_s += self._source.decode_s
                return
            self.report.num_samples += block.shape[1]
            self._loudest_rms = max(self._loudest_rms, *np.sqrt(np.mean(np.square(block), 1)))
            yield block

    def _checked(self, chunks: Generator[Chunk | None]) -> Generator[Chunk | None]:
        """Yield the chunks, and warn if there is sound but no speech."""
        yield from chunks
        if not self.report.num_speech_samples and self._loudest_rms > _SOUND_RMS:
            level_db = 20 * math.log10(self._loudest_rms)
            self.report.warnings.append(
                f"no speech was found, though the audio is not silent: {level_db:.0f} dBFS"
            )

    def _count_speech(self, channel: int, num_samples: int) -> None:
        self.report.speech_of[channel] += num_samples
