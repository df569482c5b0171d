"""talkmill's engine in this process, without gRPC. Options: `config` (fields of EngineConfig)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.baselines.protocol import Options, Setup, serve
from benchmarks.baselines.talkmill.run import to_talkmill
from talkmill.engine import Engine, EngineConfig


class TalkmillEngine:
    """A started engine."""

    def __init__(self, setup: Setup) -> None:
        """Load the model."""
        given: dict[str, Any] = setup.options.get("config", {})
        config = {
            "model": setup.model,
            "device": setup.device,
            "compute_type": setup.compute_type,
            "cache_bytes": 0,  # clips are sent repeatedly; each must be computed
        }
        self._engine = Engine(EngineConfig.model_validate({**config, **given}))
        self._engine.start()

    def transcribe(self, path: str, options: Options) -> str:
        """Return the text of a file."""
        return self._engine.transcribe(Path(path).read_bytes(), to_talkmill(options)).text


if __name__ == "__main__":
    serve(TalkmillEngine, ("talkmill", "ctranslate2", "onnxruntime"))
