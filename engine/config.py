"""What the engine can be told, as frozen data checked once.

Each field's description is its `--help` text and its row in the README.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

DEMO_MODEL = "demo"

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


EncoderName = Literal["auto", "ctranslate2", "openvino"]


def split_commas(value: object) -> object:
    """Return the parts of a text as it stands in a variable; anything else as it is."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


WindowsS = Annotated[
    tuple[Annotated[float, Field(ge=1, le=30)], ...], BeforeValidator(split_commas)
]
"""Lengths that the encoder's window may have, in seconds."""


def to_frames(windows_s: tuple[float, ...]) -> tuple[int, ...]:
    """Return windows in frames of 10 ms, the longest last; even, as the encoder halves them."""
    return tuple(sorted(2 * round(window_s * 50) for window_s in windows_s))


class EngineConfig(BaseModel):
    """Settings of one engine. Zero means: chosen from the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        DEMO_MODEL,
        description="Model to serve: a hub name like large-v3-turbo, a local CTranslate2 folder, "
        "or demo for the embedded one.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a hub model. Default: its newest."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs; auto takes CUDA when there is a GPU."
    )
    device_index: Annotated[tuple[int, ...], BeforeValidator(split_commas)] = Field(
        (0,), min_length=1, description="GPUs to use, separated by commas; each holds one replica."
    )
    compute_type: ComputeType = Field(
        "auto",
        description="Number type of the computation; auto takes float16 on GPUs that have it "
        "and int8 on CPUs.",
    )
    encoder: EncoderName = Field(
        "auto",
        description="What runs the encoder on a CPU; auto takes OpenVINO where it is installed "
        "and a try at start-up finds it clearly faster.",
    )
    workers_per_device: int = Field(
        0,
        ge=0,
        le=64,
        description="Batches in the works at once on each device. 0: up to 4 on a CPU, "
        "one per core; 2 on a GPU.",
    )
    threads_per_worker: int = Field(
        0, ge=0, le=256, description="CPU threads of each worker. 0: the cores, shared out evenly."
    )
    encoder_windows_s: WindowsS = Field(
        (),
        description="Lengths that the encoder's window may have, in seconds, separated by commas: "
        "a chunk takes the least that holds it, the longest is the longest chunk. "
        "Default: what the model declares; 30 for stock Whisper.",
    )
    max_batch_size: int = Field(
        0,
        ge=0,
        le=512,
        description="Pieces of audio in one batch at most. 0: 8 on a CPU, 4 with windows of "
        "30 s; 16 on a GPU.",
    )
    encoder_batch_size: int = Field(
        0,
        ge=0,
        le=512,
        description="Pieces of a batch that go through the encoder at once, on a CPU. 0: 1, for "
        "there the encoder gains nothing from a batch; a GPU takes the whole batch.",
    )
    max_batch_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest share of a batch that one request takes while others wait.",
    )
    max_batch_wait_ms: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="How long a free worker waits for a fuller batch, from the arrival of the "
        "oldest piece. 0 takes what is there.",
    )
    prepare_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads that decode audio, detect speech and compute features. "
        "0: one per core.",
    )
    max_audio_s: float = Field(
        43_200.0, gt=0, description="Longest audio that one request may decode to, in seconds."
    )
    max_audio_bytes: int = Field(
        2**31, gt=0, description="Largest audio file of one request, in bytes."
    )
    cache_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="Memory for answers to requests that may come again, in bytes. 0: none kept.",
    )
    max_requests: int = Field(
        1024, gt=0, description="Requests in the works at once; more are refused as overload."
    )

    @property
    def window_frames(self) -> tuple[int, ...]:
        """The windows in frames, the longest last; empty for the model's own."""
        return to_frames(self.encoder_windows_s)
