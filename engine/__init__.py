"""Audio in, transcript out. Knows nothing of gRPC.

The way of a request: `engine` checks its `options` and admits it, `scheduling.feeder` prepares its
`audio` a chunk at a time, `scheduling.batcher` decides which chunks go together,
`scheduling.worker` takes a batch, `scheduling.runner` runs it through the `model`, `transcript`
reads the tokens, and `scheduling.request` puts the answer together. Audio that is still being
spoken goes through `live`, which sends each utterance the same way.
"""

import os
import sys

# Before these libraries are loaded. Each would make an id of this machine under the home folder;
# onnxruntime looks up its maker's host at start, OpenVINO reports to Google Analytics from some
# calls. None makes the import of the package that reports fail, and OpenVINO has a stub for that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from .audio.decode import declared_duration_s, decode_audio
from .audio.follower import HEAD_BYTES, can_follow
from .audio.growing import GrowingFile
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
from .live.events import Ended, Event, Failed, Final, Interim, SpeechStarted, SpeechStopped
from .live.inputs import ContainerInput, LiveInput, PcmInput
from .live.options import CheckedLive, LiveOptions
from .live.pcm import Encoding, PcmDecoder
from .live.session import OnEvent, Session
from .model.files import public_name
from .model.languages import language_name
from .model.loading import LoadedModel
from .options import MAX_PADDING_MS, CheckedOptions
from .scheduling.admission import Permit
from .scheduling.cache import CacheStats
from .scheduling.engine_load import EngineLoad
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
    "HEAD_BYTES",
    "MAX_PADDING_MS",
    "PARAMETERS",
    "AudioTooLong",
    "CacheStats",
    "Cancelled",
    "Channels",
    "CheckedLive",
    "CheckedOptions",
    "ConfigError",
    "ContainerInput",
    "DeadlineExceeded",
    "DeviceLost",
    "EncoderWindow",
    "Encoding",
    "Ended",
    "Engine",
    "EngineConfig",
    "EngineFailed",
    "EngineLoad",
    "Event",
    "Failed",
    "Final",
    "GenerationParameters",
    "GrowingFile",
    "Interim",
    "InvalidAudio",
    "InvalidOption",
    "LiveInput",
    "LiveOptions",
    "LoadedModel",
    "MeasuredSetup",
    "ModelError",
    "NoSpace",
    "NotReady",
    "OnEvent",
    "OnSegment",
    "Overloaded",
    "Parameter",
    "PcmDecoder",
    "PcmInput",
    "Permit",
    "Refused",
    "Request",
    "RequestError",
    "Segment",
    "Session",
    "SpeechStarted",
    "SpeechStopped",
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
    "can_follow",
    "declared_duration_s",
    "decode_audio",
    "language_name",
    "public_name",
    "split_commas",
    "tune",
]
