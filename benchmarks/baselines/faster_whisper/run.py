"""faster-whisper: `WhisperModel.transcribe` in a thread pool, or `BatchedInferencePipeline`.

Options: `num_workers` (replicas, and threads of the pool). A job with a batch size uses the batched
pipeline.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from faster_whisper import BatchedInferencePipeline, WhisperModel

from benchmarks.baselines.protocol import Options, Setup, encode_segments, serve

_GREEDY: dict[str, Any] = {
    "beam_size": 1,
    "best_of": 1,
    "temperature": 0.0,
    "condition_on_previous_text": False,
}
_BARE: dict[str, Any] = {
    **_GREEDY,
    # Every chunk is decoded exactly once, and every answer is kept.
    "compression_ratio_threshold": None,
    "log_prob_threshold": None,
    "no_speech_threshold": None,
    "suppress_tokens": [],
}
_SEARCHES: dict[str, dict[str, Any]] = {"bare": _BARE, "greedy": _GREEDY, "default": {}}


class FasterWhisper:
    """A model and a pool of as many threads as it has workers, as it is deployed."""

    def __init__(self, setup: Setup) -> None:
        """Load the model."""
        num_workers = setup.options.get("num_workers", 1)
        self._model = WhisperModel(
            setup.model,
            device=setup.device,
            compute_type=setup.compute_type,
            cpu_threads=max(1, setup.threads // num_workers),
            num_workers=num_workers,
        )
        self._pool = ThreadPoolExecutor(num_workers)

    def transcribe(self, path: str, options: Options) -> str:
        """Return the text of a file, or its segments."""
        return self._pool.submit(self._transcribe, path, options).result()

    def _transcribe(self, path: str, options: Options) -> str:
        given = {"language": "en", **_SEARCHES[options.search]}
        if options.search != "default":
            given["without_timestamps"] = not options.timestamps
            given["max_new_tokens"] = options.max_new_tokens
        if options.vad is not None:
            given["vad_filter"] = options.vad
        if options.batch_size:
            # A pipeline holds the state of its file, so each call needs its own.
            pipeline = BatchedInferencePipeline(self._model)
            segments, _ = pipeline.transcribe(path, batch_size=options.batch_size, **given)
        else:
            segments, _ = self._model.transcribe(path, **given)
        if options.segments:
            return encode_segments((segment.start, segment.text) for segment in segments)
        return "".join(segment.text for segment in segments).strip()


if __name__ == "__main__":
    serve(FasterWhisper, ("faster-whisper", "ctranslate2", "onnxruntime"))
