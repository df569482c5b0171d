"""The records passed between the stages. Frozen: a stage creates a new one instead."""

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
    """Whether to write in the spoken language or to translate into English."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class VadMode(enum.Enum):
    """Whether speech is detected.

    AUTO and ON, the same today: yes; audio of any length is cut at pauses, and what has no speech
    is dropped. OFF: no; the audio is cut into windows of the greatest length.
    """

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class EncoderWindow(enum.Enum):
    """What decides the length of the encoder's window.

    FITTED: the length of the chunk. FULL: Whisper's 30 s. DECLARED: the lengths that the model
    declares or the settings list.
    """

    FITTED = "fitted"
    FULL = "full"
    DECLARED = "declared"


class Channels(enum.Enum):
    """What to do with audio of several channels.

    MIX: one transcript of the mean of all channels. SPLIT: each channel on its own.
    """

    MIX = "mix"
    SPLIT = "split"


@dataclass(frozen=True)
class VadOptions:
    """How speech is detected and cut, in the terms of OpenAI's `server_vad`; None: the default.

    Attributes:
        threshold: Probability at which speech starts, 0 to 1; it ends 0.15 below. Default: 0.5.
        silence_duration_ms: The pause that ends a chunk, in milliseconds. Default: 1500, 1000 from
            6 s of speech on, 500 from 10 s on.
        prefix_padding_ms: Audio that is kept before speech, in milliseconds. Default: 400.
    """

    threshold: float | None = None
    silence_duration_ms: int | None = None
    prefix_padding_ms: int | None = None


@dataclass(frozen=True)
class TranscribeOptions:
    """The options of one request.

    Attributes:
        language: A code or English name; None, "" and "auto" detect it from the first chunk,
            "multi" from each chunk.
        task: Whether to transcribe or to translate into English.
        prompt: Text that precedes the audio, as context for the model.
        vad: Whether speech is detected.
        timestamps: Whether Whisper generates timestamps; always true with `words`.
        words: Whether each segment has its words with their times.
        encoder_window: What decides the length of the encoder's window; None for the server's
            choice.
        languages: Languages that detection chooses from; empty for all.
        hotwords: Words and names that are likely to occur.
        channels: What to do with audio of several channels.
        token_logprobs: Whether the answer has the log-probability of each token of its text.
        vad_options: How speech is detected and cut.
        parameters: The generation parameters of the decoder.
    """

    language: str | None = None
    task: Task = Task.TRANSCRIBE
    prompt: str = ""
    vad: VadMode = VadMode.AUTO
    timestamps: bool = False
    words: bool = False
    encoder_window: EncoderWindow | None = None
    languages: tuple[str, ...] = ()
    hotwords: tuple[str, ...] = ()
    channels: Channels = Channels.MIX
    token_logprobs: bool = False
    vad_options: VadOptions = VadOptions()
    parameters: GenerationParameters = field(default_factory=GenerationParameters)

    def __post_init__(self) -> None:
        """Set `timestamps` where words are asked for: words are those of timed segments."""
        if self.words:
            object.__setattr__(self, "timestamps", True)

    @property
    def has_segments(self) -> bool:
        """Whether the answer shows its segments: they have times or channels."""
        return self.timestamps or self.channels is Channels.SPLIT


@dataclass(frozen=True)
class Span:
    """A stretch of audio, in samples from the start of the utterance; end is exclusive."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """Audio, at most as long as the encoder's longest window, that the model processes at once.

    Attributes:
        index: Its position among the utterance's chunks, from 0, in the order of their starts.
        samples: The audio.
        spans: The parts of the utterance that it consists of, in order; their lengths add up to
            `len(samples)`.
        speech: The speech that was detected in it, without the silence around it; empty if
            nothing was detected because detection is off.
        channel: The channel that it is of; 0 if channels are mixed.
    """

    index: int
    samples: Samples
    spans: tuple[Span, ...]
    speech: tuple[Span, ...] = ()
    channel: int = 0


@dataclass(frozen=True)
class Word:
    """A word of the transcript. Times are seconds from the start of the utterance.

    Attributes:
        text: The word with its punctuation as the model wrote it, usually with a leading space.
        start_s: Start.
        end_s: End.
        probability: Mean probability of its tokens, 0 to 1; punctuation before or after the word
            does not count.
    """

    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True)
class TokenLogprob:
    """A token of the transcript.

    Attributes:
        text: Its text; a character of several tokens has the replacement character in each.
        logprob: Natural logarithm of its probability.
        data: Its bytes, UTF-8 together with its neighbours.
    """

    text: str
    logprob: float
    data: bytes


@dataclass(frozen=True)
class Segment:
    """A piece of the transcript. Times are seconds from the start of the utterance.

    `avg_logprob`, `no_speech_prob`, `compression_ratio`, `temperature` and `seek` are those of the
    audio and the text that were decoded together with it, as openai/whisper has them.

    Attributes:
        text: The text as the model wrote it, usually with a leading space.
        start_s: Start.
        end_s: End; None if the model wrote no closing timestamp.
        tokens: The ids of its tokens, timestamps left out.
        avg_logprob: Mean log-probability of the tokens; see `Hypothesis`.
        no_speech_prob: Probability that the audio holds no speech, 0 to 1.
        compression_ratio: Bytes of the text over its compressed bytes.
        temperature: Temperature of sampling; 0 where nothing is sampled.
        seek: Start of the audio, in frames of 10 ms.
        words: Its words, if the request asks for them.
        logprobs: Its tokens with their log-probabilities, if the request asks for them.
        language: Its language, if the request detects that of each chunk; else empty.
        channel: Its channel, from 0, if channels are split; else None.
    """

    text: str
    start_s: float
    end_s: float | None
    tokens: tuple[int, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    compression_ratio: float = 0.0
    temperature: float = 0.0
    seek: int = 0
    words: tuple[Word, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    language: str = ""
    channel: int | None = None


@dataclass(frozen=True)
class Timings:
    """How the time of one request was spent, in seconds.

    Attributes:
        decode_s: CPU time of decompressing and resampling.
        vad_s: CPU time of voice activity detection.
        features_s: CPU time of the log-mel features.
        queue_s: The longest time that a chunk waited for a worker.
        encode_s: This request's share of its batches' encoder time.
        generate_s: This request's share of its batches' decoder time.
        total_s: Wall-clock time from submission to the transcript.
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
    """The result of one request.

    Attributes:
        text: The whole text, without leading or trailing space.
        segments: The segments in order: with timestamps Whisper's own, without one per chunk. Those
            of split channels are ordered by their start, then by their channel.
        language: Code, given or detected; empty if none was given and there is no speech.
        language_probability: 0 to 1; 1 if the language was given or is the model's only one.
        duration_s: Length of the decoded audio, however many channels are split.
        speech_s: Length of the speech detected in it; the whole length with `VadMode.OFF`. Split
            channels are added up.
        timings: How the time was spent.
        coverage: Share of the detected speech that the segments cover, 0 to 1; None if speech was
            not detected because detection is off.
        encoder_window: What decided the length of the encoder's window.
        other_languages: The next most probable languages and their probabilities, best first, if
            the language was detected.
        warnings: Problems that did not fail the request, e.g. audio that is cut off.
        is_cached: Whether it was computed for another request.
        logprobs: The tokens of `text` with their log-probabilities, if the request asks for them.
    """

    text: str
    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    duration_s: float
    speech_s: float
    timings: Timings
    coverage: float | None = None
    encoder_window: EncoderWindow = EncoderWindow.FULL
    other_languages: tuple[tuple[str, float], ...] = ()
    warnings: tuple[str, ...] = field(default=())
    is_cached: bool = False
    logprobs: tuple[TokenLogprob, ...] = ()
