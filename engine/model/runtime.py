"""How a model runs on this machine: one record, resolved once, that everything else is handed."""

from __future__ import annotations

from dataclasses import dataclass

from ..audio.windows import Windows


@dataclass(frozen=True)
class Runtime:
    """The settings with every open choice made.

    Attributes:
        device: "cpu" or "cuda".
        indexes: Device numbers with one replica each; (0,) on a CPU.
        compute_type: As CTranslate2 calls it.
        windows: How long the encoder's window is.
        workers: Batches that run at once on each replica.
        threads: CPU threads of each worker.
        batch_size: Most chunks in one batch.
        encoder: What runs the encoder: "ctranslate2", or OpenVINO with version and number type.
        encoder_batch_size: Most chunks in one call of the encoder; 0 for the whole batch.
        batch_positions: Most positions of encoder output in one batch; 0 for no limit.
    """

    device: str
    indexes: tuple[int, ...]
    compute_type: str
    windows: Windows
    workers: int
    threads: int
    batch_size: int
    encoder: str = "ctranslate2"
    encoder_batch_size: int = 0
    batch_positions: int = 0
