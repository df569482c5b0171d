from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from audio_files import tone
from fakes import DEMO_FOLDER, small_config
from talkmill.engine import Engine, TranscribeOptions
from talkmill.engine.audio.features import log_mel
from talkmill.engine.model.alignment import (
    ALL_POSITIONS,
    AlignmentTask,
    groups,
    seen_positions,
    to_alignment,
)
from talkmill.engine.model.alignment_heads import default_heads, has_alignment_heads
from talkmill.engine.model.loading import load_model
from talkmill.engine.model.weights import read_weights
from talkmill.engine.types import Task


def task(num_tokens: int, *, start: int = 1, seen: int = 250, row: int = 0) -> AlignmentTask:
    return AlignmentTask(row, (start,), tuple(range(5, 5 + num_tokens)), 100, seen)


def test_a_token_begins_where_the_path_first_comes_to_it() -> None:
    path = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 3), (3, 3), (3, 4)]

    assert to_alignment(path, [0.5, 0.6, 0.7]).starts == (0, 2, 3, 3)


def test_tasks_of_a_call_share_start_and_positions() -> None:
    tasks = [task(3), task(4, start=2), task(5), task(6, seen=500), task(1, start=2)]

    assert sorted(map(sorted, groups(tasks))) == [[0, 2], [1, 4], [3]]


def test_a_call_has_a_limit_on_tokens_with_their_padding() -> None:
    tasks = [task(200), *[task(5) for _ in range(20)], task(2000)]

    sizes = [len(group) for group in groups(tasks)]

    assert sum(sizes) == 22
    for group in groups(tasks):
        longest = max(len(tasks[i].tokens) for i in group)
        assert len(group) * longest <= 256 or len(group) == 1


@pytest.mark.parametrize("num_positions", [1, 200, 201, 700, 1450, 1500])
def test_what_is_seen_of_a_fitted_window_holds_the_audio_and_a_margin(num_positions: int) -> None:
    seen = seen_positions(num_positions)

    assert seen >= num_positions + 50
    assert seen - 100 < num_positions + 50


def test_rows_aligned_together_are_aligned_as_alone() -> None:
    model = load_model(small_config())
    (replica,) = model.replicas
    tokenizer = model.tokenizer
    start = tuple(tokenizer.prompt("en", Task.TRANSCRIBE, timestamps=True))
    sounds = [tone(frequency, length_s) for frequency, length_s in ((440, 2.0), (880, 4.0))]
    encoded = replica.encode([log_mel(one, replica.n_mels, 500) for one in sounds], 250)
    tasks = [
        AlignmentTask(row, start, tokenizer.encode(text), num_positions, ALL_POSITIONS)
        for row, text, num_positions in ((1, "one two three", 200), (0, "six", 100))
    ]

    together = replica.align(encoded, tasks)

    alone = [replica.align(encoded, [one])[0] for one in tasks]
    assert [one.starts for one in together] == [one.starts for one in alone]
    for one, other in zip(together, alone, strict=True):  # CPUs without AVX-512 round
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-4)
    assert [len(one.starts) for one in together] == [len(one.tokens) + 1 for one in tasks]
    for one, own in zip(together, tasks, strict=True):
        assert list(one.starts) == sorted(one.starts)
        assert one.starts[-1] < own.num_positions
        assert np.all(np.array(one.probabilities) <= 1)


@pytest.fixture
def without_heads(tmp_path: Path) -> Path:
    """The demo model, its list of alignment heads taken away."""
    folder = tmp_path / "model"
    shutil.copytree(DEMO_FOLDER, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["alignment_heads"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_the_upper_half_of_the_layers_stands_in_for_heads_that_are_not_listed() -> None:
    weights = {f"decoder/layer_{i}/ffn/linear_0/weight": np.zeros(1) for i in range(5)}

    heads = default_heads({**weights, "decoder/num_heads": np.array(2)})

    assert heads == [(2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1)]


def test_words_without_listed_heads_come_with_a_warning(without_heads: Path) -> None:
    options = TranscribeOptions(words=True)
    sample = (DEMO_FOLDER / "sample.flac").read_bytes()
    assert has_alignment_heads(DEMO_FOLDER)
    assert not has_alignment_heads(without_heads)
    assert default_heads(read_weights(without_heads / "model.bin"))

    with Engine(small_config(model=str(without_heads))) as engine:
        answer = engine.transcribe(sample, options)
        plain = engine.transcribe(sample, TranscribeOptions(timestamps=True))

    assert any("alignment heads" in warning for warning in answer.warnings)
    assert not plain.warnings
    assert all(segment.words for segment in answer.segments)
