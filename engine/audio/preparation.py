"""The CPU stage of one request: audio bytes to chunks with their features, one at a time.

Nothing is read before it is asked for, so a long file needs no more memory than its chunks in
flight, and its first chunk is in the model's hands before the rest is decoded.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ..types import Chunk, Features, Samples, VadMode
from .chunking import split_chunks
from .decode import SAMPLE_RATE, decode_audio
from .features import CHUNK_FRAMES, HOP_SAMPLES, log_mel

Prepared = tuple[Chunk, Features]

# Audio up to so long is known by its samples, whatever the file they came in. Longer audio is known
# by its file: its first chunk need not wait until the last second is decoded.
_KNOWN_BY_SAMPLES_S = 30
_PIECE_BYTES = 2**20


@dataclass
class AudioReport:
    """What is known of one request's audio; complete when its last chunk is out.

    Attributes:
        num_samples: Decoded so far, at 16 kHz.
        num_speech_samples: Of them in speech.
        decode_s: CPU seconds spent decoding.
        vad_s: CPU seconds spent looking for speech and cutting.
        features_s: CPU seconds spent on features.
        warnings: What was amiss.
    """

    num_samples: int = 0
    num_speech_samples: int = 0
    decode_s: float = 0.0
    vad_s: float = 0.0
    features_s: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Seconds decoded."""
        return self.num_samples / SAMPLE_RATE

    @property
    def speech_s(self) -> float:
        """Seconds of speech."""
        return self.num_speech_samples / SAMPLE_RATE


class Preparation(Iterator[Prepared | None]):
    """Prepares one request's audio, step by step. Not thread-safe; closes its source.

    Each step gives a chunk with its features, padded to the least window that holds it, or None
    where a stretch of audio gave none. A step raises `RequestError` where the audio cannot be
    decoded, or is too long.
    """

    def __init__(
        self,
        source: BinaryIO,
        vad: VadMode,
        n_mels: int,
        max_audio_s: float,
        window_frames: tuple[int, ...] = (CHUNK_FRAMES,),
    ) -> None:
        """Take the audio; nothing is read yet.

        Args:
            source: The audio file, seekable.
            vad: Where silence is cut out.
            n_mels: Mel bands of the model.
            max_audio_s: Most seconds to decode.
            window_frames: Lengths that the encoder's window may have, the longest last.
        """
        self.report = AudioReport()
        self._source = source
        self._n_mels = n_mels
        self._window_frames = window_frames
        self._blocks = self._decoded(decode_audio(source, max_audio_s, self.report.warnings.append))
        self._head: list[Samples] = []  # read ahead, not cut yet
        self._chunks = split_chunks(
            self._all_blocks(),
            vad,
            self._count_speech,
            max_samples=window_frames[-1] * HOP_SAMPLES,
        )

    def identify(self) -> str:
        """Return what the audio is known by: a SHA-256 digest. Call it before the first step.

        Raises:
            RequestError: The audio cannot be decoded, or is too long.
        """
        while self.report.duration_s < _KNOWN_BY_SAMPLES_S:
            block = next(self._blocks, None)
            if block is None:
                return self._digest_samples()
            self._head.append(block)
        position = self._source.tell()  # in the middle of being decoded
        self._source.seek(0)
        digest = hashlib.sha256()
        while piece := self._source.read(_PIECE_BYTES):
            digest.update(piece)
        self._source.seek(position)
        return f"file {digest.hexdigest()}"

    def _digest_samples(self) -> str:
        digest = hashlib.sha256()
        for block in self._head:
            digest.update(block.tobytes())
        # A damaged file may hold the same sound, but its answer says so.
        return f"samples {digest.hexdigest()} {self.report.warnings}"

    def __next__(self) -> Prepared | None:
        """Take a step."""
        decoded_before_s, start_s = self.report.decode_s, time.thread_time()
        try:
            chunk = next(self._chunks)
        finally:
            cut_s = time.thread_time()
            self.report.vad_s += cut_s - start_s - (self.report.decode_s - decoded_before_s)
        if chunk is None:
            return None
        num_frames = next(n for n in self._window_frames if n * HOP_SAMPLES >= len(chunk.samples))
        features = log_mel(chunk.samples, self._n_mels, num_frames)
        self.report.features_s += time.thread_time() - cut_s
        return chunk, features

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    def _all_blocks(self) -> Iterator[Samples]:
        while self._head:
            yield self._head.pop(0)
        yield from self._blocks

    def _decoded(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        while True:
            start_s = time.thread_time()
            block = next(blocks, None)
            self.report.decode_s += time.thread_time() - start_s
            if block is None:
                return
            self.report.num_samples += len(block)
            yield block

    def _count_speech(self, num_samples: int) -> None:
        self.report.num_speech_samples += num_samples
