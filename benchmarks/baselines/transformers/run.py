"""transformers' pipeline on PyTorch, in float32: it has no int8 of its own on a CPU.

Files are cut into windows of 30 s and run one file at a time, with `batch_size` windows in a batch.
"""

from __future__ import annotations

import threading
from pathlib import Path

import torch
from transformers import (
    AutomaticSpeechRecognitionPipeline,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)

from benchmarks.baselines.audio import SAMPLE_RATE, decode
from benchmarks.baselines.protocol import Options, Setup, serve

_WINDOW_SAMPLES = 30 * SAMPLE_RATE


class Transformers:
    """One pipeline that uses all threads."""

    def __init__(self, setup: Setup) -> None:
        """Load the model."""
        torch.set_num_threads(setup.threads)
        self._one_at_a_time = threading.Lock()
        self._pipeline = AutomaticSpeechRecognitionPipeline(
            model=WhisperForConditionalGeneration.from_pretrained(setup.model).eval(),
            tokenizer=WhisperTokenizerFast(
                tokenizer_file=str(Path(setup.model) / "tokenizer.json"),
                unk_token="<|endoftext|>",
                pad_token="<|endoftext|>",
            ),
            feature_extractor=WhisperFeatureExtractor.from_pretrained(setup.model),
            device=setup.device,
        )

    def transcribe(self, path: str, options: Options) -> str:
        """Return the text of a file."""
        if options.timestamps or options.vad:
            raise ValueError("timestamps and vad are not supported for transformers")
        given = {"language": "en", "task": "transcribe", "do_sample": False, "num_beams": 1}
        if options.max_new_tokens:
            given["max_new_tokens"] = options.max_new_tokens
        samples = decode(path)
        # Cut here, because the pipeline drops words that two adjacent windows have in common.
        windows = [
            samples[i : i + _WINDOW_SAMPLES] for i in range(0, len(samples), _WINDOW_SAMPLES)
        ]
        with self._one_at_a_time, torch.inference_mode():
            answers = self._pipeline(
                windows, batch_size=options.batch_size or 1, generate_kwargs=given
            )
        return "".join(answer["text"] for answer in answers)


if __name__ == "__main__":
    serve(Transformers, ("transformers", "torch"))
