from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AudioEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_PCM16: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_FLOAT32: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_MULAW: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_ALAW: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_CONTAINER: _ClassVar[AudioEncoding]

class StreamingControl(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAMING_CONTROL_UNSPECIFIED: _ClassVar[StreamingControl]
    STREAMING_CONTROL_COMMIT: _ClassVar[StreamingControl]
    STREAMING_CONTROL_CLEAR: _ClassVar[StreamingControl]

class ReturnTimestamps(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_TIMESTAMPS_UNSPECIFIED: _ClassVar[ReturnTimestamps]
    RETURN_TIMESTAMPS_NONE: _ClassVar[ReturnTimestamps]
    RETURN_TIMESTAMPS_SEGMENT: _ClassVar[ReturnTimestamps]
    RETURN_TIMESTAMPS_WORD: _ClassVar[ReturnTimestamps]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_TRANSCRIBE: _ClassVar[Task]
    TASK_TRANSLATE: _ClassVar[Task]

class VadMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VAD_MODE_UNSPECIFIED: _ClassVar[VadMode]
    VAD_MODE_AUTO: _ClassVar[VadMode]
    VAD_MODE_ON: _ClassVar[VadMode]
    VAD_MODE_OFF: _ClassVar[VadMode]

class EncoderWindow(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODER_WINDOW_UNSPECIFIED: _ClassVar[EncoderWindow]
    ENCODER_WINDOW_FITTED: _ClassVar[EncoderWindow]
    ENCODER_WINDOW_FULL: _ClassVar[EncoderWindow]
    ENCODER_WINDOW_DECLARED: _ClassVar[EncoderWindow]

class Channels(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNELS_UNSPECIFIED: _ClassVar[Channels]
    CHANNELS_MIX: _ClassVar[Channels]
    CHANNELS_SPLIT: _ClassVar[Channels]

class EarlyStopping(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EARLY_STOPPING_UNSPECIFIED: _ClassVar[EarlyStopping]
    EARLY_STOPPING_TRUE: _ClassVar[EarlyStopping]
    EARLY_STOPPING_FALSE: _ClassVar[EarlyStopping]
    EARLY_STOPPING_NEVER: _ClassVar[EarlyStopping]
AUDIO_ENCODING_UNSPECIFIED: AudioEncoding
AUDIO_ENCODING_PCM16: AudioEncoding
AUDIO_ENCODING_FLOAT32: AudioEncoding
AUDIO_ENCODING_MULAW: AudioEncoding
AUDIO_ENCODING_ALAW: AudioEncoding
AUDIO_ENCODING_CONTAINER: AudioEncoding
STREAMING_CONTROL_UNSPECIFIED: StreamingControl
STREAMING_CONTROL_COMMIT: StreamingControl
STREAMING_CONTROL_CLEAR: StreamingControl
RETURN_TIMESTAMPS_UNSPECIFIED: ReturnTimestamps
RETURN_TIMESTAMPS_NONE: ReturnTimestamps
RETURN_TIMESTAMPS_SEGMENT: ReturnTimestamps
RETURN_TIMESTAMPS_WORD: ReturnTimestamps
TASK_UNSPECIFIED: Task
TASK_TRANSCRIBE: Task
TASK_TRANSLATE: Task
VAD_MODE_UNSPECIFIED: VadMode
VAD_MODE_AUTO: VadMode
VAD_MODE_ON: VadMode
VAD_MODE_OFF: VadMode
ENCODER_WINDOW_UNSPECIFIED: EncoderWindow
ENCODER_WINDOW_FITTED: EncoderWindow
ENCODER_WINDOW_FULL: EncoderWindow
ENCODER_WINDOW_DECLARED: EncoderWindow
CHANNELS_UNSPECIFIED: Channels
CHANNELS_MIX: Channels
CHANNELS_SPLIT: Channels
EARLY_STOPPING_UNSPECIFIED: EarlyStopping
EARLY_STOPPING_TRUE: EarlyStopping
EARLY_STOPPING_FALSE: EarlyStopping
EARLY_STOPPING_NEVER: EarlyStopping

class TranscribeRequest(_message.Message):
    __slots__ = ("audio", "model", "options")
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    audio: bytes
    model: str
    options: TranscribeOptions
    def __init__(self, audio: _Optional[bytes] = ..., model: _Optional[str] = ..., options: _Optional[_Union[TranscribeOptions, _Mapping]] = ...) -> None: ...

class TranscribeStreamRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: TranscribeStreamConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[TranscribeStreamConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class TranscribeStreamConfig(_message.Message):
    __slots__ = ("model", "options")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    options: TranscribeOptions
    def __init__(self, model: _Optional[str] = ..., options: _Optional[_Union[TranscribeOptions, _Mapping]] = ...) -> None: ...

class TranscribeStreamResponse(_message.Message):
    __slots__ = ("segment", "result")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    segment: Chunk
    result: TranscribeResponse
    def __init__(self, segment: _Optional[_Union[Chunk, _Mapping]] = ..., result: _Optional[_Union[TranscribeResponse, _Mapping]] = ...) -> None: ...

class StreamingTranscribeRequest(_message.Message):
    __slots__ = ("config", "audio", "control")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    config: StreamingConfig
    audio: bytes
    control: StreamingControl
    def __init__(self, config: _Optional[_Union[StreamingConfig, _Mapping]] = ..., audio: _Optional[bytes] = ..., control: _Optional[_Union[StreamingControl, str]] = ...) -> None: ...

class StreamingConfig(_message.Message):
    __slots__ = ("model", "options", "encoding", "sample_rate_hz", "channels", "interim_results", "interim_ms", "max_utterance_s", "manual")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    INTERIM_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_UTTERANCE_S_FIELD_NUMBER: _ClassVar[int]
    MANUAL_FIELD_NUMBER: _ClassVar[int]
    model: str
    options: TranscribeOptions
    encoding: AudioEncoding
    sample_rate_hz: int
    channels: int
    interim_results: bool
    interim_ms: int
    max_utterance_s: float
    manual: bool
    def __init__(self, model: _Optional[str] = ..., options: _Optional[_Union[TranscribeOptions, _Mapping]] = ..., encoding: _Optional[_Union[AudioEncoding, str]] = ..., sample_rate_hz: _Optional[int] = ..., channels: _Optional[int] = ..., interim_results: bool = ..., interim_ms: _Optional[int] = ..., max_utterance_s: _Optional[float] = ..., manual: bool = ...) -> None: ...

class StreamingTranscribeResponse(_message.Message):
    __slots__ = ("speech_started", "speech_stopped", "interim", "final", "error", "ended")
    SPEECH_STARTED_FIELD_NUMBER: _ClassVar[int]
    SPEECH_STOPPED_FIELD_NUMBER: _ClassVar[int]
    INTERIM_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    speech_started: SpeechStarted
    speech_stopped: SpeechStopped
    interim: Interim
    final: Final
    error: UtteranceError
    ended: SessionEnded
    def __init__(self, speech_started: _Optional[_Union[SpeechStarted, _Mapping]] = ..., speech_stopped: _Optional[_Union[SpeechStopped, _Mapping]] = ..., interim: _Optional[_Union[Interim, _Mapping]] = ..., final: _Optional[_Union[Final, _Mapping]] = ..., error: _Optional[_Union[UtteranceError, _Mapping]] = ..., ended: _Optional[_Union[SessionEnded, _Mapping]] = ...) -> None: ...

class SpeechStarted(_message.Message):
    __slots__ = ("utterance", "start_s")
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    utterance: int
    start_s: float
    def __init__(self, utterance: _Optional[int] = ..., start_s: _Optional[float] = ...) -> None: ...

class SpeechStopped(_message.Message):
    __slots__ = ("utterance", "end_s")
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    utterance: int
    end_s: float
    def __init__(self, utterance: _Optional[int] = ..., end_s: _Optional[float] = ...) -> None: ...

class Interim(_message.Message):
    __slots__ = ("utterance", "stable_text", "text")
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    STABLE_TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    utterance: int
    stable_text: str
    text: str
    def __init__(self, utterance: _Optional[int] = ..., stable_text: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Final(_message.Message):
    __slots__ = ("utterance", "start_s", "end_s", "text", "chunks", "language", "warnings", "logprobs")
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    utterance: int
    start_s: float
    end_s: float
    text: str
    chunks: _containers.RepeatedCompositeFieldContainer[Chunk]
    language: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    def __init__(self, utterance: _Optional[int] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., text: _Optional[str] = ..., chunks: _Optional[_Iterable[_Union[Chunk, _Mapping]]] = ..., language: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., logprobs: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ...) -> None: ...

class UtteranceError(_message.Message):
    __slots__ = ("utterance", "code", "message")
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    utterance: int
    code: int
    message: str
    def __init__(self, utterance: _Optional[int] = ..., code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class SessionEnded(_message.Message):
    __slots__ = ("reason", "duration_s", "warnings")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    duration_s: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reason: _Optional[str] = ..., duration_s: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class TranscribeOptions(_message.Message):
    __slots__ = ("return_timestamps", "language", "task", "prompt", "vad", "generation_parameters", "encoder_window", "languages", "hotwords", "channels", "token_logprobs", "vad_options")
    RETURN_TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    VAD_FIELD_NUMBER: _ClassVar[int]
    GENERATION_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ENCODER_WINDOW_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    HOTWORDS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    VAD_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    return_timestamps: ReturnTimestamps
    language: str
    task: Task
    prompt: str
    vad: VadMode
    generation_parameters: GenerationParameters
    encoder_window: EncoderWindow
    languages: _containers.RepeatedScalarFieldContainer[str]
    hotwords: _containers.RepeatedScalarFieldContainer[str]
    channels: Channels
    token_logprobs: bool
    vad_options: VadOptions
    def __init__(self, return_timestamps: _Optional[_Union[ReturnTimestamps, str]] = ..., language: _Optional[str] = ..., task: _Optional[_Union[Task, str]] = ..., prompt: _Optional[str] = ..., vad: _Optional[_Union[VadMode, str]] = ..., generation_parameters: _Optional[_Union[GenerationParameters, _Mapping]] = ..., encoder_window: _Optional[_Union[EncoderWindow, str]] = ..., languages: _Optional[_Iterable[str]] = ..., hotwords: _Optional[_Iterable[str]] = ..., channels: _Optional[_Union[Channels, str]] = ..., token_logprobs: bool = ..., vad_options: _Optional[_Union[VadOptions, _Mapping]] = ...) -> None: ...

class VadOptions(_message.Message):
    __slots__ = ("threshold", "silence_duration_ms", "prefix_padding_ms")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SILENCE_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_PADDING_MS_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    silence_duration_ms: int
    prefix_padding_ms: int
    def __init__(self, threshold: _Optional[float] = ..., silence_duration_ms: _Optional[int] = ..., prefix_padding_ms: _Optional[int] = ...) -> None: ...

class GenerationParameters(_message.Message):
    __slots__ = ("temperature", "top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "max_length", "max_new_tokens", "min_length", "min_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "penalty_alpha", "use_cache", "seed", "length_penalty", "diversity_penalty", "patience", "repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "temperatures", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "condition_on_prev_tokens")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TYPICAL_P_FIELD_NUMBER: _ClassVar[int]
    EPSILON_CUTOFF_FIELD_NUMBER: _ClassVar[int]
    ETA_CUTOFF_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_NEW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MIN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MIN_NEW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DO_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_FIELD_NUMBER: _ClassVar[int]
    NUM_BEAMS_FIELD_NUMBER: _ClassVar[int]
    NUM_BEAM_GROUPS_FIELD_NUMBER: _ClassVar[int]
    PENALTY_ALPHA_FIELD_NUMBER: _ClassVar[int]
    USE_CACHE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    NO_REPEAT_NGRAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    SUPPRESS_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURES_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_RATIO_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ON_PREV_TOKENS_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_k: int
    top_p: float
    typical_p: float
    epsilon_cutoff: float
    eta_cutoff: float
    max_length: int
    max_new_tokens: int
    min_length: int
    min_new_tokens: int
    do_sample: bool
    early_stopping: EarlyStopping
    num_beams: int
    num_beam_groups: int
    penalty_alpha: float
    use_cache: bool
    seed: int
    length_penalty: float
    diversity_penalty: float
    patience: float
    repetition_penalty: float
    no_repeat_ngram_size: int
    suppress_tokens: _containers.RepeatedScalarFieldContainer[int]
    temperatures: _containers.RepeatedScalarFieldContainer[float]
    compression_ratio_threshold: float
    logprob_threshold: float
    no_speech_threshold: float
    condition_on_prev_tokens: bool
    def __init__(self, temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., typical_p: _Optional[float] = ..., epsilon_cutoff: _Optional[float] = ..., eta_cutoff: _Optional[float] = ..., max_length: _Optional[int] = ..., max_new_tokens: _Optional[int] = ..., min_length: _Optional[int] = ..., min_new_tokens: _Optional[int] = ..., do_sample: bool = ..., early_stopping: _Optional[_Union[EarlyStopping, str]] = ..., num_beams: _Optional[int] = ..., num_beam_groups: _Optional[int] = ..., penalty_alpha: _Optional[float] = ..., use_cache: bool = ..., seed: _Optional[int] = ..., length_penalty: _Optional[float] = ..., diversity_penalty: _Optional[float] = ..., patience: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., no_repeat_ngram_size: _Optional[int] = ..., suppress_tokens: _Optional[_Iterable[int]] = ..., temperatures: _Optional[_Iterable[float]] = ..., compression_ratio_threshold: _Optional[float] = ..., logprob_threshold: _Optional[float] = ..., no_speech_threshold: _Optional[float] = ..., condition_on_prev_tokens: bool = ...) -> None: ...

class TranscribeResponse(_message.Message):
    __slots__ = ("text", "chunks", "language", "language_probability", "duration_s", "speech_s", "timings", "warnings", "coverage", "encoder_window", "logprobs", "other_languages")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    SPEECH_S_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    ENCODER_WINDOW_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    OTHER_LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    text: str
    chunks: _containers.RepeatedCompositeFieldContainer[Chunk]
    language: str
    language_probability: float
    duration_s: float
    speech_s: float
    timings: Timings
    warnings: _containers.RepeatedScalarFieldContainer[str]
    coverage: float
    encoder_window: EncoderWindow
    logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    other_languages: _containers.RepeatedCompositeFieldContainer[LanguageProbability]
    def __init__(self, text: _Optional[str] = ..., chunks: _Optional[_Iterable[_Union[Chunk, _Mapping]]] = ..., language: _Optional[str] = ..., language_probability: _Optional[float] = ..., duration_s: _Optional[float] = ..., speech_s: _Optional[float] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., coverage: _Optional[float] = ..., encoder_window: _Optional[_Union[EncoderWindow, str]] = ..., logprobs: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ..., other_languages: _Optional[_Iterable[_Union[LanguageProbability, _Mapping]]] = ...) -> None: ...

class TokenLogprob(_message.Message):
    __slots__ = ("token", "logprob", "bytes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    token: str
    logprob: float
    bytes: bytes
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., bytes: _Optional[bytes] = ...) -> None: ...

class LanguageProbability(_message.Message):
    __slots__ = ("language", "probability")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    language: str
    probability: float
    def __init__(self, language: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("word", "start_s", "end_s", "probability")
    WORD_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    word: str
    start_s: float
    end_s: float
    probability: float
    def __init__(self, word: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("text", "start_s", "end_s", "words", "tokens", "avg_logprob", "no_speech_prob", "compression_ratio", "temperature", "seek", "language", "channel")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    AVG_LOGPROB_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_PROB_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_RATIO_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEEK_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    text: str
    start_s: float
    end_s: float
    words: _containers.RepeatedCompositeFieldContainer[Word]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    seek: int
    language: str
    channel: int
    def __init__(self, text: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ..., tokens: _Optional[_Iterable[int]] = ..., avg_logprob: _Optional[float] = ..., no_speech_prob: _Optional[float] = ..., compression_ratio: _Optional[float] = ..., temperature: _Optional[float] = ..., seek: _Optional[int] = ..., language: _Optional[str] = ..., channel: _Optional[int] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode_s", "vad_s", "features_s", "queue_s", "encode_s", "generate_s", "total_s", "mean_batch_size")
    DECODE_S_FIELD_NUMBER: _ClassVar[int]
    VAD_S_FIELD_NUMBER: _ClassVar[int]
    FEATURES_S_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    ENCODE_S_FIELD_NUMBER: _ClassVar[int]
    GENERATE_S_FIELD_NUMBER: _ClassVar[int]
    TOTAL_S_FIELD_NUMBER: _ClassVar[int]
    MEAN_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    decode_s: float
    vad_s: float
    features_s: float
    queue_s: float
    encode_s: float
    generate_s: float
    total_s: float
    mean_batch_size: float
    def __init__(self, decode_s: _Optional[float] = ..., vad_s: _Optional[float] = ..., features_s: _Optional[float] = ..., queue_s: _Optional[float] = ..., encode_s: _Optional[float] = ..., generate_s: _Optional[float] = ..., total_s: _Optional[float] = ..., mean_batch_size: _Optional[float] = ...) -> None: ...
