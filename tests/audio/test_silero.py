from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from faster_whisper.utils import get_assets_path
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from talkmill.engine.audio.decode import decode_audio
from talkmill.engine.audio.onnx_format import node, read_weights, write_model
from talkmill.engine.audio.silero import fastest_session, rearranged, silero_session
from talkmill.engine.audio.vad import Probabilities, SpeechDetector, probabilities_of
from talkmill.engine.types import Samples, Span

SPEECH = Path(__file__).parents[3] / "shared" / "speech"
MAX_SPAN = 473_600

Outputs = list[NDArray[np.float32]]


def bundled() -> onnxruntime.InferenceSession:
    return get_vad_model().session


def bundled_file() -> bytes:
    [path] = Path(get_assets_path()).glob("silero_vad*.onnx")
    return path.read_bytes()


def outputs(session: onnxruntime.InferenceSession, windows: NDArray[np.float32]) -> Outputs:
    """Return what three calls in a row give, the state handed on."""
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    found = []
    for part in np.array_split(windows, 3):
        given, hidden, cell = session.run(None, {"input": part, "h": hidden, "c": cell})
        found += [np.ravel(given), hidden, cell]
    return found


@pytest.mark.parametrize("num_windows", [3, 4, 50, 900])
@pytest.mark.parametrize("volume", [0.0, 1e-4, 0.1, 1.0])
def test_answers_are_those_of_the_bundled_model(num_windows: int, volume: float) -> None:
    noise = np.random.default_rng(num_windows).normal(0, volume, (num_windows, 576))
    windows = noise.astype(np.float32)
    expected = outputs(bundled(), windows)
    for found, wanted in zip(outputs(silero_session(), windows), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def judge(samples: Samples, model: Probabilities) -> tuple[NDArray[np.float32], list[Span]]:
    """Return the probability of each window, and the spans."""
    heard: list[NDArray[np.float32]] = []

    def listen(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        heard.append(model(windows))
        return heard[-1]

    detector = SpeechDetector(MAX_SPAN, listen)
    spans = [*detector.feed(samples), *detector.finish()]
    return np.concatenate(heard), spans


def test_speech_is_where_the_bundled_model_finds_it(speech: Samples) -> None:
    probabilities, spans = judge(speech, probabilities_of(silero_session()))
    expected, expected_spans = judge(speech, probabilities_of(bundled()))
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    assert spans == expected_spans
    assert len(spans) > 1


def test_threads_that_share_the_model_do_not_disturb_each_other(speech: Samples) -> None:
    parts = [speech[start:] for start in range(0, 64_000, 8_000)]
    alone = [judge(part, probabilities_of(silero_session())) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda part: judge(part, probabilities_of(silero_session())), parts)
        for (found, spans), (expected, expected_spans) in zip(together, alone, strict=True):
            np.testing.assert_array_equal(found, expected)
            assert spans == expected_spans


def corpus() -> list[Path]:
    manifests = [SPEECH / "untranscribed.tsv", SPEECH / "transcripts.tsv"]
    rows = [row for path in manifests for row in path.read_text(encoding="utf-8").splitlines()[1:]]
    return [SPEECH / row.split("\t", 1)[0] for row in rows]


@pytest.mark.skipif(not SPEECH.is_dir(), reason="../shared/speech is not here")
@pytest.mark.parametrize(
    "step", [pytest.param(20, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
def test_speech_in_a_corpus_is_where_the_bundled_model_finds_it(step: int) -> None:
    different = []
    for path in corpus()[::step]:
        with path.open("rb") as file:
            samples = np.concatenate(list(decode_audio(file, 60, pytest.fail)))
        probabilities, spans = judge(samples, probabilities_of(silero_session()))
        expected, expected_spans = judge(samples, probabilities_of(bundled()))
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)
        if spans != expected_spans:
            different.append(path.name)
    assert different == []


def without_weight(name: str) -> bytes:
    """Return a file that has Silero's weights but for one, and no graph."""
    weights = {key: array for key, array in read_weights(bundled_file()).items() if key != name}
    return write_model([], weights, [], [])


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(without_weight("decoder.conv1d.bias"), id="of another version"),
        pytest.param(without_weight("onnx::LSTM_211"), id="with another LSTM"),
        pytest.param(b"no ONNX model", id="unreadable"),
        pytest.param(bundled_file()[:-1000], id="cut off"),
    ],
)
def test_an_unknown_model_runs_as_it_came(model: bytes, caplog: pytest.LogCaptureFixture) -> None:
    original = bundled()
    with caplog.at_level(logging.WARNING):
        assert fastest_session(model, original) is original
    assert "speech detection is slow" in caplog.text


def test_a_model_with_other_answers_is_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    weights = read_weights(bundled_file())
    weights["decoder.conv1d.bias"] = weights["decoder.conv1d.bias"] + 1
    original = bundled()
    with caplog.at_level(logging.WARNING):
        assert fastest_session(write_model([], weights, [], []), original) is original
    assert "outputs would change" in caplog.text


def test_a_known_model_is_not_run_as_it_came(caplog: pytest.LogCaptureFixture) -> None:
    original = bundled()
    assert fastest_session(bundled_file(), original) is not original
    assert caplog.text == ""


def test_a_written_model_reads_back() -> None:
    weights = {
        "a": np.arange(300, dtype=np.float32).reshape(3, 100),
        "b": np.array([-1.5], np.float32),
    }
    model = write_model([], {**weights, "shape": np.array([-1, 2])}, ["x"], ["y"])
    found = read_weights(model)
    assert list(found) == ["a", "b"]
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_written_graph_runs() -> None:
    graph = [node("Concat", "x bias", "long", axis=0), node("Clip", "long - most", "y")]
    tensors = {"bias": np.array([5, -5], np.float32), "most": np.array(2, np.float32)}
    session = onnxruntime.InferenceSession(
        write_model(graph, tensors, ["x"], ["y"]), providers=["CPUExecutionProvider"]
    )
    [found] = session.run(None, {"x": np.array([1, 3], np.float32)})
    assert found.tolist() == [1, 2, 2, -5]


def test_rearranging_keeps_every_weight_that_counts() -> None:
    # Dropping a tap or a row would show in the answers only where sound excites it.
    found = read_weights(rearranged(bundled_file()))
    for i, taps_used in enumerate(([3, 4, 3], [1, 2, 2], [0, 1, 1], [0, 1, 0])):
        kernel = read_weights(bundled_file())[f"encoder.conv_layers.{i}.weight"]
        per_tap = np.abs(kernel.astype(np.float64)).sum((0, 1))
        expected = float(per_tap @ taps_used)
        assert np.abs(found[f"layer{i}.weight"].astype(np.float64)).sum() == pytest.approx(expected)
