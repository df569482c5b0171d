"""Takes from HF transformers what talkmill's exact lane must say: `tests/data/parity`.

In the environment of `requirements.txt`, from the repository's root, some minutes, of which
`demo_model` takes two:

    python tests/parity/make_goldens.py [random_weights] [demo_model] [warpers]

Without a name it makes all three; after a change of the demo model `demo_model` is enough. The
answers come from `GenerationMixin.generate`: Whisper's own `generate` seeks inside the window.
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import av
import numpy as np
import torch
import transformers
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.generation.logits_process import (
    LogitsProcessorList,
    WhisperTimeStampLogitsProcessor,
)
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from parity import random_weights as rw
from parity.cases import Parameters, all_cases, prompted_cases, speech_cases
from parity.hf_model import to_hf
from parity.warpers import warped_by_hf

TARGET = ROOT / "tests" / "data" / "parity"
DEMO_FOLDER = ROOT / "engine" / "demo_model"
AUDIO = {"jfk": ROOT / "tests" / "data" / "jfk.flac", "sample": DEMO_FOLDER / "sample.flac"}
MAX_INITIAL_TIMESTAMP = 50
MAX_PREVIOUS = 16

Answers = dict[str, dict[str, list[int]]]
Prompted = dict[str, dict[str, Any]]


class Special:
    """Tokens that mean something, as a vocabulary has them."""

    def __init__(
        self, end: int, start: int, previous: int, no_timestamps: int, suppress_first: list[int]
    ) -> None:
        """Take their numbers."""
        self.end = end
        self.start = start
        self.previous = previous
        self.no_timestamps = no_timestamps
        self.suppress_first = suppress_first


def generate(
    model: WhisperForConditionalGeneration,
    encoded: torch.Tensor,
    prompt: list[int],
    case: Parameters,
    special: Special,
    *,
    timestamps: bool,
) -> list[int]:
    """Return HF's answer to one chunk, end of text left out.

    Args:
        model: It.
        encoded: Its encoder's output, (1, num_frames, d_model).
        prompt: The tokens before the answer.
        case: HF's parameters.
        special: Its special tokens.
        timestamps: Whether Whisper's timestamp rules hold.
    """
    config = GenerationConfig(
        eos_token_id=special.end,
        pad_token_id=special.end,
        bos_token_id=special.end,
        decoder_start_token_id=special.start,
        begin_suppress_tokens=special.suppress_first or None,
        do_sample=False,
        **case,
    )
    config.no_timestamps_token_id = special.no_timestamps
    config.max_initial_timestamp_index = MAX_INITIAL_TIMESTAMP
    rules = WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt))
    found = GenerationMixin.generate(
        model,
        encoder_outputs=BaseModelOutput(encoded),
        decoder_input_ids=torch.tensor([prompt]),
        generation_config=config,
        logits_processor=LogitsProcessorList([rules] if timestamps else []),
    )
    answer: list[int] = found[0, len(prompt) :].tolist()
    return answer[: answer.index(special.end)] if special.end in answer else answer


def answers_to(
    model: WhisperForConditionalGeneration,
    chunks: dict[str, torch.Tensor],
    task: list[int],
    special: Special,
    cases: dict[str, Parameters],
) -> Answers:
    """Return HF's answers: "chunk, text" or "chunk, times", then the case's name."""
    answers: Answers = {}
    for chunk, encoded in chunks.items():
        for mode, timestamps in (("text", False), ("times", True)):
            prompt = [*task] if timestamps else [*task, special.no_timestamps]
            answers[f"{chunk}, {mode}"] = {
                name: generate(model, encoded, prompt, case, special, timestamps=timestamps)
                for name, case in cases.items()
            }
            lengths = [len(answer) for answer in answers[f"{chunk}, {mode}"].values()]
            print(f"  {chunk}, {mode}: {len(lengths)} answers of {np.mean(lengths):.0f} tokens")
    return answers


def answers_after_text(
    model: WhisperForConditionalGeneration,
    chunks: dict[str, torch.Tensor],
    task: list[int],
    special: Special,
    answers: Answers,
) -> Prompted:
    """Return HF's answers after text that holds what a long answer says, by chunk and mode."""
    found: Prompted = {}
    for place in answers:
        chunk, mode = place.split(", ")
        timestamps = mode == "times"
        said = answers[f"{chunk}, text"]["greedy, 30 at least"]
        previous = [token for token in said if token < special.end][:MAX_PREVIOUS]
        prompt = [special.previous, *previous, *task]
        prompt += [] if timestamps else [special.no_timestamps]
        found[place] = {
            "previous": [special.previous, *previous],
            "answers": {
                name: generate(model, chunks[chunk], prompt, case, special, timestamps=timestamps)
                for name, case in prompted_cases().items()
            },
        }
        print(f"  {place}: after {len(previous)} tokens of text")
    return found


def random_weights() -> None:
    """Write what models of random weights say to random chunks."""
    special = Special(rw.END_OF_TEXT, rw.START, rw.PREVIOUS, rw.NO_TIMESTAMPS, rw.SUPPRESS_FIRST)
    seeds = {}
    for seed in rw.SEEDS:
        weights = rw.random_weights(seed)
        encoded = torch.from_numpy(rw.random_chunks(seed))
        chunks = {str(i): encoded[i : i + 1] for i in range(len(encoded))}
        print(f"random weights, seed {seed}")
        model = to_hf(weights, rw.NUM_MELS)
        answers = answers_to(model, chunks, rw.TASK, special, all_cases())
        prompted = answers_after_text(model, chunks, rw.TASK, special, answers)
        seeds[str(seed)] = {
            "weights": rw.fingerprint(weights),
            "answers": answers,
            "prompted": prompted,
        }
    _write("random_weights", all_cases(), {"seeds": seeds})


def demo_model() -> None:
    """Write what the demo model says to real speech."""
    config = json.loads((DEMO_FOLDER / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((DEMO_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = Special(
        ids["<|endoftext|>"],
        ids["<|startoftranscript|>"],
        ids["<|startofprev|>"],
        ids["<|notimestamps|>"],
        config["suppress_ids_begin"],
    )
    assert not config["suppress_ids"]
    model = to_hf(_demo_weights(), num_mels=80)
    extract = WhisperFeatureExtractor(feature_size=80)
    chunks = {}
    for name, path in AUDIO.items():
        features = extract(_samples(path), sampling_rate=16_000, return_tensors="pt")
        chunks[name] = model.get_encoder()(features.input_features).last_hidden_state
    print("demo model")
    task = [special.start, ids["<|en|>"], ids["<|transcribe|>"]]
    answers = answers_to(model, chunks, task, special, speech_cases())
    prompted = answers_after_text(model, chunks, task, special, answers)
    digest = hashlib.sha256((DEMO_FOLDER / "model.bin").read_bytes()).hexdigest()
    content: dict[str, object] = {
        "model": digest,
        "task": task,
        "answers": answers,
        "prompted": prompted,
    }
    _write("demo_model", speech_cases(), content)


def warpers() -> None:
    """Write the probabilities that HF's warpers leave."""
    arrays: dict[str, Any] = {**warped_by_hf()}
    TARGET.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(TARGET / "warpers.npz", **arrays)
    print(f"warpers: {len(arrays)} arrays")


def _demo_weights() -> dict[str, np.ndarray]:
    # Our reader, without `talkmill.engine.__init__`, which needs all of talkmill's dependencies.
    for name, folder in (("talkmill.engine", ROOT / "engine"), ("talkmill", ROOT / ".links")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    from talkmill.engine.model.weights import dense, read_weights

    stored = read_weights(DEMO_FOLDER / "model.bin")
    return {
        name: dense(stored, name.removesuffix("/weight"))
        if name.endswith("/weight")
        else np.asarray(value)
        for name, value in stored.items()
        if not name.endswith("/weight_scale")
    }


def _samples(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert container.streams.audio[0].rate == 16_000
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return (np.concatenate(frames) / 32768).astype(np.float32)  # both are of 16 bits


def _write(name: str, cases: dict[str, Parameters], content: dict[str, object]) -> None:
    cases_of = {"cases": cases, "prompted_cases": prompted_cases()}
    made_by = {"transformers": transformers.__version__, "torch": torch.__version__}
    TARGET.mkdir(parents=True, exist_ok=True)
    text = "".join(_lines({"made_by": made_by, **cases_of, **content}))
    (TARGET / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _lines(value: object, indent: str = "") -> Iterator[str]:
    """Yield JSON with a line for each answer."""
    if isinstance(value, dict) and any(isinstance(inner, dict | list) for inner in value.values()):
        yield "{"
        for i, (key, inner) in enumerate(value.items()):
            yield ("," if i else "") + f"\n{indent} {json.dumps(key)}: "
            yield from _lines(inner, indent + " ")
        yield f"\n{indent}}}"
    else:
        yield json.dumps(value, separators=(",", ":"))


def main() -> None:
    """Make those that the command line names, or all."""
    parts = {"random_weights": random_weights, "demo_model": demo_model, "warpers": warpers}
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    with torch.no_grad():
        for name in sys.argv[1:] or parts:
            parts[name]()


if __name__ == "__main__":
    main()
