"""The goldens that `make_goldens.py` took from HF, and tasks for our searches to match them."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audio_files import decode_file
from fakes import DEMO_FOLDER
from parity import random_weights as rw
from talkmill.engine import GenerationParameters
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import make_plan
from talkmill.engine.decoding.rules import Vocabulary
from talkmill.engine.model.loading import LoadedModel
from talkmill.engine.model.protocol import EncoderOutput
from talkmill.engine.model.step_decoder import StepDecoder

DATA = Path(__file__).parents[1] / "data"
GOLDENS = {
    name: json.loads((DATA / "parity" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("random_weights", "demo_model")
}
AUDIO = {"jfk": DATA / "jfk.flac", "sample": DEMO_FOLDER / "sample.flac"}
PROMPT_LENGTH = 4  # without preceding text, at most
MODES = {"text": False, "times": True}
VOCABULARY = Vocabulary(rw.END_OF_TEXT, rw.TIMESTAMP_BEGIN, suppress_first=tuple(rw.SUPPRESS_FIRST))


def parameters_of(case: dict[str, Any]) -> GenerationParameters:
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in case.items()}
    return GenerationParameters(**given)


def task_of(case: dict[str, Any], prompt: list[int], *, timestamps: bool) -> ExactTask:
    """Return the task as a request with these parameters would come to it."""
    plan, _ = make_plan(
        parameters_of(case),
        timestamps=timestamps,
        prompt_length=len(prompt),
        has_previous=len(prompt) > PROMPT_LENGTH,
    )
    return ExactTask(prompt, plan, seed=0, chunk=0, is_wanted=lambda: True)


def random_task(
    case: dict[str, Any], *, timestamps: bool, previous: Sequence[int] = ()
) -> ExactTask:
    prompt = [*previous, *rw.TASK] if timestamps else [*previous, *rw.TASK, rw.NO_TIMESTAMPS]
    return task_of(case, prompt, timestamps=timestamps)


@functools.cache
def random_decoder(seed: int) -> StepDecoder:
    return StepDecoder(rw.random_weights(seed))


def no_timestamps_of_demo() -> int:
    tokens = json.loads((DEMO_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    ids: dict[str, int] = {token["content"]: token["id"] for token in tokens["added_tokens"]}
    return ids["<|notimestamps|>"]


def encoded_by(model: LoadedModel) -> dict[str, EncoderOutput]:
    """Return the encoder's output for each recording of `AUDIO`."""
    encode = model.replicas[0].encode
    return {
        name: encode([log_mel(decode_file(path), 80)], FULL_WINDOW.num_positions)
        for name, path in AUDIO.items()
    }
