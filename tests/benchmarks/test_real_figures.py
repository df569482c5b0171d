"""That the rows of `benchmarks.real` are right, and what engines and loads give it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from benchmarks.baselines.faster_whisper.run import FasterWhisper
from benchmarks.baselines.protocol import Options, Setup, decode_segments, encode_segments
from benchmarks.baselines.talkmill.run import Talkmill
from benchmarks.comparison import Machine
from benchmarks.load import Answer, Load, run_load
from benchmarks.peers import Result
from benchmarks.real import ENGINES, make_entries, make_peers
from benchmarks.real_figures import describe, describe_mixed, medians, show, show_mixed
from benchmarks.real_speech import SpokenFile, Utterance
from fakes import DEMO_FOLDER
from talkmill.server import BackgroundServer, ServerConfig

FILES = [
    SpokenFile(Path("a"), 12.0, (Utterance("good morning", 0.5), Utterance("how are you", 5.0))),
    SpokenFile(Path("b"), 8.0, (Utterance("fine thanks to everybody here", 1.0),)),
]
HEARD = [(0.75, " Good morning."), (7.0, " How are you?")]
GIVEN = {
    "engines": ENGINES,
    "talkmill": ("", "--encoder openvino"),
    "timestamps": True,
}


@pytest.fixture
def rounds() -> list[Result]:
    """Two rounds: one with an answer to each file, one in which the second failed."""
    first = Answer(0, 1.0, encode_segments(HEARD))
    second = Answer(1, 1.0, encode_segments([(1.0, "fine thanks to everybody near")]))
    failed = Answer(1, 1.0, error="RuntimeError: no")
    return [Result(4.0, 6.0, [second, first]), Result(5.0, 8.0, [first, failed])]


def test_each_round_has_its_own_figures(rounds: list[Result]) -> None:
    good, bad = describe(rounds, FILES, are_segments=True)

    assert good["wer"] == pytest.approx(0.1)
    assert [good[name] for name in ("words", "substitutions", "deletions", "lost")] == [10, 1, 0, 0]
    assert [good[name] for name in ("cpu_s", "wall_s", "rtfx", "failed")] == [6.0, 4.0, 5.0, 0]
    assert [good[name] for name in ("utterances", "starts", "starts_off")] == [3, 3, 1]
    assert [good[name] for name in ("start_p50_s", "start_p95_s")] == [0.25, 2.0]
    assert [bad[name] for name in ("deletions", "lost", "failed", "starts")] == [5, 5, 1, 2]


def test_an_answer_without_times_is_compared_by_its_words_only() -> None:
    answers = [Answer(0, 1.0, "Good morning, how are you?"), Answer(1, 1.0, "fine")]

    (figures,) = describe([Result(1.0, 1.0, answers)], FILES, are_segments=False)

    assert (figures["deletions"], figures["lost"]) == (4, 4)
    assert "starts" not in figures


def test_the_table_has_medians_reasons_and_failures(
    rounds: list[Result], capsys: pytest.CaptureFixture[str]
) -> None:
    described = describe(rounds, FILES, are_segments=True)

    assert medians(described)["cpu_s"] == 7.0
    show("title", {"one": described, "other": "it ended with code 1"})
    table = capsys.readouterr().out
    assert "30.00" in table  # the median of WERs of 10 % and 50 %
    assert "2.5/3" in table  # starts
    assert "other: it ended with code 1" in table
    assert "one: 0.5 requests failed" in table


def test_mixed_is_the_ratio_of_the_95th_percentiles(capsys: pytest.CaptureFixture[str]) -> None:
    alone = Result(1.0, 1.0, [Answer(0, latency_s) for latency_s in (0.5, 0.25)])
    beside = Result(1.0, 1.0, [Answer(0, 1.0), Answer(1, 2.0), Answer(1, 9.0, error="no")])

    figures = describe_mixed(0.7, alone, beside)
    show_mixed("title", {"one": figures, "other": "it ended"})

    assert figures["p95_ratio"] == 4.0
    assert (figures["requests"], figures["failed"], figures["rate_per_s"]) == (2, 1, 0.7)
    assert "other: it ended" in capsys.readouterr().out


def test_all_engines_do_the_same_work_but_for_what_their_names_say(tmp_path: Path) -> None:
    entries = make_entries(make_peers(Machine(2), tmp_path, GIVEN), "joined", False, GIVEN)

    assert list(entries) == [
        "faster-whisper greedy",
        "faster-whisper default",
        "faster-whisper batched",
        "talkmill",
        "talkmill, greedy",
        "talkmill --encoder openvino",
        "talkmill --encoder openvino, greedy",
    ]
    assert {one.options.timestamps and one.options.vad for one in entries.values()} == {True}
    with_beams = {name for name, one in entries.items() if one.options.search == "default"}
    assert with_beams == {n for n in entries if "greedy" not in n and "batched" not in n}
    assert entries["faster-whisper greedy"].peer is entries["faster-whisper default"].peer
    assert entries["talkmill --encoder openvino"].peer.setup.options == {
        "arguments": ["--encoder", "openvino"]
    }


def test_faster_whisper_has_one_worker_with_all_threads_for_one_file_and_one_each_for_many(
    tmp_path: Path,
) -> None:
    peers = make_peers(Machine(2), tmp_path, GIVEN)
    one = make_entries(peers, "lj5", True, GIVEN)
    many = make_entries(peers, "pauses", False, GIVEN)

    name = "faster-whisper greedy"
    assert one[name].peer.setup.options == {"num_workers": 1}
    assert many[name].peer.setup.options == {"num_workers": 2}
    assert len({peer.name for peer in peers.values()}) == len(peers)


def test_speech_detection_is_faster_whispers_own_choice_for_clips(tmp_path: Path) -> None:
    entries = make_entries(make_peers(Machine(2), tmp_path, GIVEN), "short", False, GIVEN)

    assert {name: one.options.vad for name, one in entries.items() if "--" not in name} == {
        "faster-whisper greedy": None,
        "faster-whisper default": None,
        "faster-whisper batched": None,
        "talkmill": True,
        "talkmill, greedy": True,
    }
    assert not any(one.options.segments for one in entries.values())


def test_the_background_is_sent_again_until_the_load_is_answered_and_is_not_counted() -> None:
    sent_twice = threading.Event()
    background: list[int] = []

    def ask(clip: int) -> str:
        if clip >= 2:
            background.append(clip)
            if background.count(2) == 2:
                sent_twice.set()
        else:
            assert sent_twice.wait(10)
        return str(clip)

    _, answers = run_load(Load("once", num_clients=2, num_background=2), ask, 4)

    assert sorted(answer.clip for answer in answers) == [0, 1]
    assert background[:3] == [2, 3, 2]


def test_a_failure_of_the_background_is_not_hidden() -> None:
    def ask(clip: int) -> str:
        if clip == 1:
            raise ValueError("the long file is damaged")
        return ""

    with pytest.raises(ValueError, match="damaged"):
        run_load(Load("open", rate_per_s=1, duration_s=1, num_background=1), ask, 2)


def test_segments_survive_the_protocol() -> None:
    assert decode_segments(encode_segments(HEARD)) == HEARD
    assert json.loads(encode_segments([])) == []


@pytest.mark.parametrize("batch_size", [0, 2])
@pytest.mark.parametrize("search", ["bare", "greedy", "default"])
def test_faster_whisper_answers_with_timed_segments(search: str, batch_size: int) -> None:
    engine = FasterWhisper(Setup(str(DEMO_FOLDER), 1, "int8", "cpu", {"num_workers": 1}))
    options = Options(timestamps=True, search=search, segments=True, batch_size=batch_size)

    segments = decode_segments(engine.transcribe(str(DEMO_FOLDER / "sample.flac"), options))

    assert segments
    assert all(text.strip() for _, text in segments)
    assert [start_s for start_s, _ in segments] == sorted(start_s for start_s, _ in segments)


def test_talkmill_answers_with_timed_segments() -> None:
    with BackgroundServer(ServerConfig(port=0)) as server:
        engine = Talkmill(Setup("demo", 1, "int8", "cpu", {"address": server.address}))
        answer = engine.transcribe(
            str(DEMO_FOLDER / "sample.flac"), Options(timestamps=True, segments=True)
        )

    spoken = (DEMO_FOLDER / "sample.txt").read_text("utf-8").split()
    assert " ".join(text for _, text in decode_segments(answer)).split() == spoken
