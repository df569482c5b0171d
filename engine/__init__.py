"""Audio in, transcript out. Knows nothing of gRPC.

The way of a request, in the order of the modules: `engine` admits it, `feeder` gives it to
`prepare` (`audio` -> `vad` -> `chunking` -> `features`) a chunk at a time, `batching` decides what
goes together, `worker` runs it through `model`, `assembly` reads the tokens, and `request` puts
the answer together.
"""

from .audio.decode import declared_duration_s
from .config import EngineConfig, split_commas
from .decoding.parameters import PARAMETERS, GenerationParameters, Parameter
from .engine import Engine, State
from .errors import (
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
from .model.loading import LoadedModel
from .scheduling.cache import CacheStats
from .scheduling.request import OnSegment, Request
from .scheduling.worker import WorkerStats
from .tuning import Measured as MeasuredSetup
from .tuning import Setup as TuningSetup
from .tuning import tune
from .types import (
    Segment,
    Task,
    Timings,
    TranscribeOptions,
    Transcript,
    VadMode,
)

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
    "MeasuredSetup",
    "ModelError",
    "NotReady",
    "OnSegment",
    "Overloaded",
    "Parameter",
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
    "TuningSetup",
    "UnknownModel",
    "UnsupportedOption",
    "VadMode",
    "WorkerStats",
    "declared_duration_s",
    "split_commas",
    "tune",
]
