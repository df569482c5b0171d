"""Models whose files are damaged, missing, or do not belong together: refused at start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import SAMPLE, run
from fakes import DEMO_FOLDER, FakeModel, loaded, small_config
from talkmill.engine import ConfigError, Engine
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.types import Features

Damage = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The demo model as links, which a test replaces."""
    for path in DEMO_FOLDER.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def cut(path: Path) -> None:
    replace(path, path.read_bytes()[: path.stat().st_size // 2])


def overwrite(folder: Path, variable: str, number: float) -> None:
    """Write a number over the first float32 of a variable."""
    path = folder / "model.bin"
    content = path.read_bytes()
    # Its name with a NUL; the number of dimensions, each of them, the type, the number of bytes.
    at = content.index(variable.encode() + b"\0") + len(variable) + 1
    at += 1 + 4 * content[at] + 1 + 4
    replace(path, content[:at] + np.float32(number).tobytes() + content[at + 4 :])


def configure(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    replace(path, json.dumps({**json.loads(path.read_bytes()), **fields}).encode())


def add_token(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_bytes())
    last = max(content["added_tokens"], key=lambda token: int(token["id"]))
    content["added_tokens"].append({**last, "id": last["id"] + 1, "content": "<|more|>"})
    replace(folder / "tokenizer.json", json.dumps(content).encode())


def shuffle_tokens(folder: Path) -> None:
    content: dict[str, Any] = json.loads((folder / "tokenizer.json").read_bytes())
    vocabulary = content["model"]["vocab"]
    numbers = sorted(vocabulary.values())
    content["model"]["vocab"] = dict(zip(vocabulary, [*numbers[1:], numbers[0]], strict=True))
    replace(folder / "tokenizer.json", json.dumps(content).encode())


BROKEN: dict[str, tuple[Damage, str]] = {
    "model.bin cut off": (lambda it: cut(it / "model.bin"), "cut off or damaged"),
    "model.bin empty": (lambda it: replace(it / "model.bin", b""), "cut off or damaged"),
    "model.bin of zeros": (lambda it: replace(it / "model.bin", bytes(1000)), "version 0"),
    "model.bin missing": (lambda it: (it / "model.bin").unlink(), "has no model.bin"),
    "a weight not a number": (
        lambda it: overwrite(it, "encoder/conv1/bias", float("nan")),
        "on the bundled recording the encoder's output is nan",
    ),
    "a bias too large": (
        lambda it: overwrite(it, "decoder/layer_norm/gamma", float("inf")),
        "on the bundled recording the log-probability of an answer is",
    ),
    "a weight too large": (
        lambda it: overwrite(it, "decoder/position_encodings/encodings", 1e30),
        "decoder/position_encodings/encodings has a weight of 1e.30, over the limit of 256",
    ),
    "tokenizer.json missing": (
        lambda it: (it / "tokenizer.json").unlink(),
        "tokenizer.json is missing",
    ),
    "tokenizer.json cut off": (
        lambda it: cut(it / "tokenizer.json"),
        "not a valid tokenizer.json",
    ),
    "a token too many": (add_token, "tokens up to id 2534, but model.bin only 2534"),
    "another model's tokenizer": (shuffle_tokens, "the tokenizer is another model's"),
    "vocabulary.json missing": (lambda it: (it / "vocabulary.json").unlink(), "cannot be loaded"),
    "config.json no JSON": (lambda it: replace(it / "config.json", b"{"), "config.json is not"),
    "config.json a list": (lambda it: replace(it / "config.json", b"[]"), "not an object"),
    "suppress_ids": (
        lambda it: configure(it, suppress_ids=[99_999]),
        "suppress_ids has 99999, not in 0 <= id < 2534",
    ),
    "suppress_ids_begin": (
        lambda it: configure(it, suppress_ids_begin=[-2]),
        "suppress_ids_begin has -2",
    ),
    "lang_ids": (lambda it: configure(it, lang_ids=["<|en|>"]), "lang_ids has '<|en|>'"),
    "alignment_heads": (
        lambda it: configure(it, alignment_heads=[[2, 3]]),
        r"alignment_heads has \[2, 3\], but the decoder has 3 layers of 3 heads",
    ),
    "alignment_heads no pairs": (
        lambda it: configure(it, alignment_heads=[2]),
        "alignment_heads has 2",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_model_ends_the_start_with_a_clear_message(folder: Path, kind: str) -> None:
    damage, message = BROKEN[kind]
    damage(folder)

    ended = run("transcribe", "--model", folder, SAMPLE)

    assert ended.exit_code == 1
    assert re.search(message, " ".join(ended.stderr.split()))


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.1, 0.99])
def test_a_model_that_is_cut_off_anywhere_is_refused(folder: Path, share: float) -> None:
    path = folder / "model.bin"
    replace(path, path.read_bytes()[: int(os.path.getsize(path) * share)])

    with pytest.raises(ConfigError, match="cut off or damaged"):
        Engine(small_config(model=str(folder))).start()


def test_scores_that_are_no_numbers_are_found_before_any_request() -> None:
    class WithoutScores(FakeModel):
        def answer(self, row: Features, plan: DecodePlan) -> Hypothesis:
            return Hypothesis((0,), float("nan"), 0.0)

    with pytest.raises(ConfigError, match="the log-probability of an answer is nan"):
        Engine(small_config(), model=loaded(WithoutScores())).start()
