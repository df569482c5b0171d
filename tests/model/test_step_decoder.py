"""The step decoder sees what CTranslate2 sees, and its rows do not see each other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.random_weights import Shape
from fakes import DEMO_FOLDER
from parity import random_weights as rw
from random_models import build
from talkmill.engine import ConfigError, Task
from talkmill.engine.audio.features import log_mel
from talkmill.engine.model.step_decoder import StepDecoder
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.model.weights import dense, read_weights
from talkmill.engine.types import Samples

TOLERANCE = 1e-4  # of logits, absolute
NUM_TOKENS = 12
SUPPRESSED = -1e30  # CTranslate2 gives the least float32 to what may not be said

Tokens = Sequence[int]
Logits = NDArray[np.float32]

MODELS = {
    "tiny shape": Shape(384, 6, 2),
    "tiny shape, English only": Shape(384, 6, 1),
    "tiny shape, 128 mels": Shape(384, 6, 1, n_mels=128),
    "base shape": Shape(512, 8, 2),
    "base shape, 128 mels, English only": Shape(512, 8, 1, n_mels=128),
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    @functools.cache
    def get(name: str, quantization: str = "") -> Path:
        if name == "demo":
            return DEMO_FOLDER
        return build(
            tmp_path_factory.mktemp("model"),
            MODELS[name],
            is_multilingual="English only" not in name,
            quantization=quantization,
        )

    return get


def by_ctranslate2(
    folder: Path, samples: Samples, *, timestamps: bool, frames: int = 3000
) -> tuple[NDArray[np.float32], list[int], list[int], Logits]:
    """Return the encoder's output, the prompt, CTranslate2's answer, and its logits."""
    whisper = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    features = np.ascontiguousarray(log_mel(samples, whisper.n_mels)[None, :, :frames])
    encoded = whisper.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
    tokenizer = WhisperTokenizer(folder / "tokenizer.json", whisper.is_multilingual)
    prompt = tokenizer.prompt("en", Task.TRANSCRIBE, timestamps, (10, 20, 30))
    (result,) = whisper.generate(
        encoded, [prompt], beam_size=1, max_length=2 * NUM_TOKENS, return_logits_vocab=True
    )
    (logits,) = result.logits
    return np.array(encoded), prompt, result.sequences_ids[0], np.array(logits)


def compare(folder: Path, samples: Samples, *, timestamps: bool, frames: int = 3000) -> None:
    encoded, prompt, tokens, expected = by_ctranslate2(
        folder, samples, timestamps=timestamps, frames=frames
    )
    decoder = StepDecoder(read_weights(folder / "model.bin"))
    found = alone(decoder, encoded, prompt, tokens)[: len(expected)]
    seen = expected > SUPPRESSED
    assert len(expected) >= NUM_TOKENS - 1
    assert seen.any(-1).all()
    assert seen.mean() > 0.05, "nearly everything was suppressed"
    np.testing.assert_allclose(found[seen], expected[seen], rtol=0, atol=TOLERANCE)
    assert np.ptp(expected[seen]) > 1, "logits that are all alike prove nothing"


def alone(decoder: StepDecoder, encoded: Any, prompt: Tokens, tokens: Tokens) -> Logits:
    """Return the logits after the prompt and after each token, of one chunk that runs alone."""
    state, ((logits, _),) = decoder.start(encoded, [prompt])
    rows = [logits[0]]
    for token in tokens:
        rows.append(decoder.step(state, [token])[0][0])
    return np.array(rows)


@pytest.mark.parametrize("timestamps", [False, True], ids=["text", "timestamps"])
@pytest.mark.parametrize("name", [*MODELS, "demo"])
def test_logits_are_those_of_ctranslate2(
    folder_of: Callable[..., Path], speech: Samples, name: str, timestamps: bool
) -> None:
    # The random models are slow: they hear 4 s.
    frames = 3000 if name == "demo" else 400
    compare(folder_of(name), speech, timestamps=timestamps, frames=frames)


@pytest.mark.parametrize("quantization", ["int8", "int16", "float16", "int8_float16"])
def test_stored_weights_of_every_type_are_read_as_ctranslate2_reads_them(
    folder_of: Callable[..., Path], speech: Samples, quantization: str
) -> None:
    name = "tiny shape, English only"
    folder = folder_of(name, quantization)
    stored = read_weights(folder / "model.bin")
    exact = read_weights(folder_of(name) / "model.bin")
    matrix = "decoder/layer_0/ffn/linear_0"
    found, expected = dense(stored, matrix), dense(exact, matrix)
    assert found.dtype == np.float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.01, "not stored as asked, or not read as stored"
    compare(folder, speech, timestamps=False, frames=200)


def test_names_that_share_a_variable_are_all_there(folder_of: Callable[..., Path]) -> None:
    weights = read_weights(folder_of("tiny shape") / "model.bin")
    assert "decoder/embeddings/weight" in weights
    assert "decoder/projection/weight" in weights


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    # CTranslate2 needs torch to write it, so the file is made by hand: one variable, one alias.
    values = np.array([[1.0, -2.5], [3.14159, 1e30]], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()

    def text(value: str) -> bytes:
        return (len(value) + 1).to_bytes(2, "little") + value.encode() + b"\0"

    def number(value: int, num_bytes: int = 4) -> bytes:
        return value.to_bytes(num_bytes, "little")

    content = number(6) + text("WhisperSpec") + number(3) + number(1)
    content += text("a/weight") + number(2, 1) + number(2) * 2 + number(5, 1) + number(len(upper))
    content += upper + number(1) + text("b/weight") + text("a/weight")
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    weights = read_weights(path)
    for name in ("a", "b"):
        found = dense(weights, name)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=2**-7)
        assert (found[0] == values[0]).all()


def test_a_model_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes((5).to_bytes(4, "little") + bytes(16))
    with pytest.raises(ConfigError, match="version 5"):
        read_weights(path)


@pytest.fixture(scope="module")
def decoder() -> StepDecoder:
    return StepDecoder(rw.random_weights(0))


@pytest.fixture(scope="module")
def encoded() -> NDArray[np.float32]:
    chunks = [rw.random_chunks(seed) for seed in range(2)]
    return np.concatenate(chunks)  # of four chunks


PROMPTS = [rw.TASK, [*rw.TASK, rw.NO_TIMESTAMPS], [*range(20, 90), *rw.TASK], [5]]


def close(found: Logits, expected: Logits) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_chunks_with_prompts_of_other_lengths_do_not_see_each_other(
    decoder: StepDecoder, encoded: NDArray[np.float32]
) -> None:
    state, observations = decoder.start(encoded, PROMPTS)
    tokens = np.random.default_rng(1).integers(0, 300, (70, 4))  # past where the cache grows
    together = [np.concatenate([logits for logits, _ in observations])]
    together += [decoder.step(state, row)[0] for row in tokens]
    for i, prompt in enumerate(PROMPTS):
        assert observations[i][1].shape == (len(prompt), rw.D_MODEL)
        expected = alone(decoder, encoded[i : i + 1], prompt, tokens[:, i].tolist())
        close(np.array(together)[:, i], expected)


def test_rows_that_branch_swap_and_leave_go_on_as_if_alone(
    decoder: StepDecoder, encoded: NDArray[np.float32]
) -> None:
    rng = np.random.default_rng(2)
    state, _ = decoder.start(encoded, PROMPTS)
    rows: list[tuple[int, list[int]]] = [(chunk, []) for chunk in range(4)]
    for step in range(24):
        # Chunk 1 leaves after 6 steps, chunk 3 after 12; the rest takes 1 to 3 rows, any way round.
        staying = [c for c in range(4) if not ((c == 1 and step > 6) or (c == 3 and step > 12))]
        present = [chunk for chunk in range(4) if any(owner == chunk for owner, _ in rows)]
        parents: list[int] = []
        runs: list[tuple[int, int]] = []
        for place, chunk in enumerate(present):
            if chunk in staying:
                own = [i for i, (owner, _) in enumerate(rows) if owner == chunk]
                taken = rng.choice(own, rng.integers(1, 4))
                parents += taken.tolist()
                runs.append((place, len(taken)))
        decoder.reorder(state, parents, runs)
        tokens = rng.integers(0, 300, len(parents)).tolist()
        logits, _ = decoder.step(state, tokens)
        rows = [
            (rows[parent][0], [*rows[parent][1], token])
            for parent, token in zip(parents, tokens, strict=True)
        ]
    assert {chunk for chunk, _ in rows} == {0, 2}
    for row, (chunk, said) in enumerate(rows):
        expected = alone(decoder, encoded[chunk : chunk + 1], PROMPTS[chunk], said)[-1]
        close(logits[row], expected)


def test_chunks_that_join_later_go_on_as_if_alone(
    decoder: StepDecoder, encoded: NDArray[np.float32]
) -> None:
    early, _ = decoder.start(encoded[:2], PROMPTS[:2])
    before = np.random.default_rng(3).integers(0, 300, (80, 2))
    for row in before:
        decoder.step(early, row)
    late, _ = decoder.start(encoded[2:3], [PROMPTS[2]])
    state = decoder.join([early, late])
    after = np.random.default_rng(4).integers(0, 300, (5, 3))
    logits = [decoder.step(state, row)[0] for row in after][-1]
    for i, said in enumerate([before[:, 0], before[:, 1], before[:0, 0]]):
        tokens = [*said, *after[:, i]]
        close(logits[i], alone(decoder, encoded[i : i + 1], PROMPTS[i], tokens)[-1])


class DirtyMemory:
    """NumPy, but for fresh memory: it holds the worst that there can be."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = np.float32) -> Any:
        return np.full(shape, np.nan, dtype)

    def empty_like(self, array: Any) -> Any:
        return np.full_like(array, np.nan)

    def asnumpy(self, array: Any) -> Any:
        return array


def test_what_lay_in_memory_before_does_not_matter(encoded: NDArray[np.float32]) -> None:
    decoder = StepDecoder(rw.random_weights(0))
    decoder.xp = DirtyMemory()
    state, _ = decoder.start(encoded[:2], [PROMPTS[0], PROMPTS[2]])
    decoder.reorder(state, [0, 0, 1], [(0, 2), (1, 1)])
    for _ in range(3):
        logits, hidden = decoder.step(state, [5, 6, 7])
        assert np.isfinite(logits).all()
        assert np.isfinite(hidden).all()


def test_threads_share_a_decoder(decoder: StepDecoder, encoded: NDArray[np.float32]) -> None:
    tokens = np.random.default_rng(5).integers(0, 300, 30).tolist()

    def run(i: int) -> Logits:
        return alone(decoder, encoded[i : i + 1], PROMPTS[i], tokens)

    expected = [run(i) for i in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for i, found in enumerate(threads.map(run, [0, 1, 2, 3] * 3)):
            np.testing.assert_array_equal(found, expected[i % 4])


def test_reordering_nothing_keeps_the_cache_as_it_is(
    decoder: StepDecoder, encoded: NDArray[np.float32]
) -> None:
    state, _ = decoder.start(encoded[:2], PROMPTS[:2])
    cache = state.cache[0]
    decoder.reorder(state, [0, 1], [(0, 1), (1, 1)])
    assert state.cache[0] is cache, "copied for nothing"
