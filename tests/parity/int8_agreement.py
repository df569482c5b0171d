"""How much of what HF says in float32 the demo model still says in int8. By hand, a minute:

    python tests/parity/int8_agreement.py

In talkmill's own environment. Numbers to report, not to assert: int8 is another model.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes import DEMO_FOLDER, decode_file, small_config
from talkmill.engine import GenerationParameters
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import Strategy, make_plan
from talkmill.engine.features import log_mel
from talkmill.engine.loading import load_model
from talkmill.engine.model import choose_device

AUDIO = {"jfk": ROOT / "tests" / "data" / "jfk.flac", "sample": DEMO_FOLDER / "sample.flac"}


def likeness(found: list[int], golden: list[int]) -> float:
    """Return the share of tokens that two answers have in common, in order."""
    return SequenceMatcher(None, found, golden, autojunk=False).ratio()


def main() -> None:
    """Print a Markdown table: each lane and compute type against HF's float32."""
    path = ROOT / "tests" / "data" / "parity" / "demo_model.json"
    goldens = json.loads(path.read_text(encoding="utf-8"))
    print("| compute type | lane | the same answer | mean share of tokens |\n|---|---|---|---|")
    for compute_type in ("float32", "int8"):
        config = small_config(compute_type=compute_type)
        model = load_model(config, choose_device(config))
        replica = model.replicas[0]
        shares: dict[str, list[float]] = {"exact": [], "native greedy": []}
        same: Counter[str] = Counter()
        for place, answers in goldens["answers"].items():
            audio, mode = place.split(", ")
            encoded = replica.encode(log_mel(decode_file(AUDIO[audio]), 80)[None])
            special = [] if mode == "times" else [model.tokenizer.timestamp_begin - 1]
            prompt = [*goldens["task"], *special]
            for case, golden in answers.items():
                given = {
                    name: tuple(value) if isinstance(value, list) else value
                    for name, value in goldens["cases"][case].items()
                }
                plan, _ = make_plan(
                    GenerationParameters(**given),
                    timestamps=mode == "times",
                    prompt_length=len(prompt),
                )
                task = ExactTask(prompt, replace(plan, is_exact=True), 0, 0, lambda: True)
                found = {"exact": replica.decode_exactly(encoded, model.vocabulary, [task])[0]}
                if plan.strategy is Strategy.GREEDY and not plan.is_exact:
                    found["native greedy"] = replica.generate(encoded, [prompt], plan)[0]
                for lane, answer in found.items():
                    same[lane] += answer == golden
                    shares[lane].append(likeness(answer, golden))
        for lane, shared in shares.items():
            count = f"{same[lane]} of {len(shared)}"
            print(f"| {compute_type} | {lane} | {count} | {np.mean(shared):.3f} |")


if __name__ == "__main__":
    main()
