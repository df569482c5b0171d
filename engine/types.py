"""The records that pass between the stages. Frozen: a stage makes a new one, it never edits."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .decoding.parameters import GenerationParameters

Samples = NDArray[np.float32]
"""Mono float32 audio at 16 kHz, shape (num_samples,), in -1 to 1."""

Features = NDArray[np.float32]
"""Log-mel features of one chunk, float32 of shape (n_mels, num_frames)."""


class Task(enum.Enum):
    """What to write: the language spoken, or English."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class VadMode(enum.Enum):
    """Where silence is cut out: where it must be (auto), everywhere, or nowhere."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class TranscribeOptions:
    """What one request asks for.

    Attributes:
        language: Whisper's code, or None to detect it from the first speech.
        task: Transcribe or translate into English.
        prompt: Text that came before.
        vad: Where silence is cut out.
        timestamps: Whether Whisper's own times are asked for.
        parameters: How the decoder searches.
    """

    language: str | None = None
    task: Task = Task.TRANSCRIBE
    prompt: str = ""
    vad: VadMode = VadMode.AUTO
    timestamps: bool = False
    parameters: GenerationParameters = field(default_factory=GenerationParameters)


@dataclass(frozen=True)
class Span:
    """A stretch of audio, in samples from the start of the utterance; end is exclusive."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """Audio of at most 30 s that goes through the model at once.

    Attributes:
        index: Its place among the utterance's chunks, from 0.
        samples: The audio.
        spans: Where its parts come from, in order; their lengths add up to `samples`.
    """

    index: int
    samples: Samples
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Segment:
    """A piece of the answer. Times in seconds from the start of the utterance.

    Attributes:
        text: As the model wrote it, usually with a space in front.
        start_s: Start.
        end_s: End; None where the model did not close the segment.
    """

    text: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Timings:
    """Where the time of one request went, in seconds.

    Attributes:
        decode_s: CPU time of decompressing and resampling.
        vad_s: CPU time of voice activity detection.
        features_s: CPU time of the log-mel features.
        queue_s: The longest time that one chunk waited for a worker.
        encode_s: This request's share of its batches' encoder time.
        generate_s: This request's share of its batches' decoder time.
        total_s: From submission to the answer.
        mean_batch_size: Mean number of chunks, of any request, in its batches.
    """

    decode_s: float = 0.0
    vad_s: float = 0.0
    features_s: float = 0.0
    queue_s: float = 0.0
    encode_s: float = 0.0
    generate_s: float = 0.0
    total_s: float = 0.0
    mean_batch_size: float = 0.0


@dataclass(frozen=True)
class Transcript:
    """The answer to one request.

    Attributes:
        text: Everything that was said, without space at its ends.
        segments: The pieces in order: Whisper's own with timestamps, one per chunk without.
        language: Given or detected; empty where nothing was said and none was given.
        language_probability: 0 to 1; 1 where it was given or is the model's only one.
        duration_s: Length of the decoded audio.
        speech_s: Seconds of speech found in it; the whole length with `VadMode.OFF`.
        timings: Where the time went.
        warnings: What was not as asked or expected.
        is_cached: Whether it was computed for an earlier request.
    """

    text: str
    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    duration_s: float
    speech_s: float
    timings: Timings
    warnings: tuple[str, ...] = field(default=())
    is_cached: bool = False
