"""Audio in, transcript out. Knows nothing of gRPC.

The way of a request: `engine` checks its `options` and admits it, `scheduling.feeder` prepares its
`audio` a chunk at a time, `scheduling.batcher` decides which chunks go together,
`scheduling.worker` takes a batch, `scheduling.runner` runs it through the `model`, `transcript`
reads the tokens, and `scheduling.request` puts the answer together.
"""

import os
import sys

# Before these libraries are loaded. Each would make an id of this machine under the home folder;
# onnxruntime looks up its maker's host at start, OpenVINO reports to Google Analytics from some
# calls. None makes the import of the package that reports fail, and OpenVINO has a stub for that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from .audio.decode import declared_duration_s
from .config import EngineConfig, split_commas
from .decoding.parameters import PARAMETERS, GenerationParameters, Parameter
from .engine import Engine
from .errors import (
    AudioTooLong,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    DeviceLost,
    EngineFailed,
    InvalidAudio,
    InvalidOption,
    ModelError,
    NoSpace,
    NotReady,
    Overloaded,
    Refused,
    RequestError,
    TalkmillError,
    UnsupportedOption,
)
from .model.files import public_name
from .model.languages import language_name
from .model.loading import LoadedModel
from .options import CheckedOptions, check_text
from .scheduling.admission import EngineLoad, Permit
from .scheduling.cache import CacheStats
from .scheduling.request import OnSegment, Request
from .scheduling.worker_stats import WorkerStats
from .state import State
from .tuning import MeasuredSetup, TuningSetup, tune
from .types import (
    Channels,
    EncoderWindow,
    Segment,
    Task,
    Timings,
    TokenLogprob,
    TranscribeOptions,
    Transcript,
    VadMode,
    VadOptions,
    Word,
)

__all__ = [
    "PARAMETERS",
    "AudioTooLong",
    "CacheStats",
    "Cancelled",
    "Channels",
    "CheckedOptions",
    "ConfigError",
    "DeadlineExceeded",
    "DeviceLost",
    "EncoderWindow",
    "Engine",
    "EngineConfig",
    "EngineFailed",
    "EngineLoad",
    "GenerationParameters",
    "InvalidAudio",
    "InvalidOption",
    "LoadedModel",
    "MeasuredSetup",
    "ModelError",
    "NoSpace",
    "NotReady",
    "OnSegment",
    "Overloaded",
    "Parameter",
    "Permit",
    "Refused",
    "Request",
    "RequestError",
    "Segment",
    "State",
    "TalkmillError",
    "Task",
    "Timings",
    "TokenLogprob",
    "TranscribeOptions",
    "Transcript",
    "TuningSetup",
    "UnsupportedOption",
    "VadMode",
    "VadOptions",
    "Word",
    "WorkerStats",
    "check_text",
    "declared_duration_s",
    "language_name",
    "public_name",
    "split_commas",
    "tune",
]
