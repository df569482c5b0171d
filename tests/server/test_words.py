"""The words of an answer over every door of a real server, from a fake model.

It says " heard 10": two words of a few tokens, 0.2 s each in the fake alignment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from command_line import run
from fake_words import PROBABILITY
from fakes import tones_file, words
from http_calls import post_json
from served import Send, Serve, Served
from talkmill.proto import transcription_pb2 as pb

TONES = tones_file(10, 20)
TEXTS = [" heard", " 10", " heard", " 20"]
WORDS = pb.RETURN_TIMESTAMPS_WORD

Timed = list[tuple[str, float, float, float]]


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(http_port=0)


def url_of(served: Served, path: str) -> str:
    return f"{served.background.http_address}{path}"


def check(found: Timed) -> None:
    assert [text for text, *_ in found] == TEXTS
    times = [time for _, start_s, end_s, _ in found for time in (start_s, end_s)]
    assert times == sorted(times)
    assert times[0] == 1.0
    assert times[4] == 31.0  # the second chunk's audio ends there
    assert [one[3] for one in found] == pytest.approx([PROBABILITY] * 4)


def test_words_come_with_their_chunks_over_grpc(serve: Serve, send: Send) -> None:
    answer = send(serve(), TONES, return_timestamps=WORDS).answer()

    assert [chunk.text for chunk in answer.chunks] == [" heard 10", " heard 20"]
    assert [len(chunk.words) for chunk in answer.chunks] == [2, 2]
    check(
        [
            (word.word, word.start_s, word.end_s, word.probability)
            for chunk in answer.chunks
            for word in chunk.words
        ]
    )


def test_segments_are_the_same_with_words_and_have_none_without(serve: Serve, send: Send) -> None:
    served = serve()
    segments = send(served, TONES, return_timestamps=pb.RETURN_TIMESTAMPS_SEGMENT).answer().chunks
    with_words = send(served, TONES, return_timestamps=WORDS).answer().chunks

    assert not any(chunk.words for chunk in segments)
    for chunk in with_words:
        del chunk.words[:]
    assert list(segments) == list(with_words)


def test_words_are_the_chunks_of_hugging_faces_answer(served: Served) -> None:
    answer = post_json(url_of(served, "/"), TONES, {"return_timestamps": "word"}).json()

    assert answer["text"] == f"{words(10)} {words(20)}"
    assert all(chunk["timestamps"] == chunk["timestamp"] for chunk in answer["chunks"])
    check([(one["text"], *one["timestamp"], one["probability"]) for one in answer["chunks"]])


@pytest.mark.parametrize(
    ("granularities", "keys"),
    [
        (["word"], {"words"}),
        (["segment"], {"segments"}),
        (["word", "segment"], {"words", "segments"}),
        ([], {"segments"}),
    ],
)
def test_openais_answer_has_the_words_that_it_was_asked_for(
    served: Served, granularities: list[Any], keys: set[str]
) -> None:
    with openai.OpenAI(base_url=url_of(served, "/v1"), api_key="none") as client:
        answer = client.audio.transcriptions.create(
            file=("tones.flac", TONES),
            model="fake",
            response_format="verbose_json",
            timestamp_granularities=granularities,
            extra_body={"vad": "off"},
        )

    assert {"words", "segments"} & answer.to_dict().keys() == keys
    if "words" in keys:
        assert answer.words is not None
        check([(f" {one.word}", one.start, one.end, PROBABILITY) for one in answer.words])


@pytest.mark.parametrize("output", ["json", "vtt", "srt"])
def test_the_command_line_writes_words(serve: Serve, tmp_path: Path, output: str) -> None:
    path = tmp_path / "tones.flac"
    path.write_bytes(TONES)
    limits = ("--max-words-per-line", 1) if output == "srt" else ()
    to_server = ("--server", serve().address, "--vad", "off")

    result = run("transcribe", path, *to_server, "--output", output, "--word-timestamps", *limits)

    assert result.exit_code == 0, result.output
    if output == "json":
        found = json.loads(result.output)["segments"]
        assert [word["text"] for one in found for word in one["words"]] == TEXTS
    elif output == "vtt":
        assert "<00:00:0" in result.output
    else:
        assert result.output.count(" --> ") == len(TEXTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-line-width", 40], "--max-line-width needs --word-timestamps"),
        (["--word-timestamps", "--max-line-count", 2], "--max-line-count needs --max-line-width"),
        (
            ["--word-timestamps", "--max-line-width", 40, "--max-words-per-line", 2],
            "--max-words-per-line has no effect with --max-line-width",
        ),
        (["--word-timestamps", "--no-timestamps"], "--word-timestamps needs timestamps"),
        (["--word-timestamps", "--output", "txt"], "no effect on --output txt"),
        (
            ["--word-timestamps", "--output", "json", "--max-line-width", 40],
            "--max-line-width has no effect on --output json",
        ),
    ],
)
def test_options_of_subtitles_without_effect_are_refused(
    tmp_path: Path, arguments: list[object], message: str
) -> None:
    path = tmp_path / "tones.flac"
    path.write_bytes(TONES)

    result = run("transcribe", path, "--output", "srt", *arguments)

    assert result.exit_code == 2
    assert message in result.output
