"""That the benchmarks count right; how long anything takes is not tested."""

from __future__ import annotations

import itertools
import math
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from benchmarks import workloads
from benchmarks.baselines.protocol import Options
from benchmarks.ceiling import Topology, multiplications, summary
from benchmarks.comparison import DEMO, PEERS, Entry, Machine, get_model, run_rounds, talkmill
from benchmarks.corpus import read
from benchmarks.ggml import convert
from benchmarks.load import Answer, Load, run_load
from benchmarks.metrics import figures, percentile
from benchmarks.peers import Peer, PeerFailed, Result, running
from benchmarks.random_weights import Shape
from benchmarks.serving import share
from benchmarks.shapes import SHAPES, build_model
from benchmarks.workloads import Clip
from talkmill.engine import (
    Engine,
    EngineConfig,
    GenerationParameters,
    TranscribeOptions,
    VadMode,
)
from talkmill.engine.model.files import find_model
from talkmill.engine.model.weights import dense, read_weights

NUM_TOKENS = 5
SMALL = Shape(64, 2, 2)


@pytest.fixture
def same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers run with the packages of the tests: nothing is downloaded."""
    monkeypatch.setenv("BENCHMARKS_SAME_ENVIRONMENT", "1")


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("model") / "small", SMALL, num_tokens=NUM_TOKENS)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    clips = workloads.commands(tmp_path, None, num_clips=3)
    workloads.write_manifest(tmp_path / "clips.json", clips)
    return clips


def test_random_weights_say_as_many_words_as_they_were_built_for(
    small_model: Path, speech_file: bytes
) -> None:
    with Engine(EngineConfig(model=str(small_model))) as engine:
        once = GenerationParameters(temperature=0.0)  # they fail the gates
        options = TranscribeOptions(language="en", vad=VadMode.OFF, parameters=once)
        text = engine.transcribe(speech_file, options).text

    assert len(text.split()) == NUM_TOKENS
    assert all(word.startswith("w") and word[1:].isdigit() for word in text.split())


def test_a_declared_window_is_what_the_engine_takes(tmp_path: Path, speech_file: bytes) -> None:
    build_model(tmp_path, SMALL, num_tokens=NUM_TOKENS, windows_s=(5.0,))

    with Engine(EngineConfig(model=str(tmp_path))) as engine:
        text = engine.transcribe(speech_file, TranscribeOptions(language="en")).text

    # 11 s of speech take three windows, each with an answer of its own.
    assert len(text.split()) >= 3 * NUM_TOKENS


def test_large_shapes_have_the_places_of_large_v3() -> None:
    assert SHAPES["large-v3"].num_tokens == 51_866
    assert SHAPES["tiny"].num_tokens == 51_865


@pytest.mark.parametrize("kind", ["closed", "once"])
def test_a_load_has_no_more_requests_at_once_than_clients(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()  # a clock that goes on when it is read
    monkeypatch.setattr("benchmarks.load.time.perf_counter", lambda: next(ticks) / 100)
    running_now, most, num_asked = 0, 0, 0
    lock = threading.Lock()
    meet = threading.Barrier(3)

    def ask(clip: int) -> str:
        nonlocal running_now, most, num_asked
        with lock:
            running_now += 1
            most = max(most, running_now)
            is_first = num_asked < 3
            num_asked += 1
        if is_first:
            meet.wait(10)
        with lock:
            running_now -= 1
        return str(clip)

    load = Load(kind, num_clients=3, duration_s=1.0)
    _, answers = run_load(load, ask, 6)

    assert most == 3
    assert all(answer.text == str(answer.clip) for answer in answers)
    if kind == "once":
        assert sorted(answer.clip for answer in answers) == list(range(6))


def test_an_open_loop_does_not_wait_for_answers_and_counts_from_when_a_request_was_due() -> None:
    all_are_there = threading.Barrier(4)

    def ask(clip: int) -> str:
        all_are_there.wait(10)  # passes only if four are sent before one is answered
        return ""

    wall_s, answers = run_load(Load("open", rate_per_s=100, duration_s=0.04), ask, 2)

    assert [answer.clip for answer in answers] == [0, 1, 0, 1]
    # None ends before the last is sent, which is due 0.03 s after the first.
    for number, answer in enumerate(answers):
        assert (3 - number) / 100 <= answer.latency_s <= wall_s


def test_a_request_that_fails_is_counted_and_has_no_latency() -> None:
    def ask(clip: int) -> str:
        if clip == 1:
            raise ValueError("no")
        return "one two"

    wall_s, answers = run_load(Load("once"), ask, 2)
    result = figures([Result(wall_s, 1.0, answers)], [Clip("", 2.0, "one three"), Clip("", 9.0)])

    assert (result.num_requests, result.num_errors) == (1, 1)
    assert result.rtfx_cpu == pytest.approx(2.0)
    assert result.wer == pytest.approx(0.5)


def test_speed_is_audio_over_time_and_tokens_are_words_of_random_models() -> None:
    answers = [Answer(0, 1.0, "w300 w301"), Answer(1, 3.0, "w300 w300 w999 w256")]
    result = figures([Result(2.0, 4.0, answers)], [Clip("", 3.0), Clip("", 5.0)])

    assert (result.rtfx, result.rtfx_cpu) == (4.0, 2.0)
    assert (result.tokens_per_clip, result.wer) == (3.0, None)
    assert (result.p50_s, result.p95_s) == (1.0, 3.0)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (100, 100), (1, 1)])
def test_percentiles_are_values_that_occurred(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_processes_share_a_load_and_lose_none_of_it() -> None:
    closed = share(Load("closed", num_clients=5, duration_s=1), 3)
    few = share(Load("closed", num_clients=1, duration_s=1), 3)
    steady = share(Load("open", rate_per_s=6, duration_s=1), 3)

    assert sum(part.num_clients for part in closed) == 5
    assert [part.num_clients for part in few] == [1]
    assert sum(part.rate_per_s for part in steady) == pytest.approx(6)
    due = sorted(part.delay_s + i / part.rate_per_s for part in steady for i in range(2))
    assert np.diff(due) == pytest.approx(1 / 6)


def test_the_meeting_is_as_long_as_asked_and_commands_within_their_lengths(tmp_path: Path) -> None:
    meeting = workloads.meeting(tmp_path, None, 20)[0]
    commands = workloads.commands(tmp_path, None, num_clips=8)

    assert len(read(Path(meeting.path))) == 20 * 16_000
    low, high = workloads.COMMAND_S
    assert all(low <= clip.duration_s <= high for clip in commands)
    assert len({clip.duration_s for clip in commands}) > 4


@pytest.mark.usefixtures("same_environment")
def test_engines_in_processes_answer_each_clip_with_equal_numbers_of_tokens(
    small_model: Path, clips: list[Clip], tmp_path: Path
) -> None:
    machine = Machine(threads=2)
    batched = Entry(PEERS["faster-whisper-batched"](machine, small_model, False), Options())
    entries = [
        Entry(PEERS["faster-whisper"](machine, small_model, False), Options()),
        batched,
        Entry(talkmill(machine, small_model), Options(vad=False)),
        Entry(Peer("engine", "engine", machine.setup(small_model)), Options(vad=False)),
    ]
    with running([entry.peer for entry in entries]) as (started, failed):
        assert len(started) == len(entries), failed
        run_rounds(entries, tmp_path / "clips.json", Load("once", num_clients=2), 1, "test")

    for entry in entries:
        assert not entry.reason
        result = entry.results[0]
        assert sorted(answer.clip for answer in result.answers) == [0, 1, 2]
        assert not result.errors
        assert figures(entry.results, clips).tokens_per_clip == NUM_TOKENS
        assert result.cpu_s > 0
        assert entry.peer.versions["ctranslate2"]


@pytest.mark.usefixtures("same_environment")
def test_a_peer_that_cannot_run_is_left_out_with_the_reason(
    tmp_path: Path, small_model: Path
) -> None:
    broken = Peer("broken", "faster_whisper", Machine().setup(tmp_path / "nothing"))

    with running([broken]) as (started, failed):
        assert started == []

    assert "code 1" in failed["broken"]
    with pytest.raises(PeerFailed):
        Peer("again", "faster_whisper", Machine().setup(tmp_path / "nothing")).start()


def test_the_demo_model_hears_its_sample_in_the_clips_that_stand_in_for_digits(
    tmp_path: Path,
) -> None:
    clips = workloads.digits(tmp_path, None)
    folder = get_model(DEMO, tmp_path, 0)

    with Engine(EngineConfig(model=str(folder))) as engine:
        text = engine.transcribe(Path(clips[0].path).read_bytes()).text
    answer = Answer(0, 1.0, text)

    assert figures([Result(1.0, 1.0, [answer])], clips).wer == 0.0


def test_the_multiplications_of_a_chunk_are_those_of_its_layers() -> None:
    shape = SHAPES["tiny"]
    one = multiplications(shape, 30, 1)
    two = multiplications(shape, 30, 2)

    # A step reads each weight once, and the cross-attention's keys and values.
    step = 4 * (14 * 384**2 + 2 * 384 * 1500) + 384 * shape.num_tokens
    assert two - one == pytest.approx(step, rel=1e-3)
    # Attention grows with the square of the window: six windows of 5 s cost less than one of 30.
    assert 6 * multiplications(shape, 5, 0) < one


def test_the_ceiling_is_the_best_topology_and_the_cpu_stage_together() -> None:
    alone_s = {Topology.parse("2x1x8"): 8.0, Topology(1, 2, 8): 9.0}

    shares = summary(alone_s, wall_s=10.0, stage_s=1.0, limit_s=4.0, audio_s=100.0)["shares"]

    assert shares["through gRPC, of model + CPU stage (bar 90)"] == pytest.approx(0.9)
    assert shares["model only, of the float32 peak"] == pytest.approx(0.5)
    assert not any(math.isnan(value) for value in shares.values())


def test_what_whisper_cpp_gets_are_the_same_weights_in_its_8_bit_blocks(
    tmp_path: Path, small_model: Path
) -> None:
    data = convert(small_model, tmp_path / "ggml.bin").read_bytes()

    magic, num_tokens, *sizes, kind = struct.unpack_from("<12I", data)
    assert (magic, num_tokens, kind) == (0x67676D6C, SMALL.num_tokens, 2007)
    assert sizes == [1500, 64, 2, 2, 448, 64, 2, 2, 80]
    name = b"decoder.blocks.1.mlp.0.weight"
    start = data.index(name) + len(name)
    blocks = np.frombuffer(data, [("scale", "<f2"), ("numbers", "i1", 32)], 256 * 64 // 32, start)
    stored = (blocks["scale"][:, None].astype(np.float32) * blocks["numbers"]).reshape(256, 64)
    own = dense(read_weights(small_model / "model.bin"), "decoder/layer_1/ffn/linear_0")
    assert np.abs(stored - own).max() < np.abs(own).max() / 127


def test_the_demo_models_tokens_get_whispers_places(tmp_path: Path) -> None:
    data = convert(find_model(DEMO).folder, tmp_path / "ggml.bin").read_bytes()

    assert struct.unpack_from("<I", data, 4) == (51_865,)
