"""Audio in, transcript out. Knows nothing of gRPC.

The way of a request, in the order of the modules: `engine` admits it, `feeder` gives it to
`prepare` (`audio` -> `vad` -> `chunking` -> `features`) a chunk at a time, `batching` decides what
goes together, `worker` runs it through `model`, `assembly` reads the tokens, and `request` puts
the answer together.
"""

from talkmill.engine.audio import declared_duration_s
from talkmill.engine.cache import CacheStats
from talkmill.engine.config import EngineConfig, split_commas
from talkmill.engine.decoding.parameters import PARAMETERS, GenerationParameters
from talkmill.engine.engine import Engine, State
from talkmill.engine.errors import (
    AudioTooLong,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    DeviceLost,
    InvalidAudio,
    InvalidOption,
    ModelError,
    NotReady,
    Overloaded,
    Refused,
    RequestError,
    TalkmillError,
    UnknownModel,
    UnsupportedOption,
)
from talkmill.engine.loading import LoadedModel
from talkmill.engine.request import OnSegment, Request
from talkmill.engine.types import (
    Segment,
    Task,
    Timings,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from talkmill.engine.worker import WorkerStats

__all__ = [
    "PARAMETERS",
    "AudioTooLong",
    "CacheStats",
    "Cancelled",
    "ConfigError",
    "DeadlineExceeded",
    "DeviceLost",
    "Engine",
    "EngineConfig",
    "GenerationParameters",
    "InvalidAudio",
    "InvalidOption",
    "LoadedModel",
    "ModelError",
    "NotReady",
    "OnSegment",
    "Overloaded",
    "Refused",
    "Request",
    "RequestError",
    "Segment",
    "State",
    "TalkmillError",
    "Task",
    "Timings",
    "TranscribeOptions",
    "Transcript",
    "UnknownModel",
    "UnsupportedOption",
    "VadMode",
    "WorkerStats",
    "declared_duration_s",
    "split_commas",
]
