"""The engine's settings: immutable, validated when they are created.

Each field's description is its `--help` text and its row in the table of settings.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .decoding.parameters import MAX_BEAMS

DEMO_MODEL = "demo"
MIN_WINDOW_S, MAX_WINDOW_S = 1, 30

ComputeType = Literal[
    "auto",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
]


EncoderName = Literal["auto", "ctranslate2", "openvino", "array"]


def split_commas(value: object) -> object:
    """Return the parts of a string between commas, without empty ones; other values unchanged."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


def read_windows(value: object) -> object:
    """Return the setting of the encoder's windows: "auto", "full", or lengths in seconds.

    Raises:
        ValueError: It is none of these.
    """
    if value in ("auto", "full"):
        return value
    parts = split_commas(value)
    if isinstance(parts, list | tuple) and parts:
        try:
            lengths = tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            lengths = (0.0,)
        if all(MIN_WINDOW_S <= length <= MAX_WINDOW_S for length in lengths):
            return lengths
    raise ValueError(
        f"expected auto, full, or lengths from {MIN_WINDOW_S} to {MAX_WINDOW_S} s, separated by "
        "commas"
    )


EncoderWindows = Annotated[
    Literal["auto", "full"] | tuple[float, ...], BeforeValidator(read_windows)
]
"""How long the encoder's window is; see `audio.windows`."""

WindowS = Annotated[float, Field(ge=MIN_WINDOW_S, le=MAX_WINDOW_S)]
WindowsS = Annotated[tuple[WindowS, ...], BeforeValidator(split_commas)]
"""Allowed lengths of the encoder's window, in seconds."""


def to_frames(windows_s: tuple[float, ...]) -> tuple[int, ...]:
    """Return windows in frames of 10 ms, ascending; even numbers, as the encoder halves them."""
    return tuple(sorted(2 * round(window_s * 50) for window_s in windows_s))


class EngineConfig(BaseModel):
    """Settings of one engine. 0 workers, threads or batch size: chosen for this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        DEMO_MODEL,
        description="Model to serve: a hub name like large-v3-turbo, a local CTranslate2 folder, "
        "or demo for the embedded one.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a hub model. Default: the newest one."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Device that runs the model; auto uses CUDA if there is a GPU, else the CPU.",
    )
    device_index: Annotated[tuple[int, ...], BeforeValidator(split_commas)] = Field(
        (0,),
        min_length=1,
        description="Indexes of the GPUs to use, separated by commas; each runs one replica.",
    )
    compute_type: ComputeType = Field(
        "auto",
        description="Number type to compute with; auto uses float16 on GPUs that support it "
        "and int8 on CPUs.",
    )
    encoder: EncoderName = Field(
        "auto",
        description="What runs the encoder. auto: CTranslate2, or on a CPU OpenVINO, if it is "
        "installed and a measurement at start-up finds it at least 1.2 times as fast. array: "
        "talkmill's own, on NumPy, or CuPy on GPU 0. In fitted windows openvino and array give "
        "fewer word errors than ctranslate2, and take more time.",
    )
    workers_per_device: int = Field(
        0,
        ge=0,
        le=64,
        description="Batches that run at the same time on each device. 0: on a CPU one per core, "
        "at most 4; on a GPU 2.",
    )
    threads_per_worker: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of each worker. 0: the cores divided by the number of workers.",
    )
    encoder_windows: EncoderWindows = Field(
        "auto",
        description="Length of the encoder's window. auto: the lengths that the model declares, "
        "else fitted: the length of the chunk. full: Whisper's 30 s. Or lengths in seconds (1 to "
        "30), separated by commas: a chunk is padded to the shortest one that holds it, and the "
        "longest is the longest chunk.",
    )
    beams: int = Field(
        3,
        ge=1,
        le=MAX_BEAMS,
        description="Beams of CTranslate2's search for requests that set no generation parameter. "
        "5, as in openai/whisper's command line and faster-whisper, takes about a tenth more time "
        "for few word errors less; 1 is greedy search, faster, with more word errors.",
    )
    max_batch_size: int = Field(
        0,
        ge=0,
        le=512,
        description="Most chunks in one batch. 0: 16 on a GPU; on a CPU 8, or fewer if their "
        "windows exceed 120 s in total.",
    )
    encoder_batch_size: int = Field(
        0,
        ge=0,
        le=512,
        description="Most chunks in one call of the encoder, for CPUs only. 0: 1, because "
        "batching does not speed up the encoder there. A GPU encodes the whole batch at once.",
    )
    max_batch_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest share of a batch that one request may fill while others wait.",
    )
    max_batch_wait_ms: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="How long a free worker waits for a batch to fill, counted from the arrival "
        "of its oldest chunk, in milliseconds. 0: no wait.",
    )
    prepare_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads that decode audio, detect speech and compute features. "
        "0: one per core.",
    )
    stuck_after_s: float = Field(
        0.0,
        ge=0,
        description="Longest time of one call of the model or one step of preparation, in seconds; "
        "after it the server reports that it is not serving, fails what is in the call, and ends "
        "with code 1. 0: 600 on a GPU, 7200 on a CPU, more than the longest batch. inf: no limit.",
    )
    max_audio_s: float = Field(
        43_200.0,
        gt=0,
        description="Longest decoded audio of one request, in seconds; where channels are split, "
        "each counts.",
    )
    max_audio_bytes: int = Field(
        2**31, gt=0, description="Largest audio file of one request, in bytes."
    )
    cache_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="Memory for the cache of transcripts, in bytes. 0: no cache.",
    )
    max_inflight_bytes: int = Field(
        0,
        ge=0,
        description="Most memory for the audio of all requests in flight, in bytes; an upload "
        "beyond it is refused as overload. 0: a quarter of the machine's memory.",
    )
    max_queue_s: float = Field(
        0.0,
        ge=0,
        description="Longest wait for a request's first turn, in seconds; one that would wait "
        "longer, as predicted from what is ahead of it, is refused as overload. Long files wait "
        "for the turns of others too. 0: no limit.",
    )
    max_requests: int = Field(
        1024, gt=0, description="Most concurrent requests; further ones are refused as overload."
    )
