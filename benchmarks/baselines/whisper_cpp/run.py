"""whisper.cpp through pywhispercpp: a context for each worker.

Options: `num_workers`. The model is a ggml file.
"""

from __future__ import annotations

import os
import queue

# Its threads wait for each other at every operation. Busy waiting makes it several times slower if
# anything else needs a core, such as a load generator. Must be set before its library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from pywhispercpp.model import Model

from benchmarks.baselines.audio import decode
from benchmarks.baselines.protocol import Options, Setup, serve


class WhisperCpp:
    """A model for each worker; each takes the next file."""

    def __init__(self, setup: Setup) -> None:
        """Load the models."""
        num_workers = setup.options.get("num_workers", 1)
        self._idle: queue.SimpleQueue[Model] = queue.SimpleQueue()
        for _ in range(num_workers):
            self._idle.put(self._load(setup, max(1, setup.threads // num_workers)))

    @staticmethod
    def _load(setup: Setup, threads: int) -> Model:
        return Model(
            setup.model,
            n_threads=threads,
            language="en",
            no_context=True,
            n_max_text_ctx=0,  # otherwise the text of one window is the prompt of the next
            temperature=0.0,
            temperature_inc=0.0,  # no fallback
            entropy_thold=-1.0,
            logprob_thold=-1e9,
            no_speech_thold=1.0,
            greedy={"best_of": 1},
            print_progress=False,
            context_params={"use_gpu": setup.device == "cuda"},
        )

    def transcribe(self, path: str, options: Options) -> str:
        """Return the text of a file."""
        if options.vad:
            raise ValueError("vad: whisper.cpp needs a separate model, which is not installed")
        samples = decode(path)
        model = self._idle.get()
        try:
            segments = model.transcribe(
                samples,
                no_timestamps=not options.timestamps,
                # whisper.cpp stops after the first token over its limit, and keeps that token.
                max_tokens=max(0, (options.max_new_tokens or 0) - 1),
            )
            return " ".join(segment.text.strip() for segment in segments)
        finally:
            self._idle.put(model)


if __name__ == "__main__":
    serve(WhisperCpp, ("pywhispercpp",))
