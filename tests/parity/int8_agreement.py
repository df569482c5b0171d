"""How much of what HF says in float32 the demo model still says in int8. By hand, a minute:

    PYTHONPATH=tests python tests/parity/int8_agreement.py

In talkmill's own environment. Numbers to report, not to assert: int8 is another model.
"""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from audio_files import decode_file
from fakes import DEMO_FOLDER, small_config
from talkmill.engine import GenerationParameters
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import FULL_WINDOW
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import make_plan
from talkmill.engine.model.loading import load_model

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "data" / "parity" / "demo_model.json"
AUDIO = {"jfk": ROOT / "tests" / "data" / "jfk.flac", "sample": DEMO_FOLDER / "sample.flac"}


def likeness(found: list[int], golden: list[int]) -> float:
    """Return the share of tokens that two answers have in common, in order."""
    return SequenceMatcher(None, found, golden, autojunk=False).ratio()


def agreement(compute_type: str) -> dict[str, list[float]]:
    """Return the likeness of each answer to its golden, by lane."""
    goldens = json.loads(GOLDENS.read_text(encoding="utf-8"))
    config = small_config(compute_type=compute_type)
    model = load_model(config)
    replica = model.replicas[0]
    found: dict[str, list[float]] = {"exact": [], "native greedy": []}
    for place, answers in goldens["answers"].items():
        audio, mode = place.split(", ")
        features = log_mel(decode_file(AUDIO[audio]), 80)
        encoded = replica.encode([features], FULL_WINDOW.num_positions)
        special = [] if mode == "times" else [model.tokenizer.timestamp_begin - 1]
        prompt = [*goldens["task"], *special]
        for case, golden in answers.items():
            given: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in goldens["cases"][case].items()
            }
            plan, _ = make_plan(
                GenerationParameters(**given),
                timestamps=mode == "times",
                prompt_length=len(prompt),
            )
            task = ExactTask(prompt, plan, 0, 0, lambda: True)
            (answer,) = replica.exact_lane(model.vocabulary).run(encoded, [task])
            found["exact"].append(likeness(list(answer.tokens), golden))
            if not plan.is_exact:
                (answer,) = replica.generate(encoded, [prompt], plan)
                found["native greedy"].append(likeness(list(answer.tokens), golden))
    return found


def main() -> None:
    """Print a Markdown table: each lane and compute type against HF's float32."""
    print("| compute type | lane | the same answer | mean share of tokens |\n|---|---|---|---|")
    for compute_type in ("float32", "int8"):
        for lane, shares in agreement(compute_type).items():
            count = f"{sum(share == 1 for share in shares)} of {len(shares)}"
            print(f"| {compute_type} | {lane} | {count} | {np.mean(shares):.3f} |")


if __name__ == "__main__":
    main()
