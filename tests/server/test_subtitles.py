"""Subtitles of words, read back by a library as a player would."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
import webvtt

from talkmill.engine import Segment, Timings, Transcript, Word
from talkmill.server.formats import to_srt, to_vtt
from talkmill.server.subtitles import Layout


def spoken(text: str, start_s: float, word_s: float = 0.5) -> Segment:
    """Return a segment whose words follow each other, each as long."""
    words = tuple(
        Word(f" {word}", start_s + i * word_s, start_s + (i + 1) * word_s, 0.9)
        for i, word in enumerate(text.split())
    )
    return Segment(f" {text}", start_s - 0.25, start_s + 9, words=words)


def said(*segments: Segment) -> Transcript:
    text = "".join(segment.text for segment in segments).strip()
    return Transcript(text, segments, "en", 1.0, 60.0, 60.0, Timings())


TWO = said(spoken("one two three four five", 1.0), spoken("six seven", 4.0))
LATE = said(*TWO.segments, spoken("eight nine", 8.0))


def read(text: str, kind: str) -> list[tuple[str, str, str]]:
    """Return start, end and text of each cue."""
    parse = (
        webvtt.from_string
        if kind == "vtt"
        else lambda it: webvtt.from_buffer(io.StringIO(it), format="srt")
    )
    return [(cue.start, cue.end, cue.text) for cue in parse(text).captions]


def texts(transcript: Transcript, layout: Layout, kind: str) -> list[str]:
    write = to_vtt if kind == "vtt" else to_srt
    return [text for _, _, text in read(write(transcript, layout), kind)]


@pytest.mark.parametrize("kind", ["srt", "vtt"])
@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        pytest.param(Layout(), ["one two three four five", "six seven", "eight nine"], id="plain"),
        pytest.param(
            Layout(max_words_per_line=2),
            ["one two", "three four", "five", "six seven", "eight nine"],
            id="words",
        ),
        pytest.param(
            Layout(max_line_width=13),
            ["one two three\nfour five", "six seven", "eight nine"],
            id="width: a cue for each segment",
        ),
        pytest.param(
            Layout(max_line_width=13, max_line_count=1),
            ["one two three", "four five six", "seven", "eight nine"],
            id="width and count: cues are filled up to a pause",
        ),
        pytest.param(
            Layout(max_line_width=3, max_line_count=2),
            ["one\ntwo", "three\nfour", "five\nsix", "seven", "eight\nnine"],
            id="a word that is too long is a line",
        ),
    ],
)
def test_words_are_laid_out(layout: Layout, expected: list[str], kind: str) -> None:
    assert texts(LATE, layout, kind) == expected


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_a_cue_lasts_from_its_first_word_to_its_last(kind: str) -> None:
    write = to_vtt if kind == "vtt" else to_srt
    mark = "." if kind == "vtt" else ","
    found = read(write(TWO, Layout()), kind)

    assert [(start.replace(mark, "."), end.replace(mark, ".")) for start, end, _ in found] == [
        ("00:00:01.000", "00:00:03.500"),
        ("00:00:04.000", "00:00:05.000"),
    ]


def test_vtt_marks_when_each_word_after_the_first_begins() -> None:
    assert to_vtt(said(spoken("a <b> c", 1.0))) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\na <00:00:01.500>&lt;b&gt; <00:00:02.000>c\n\n"
    )


def test_vtt_has_no_time_inside_a_cue_that_is_not_after_the_one_before() -> None:
    words = tuple(Word(f" {text}", 1.0, 1.0, 0.9) for text in "abc")
    at_once = said(replace(spoken("a b c", 1.0), words=words))

    assert to_vtt(at_once) == "WEBVTT\n\n00:00:01.000 --> 00:00:01.001\na b c\n\n"
    assert len(read(to_vtt(at_once, Layout(max_words_per_line=1)), "vtt")) == 3


@pytest.mark.parametrize(("kind", "form"), [("srt", "Channel {}: {}"), ("vtt", "<v Channel {}>{}")])
def test_a_cue_has_the_words_of_one_channel(kind: str, form: str) -> None:
    transcript = said(
        replace(spoken("one two", 1.0), channel=0),
        replace(spoken("three", 2.0), channel=0),
        replace(spoken("four five", 2.0), channel=1),
    )
    layout = Layout(max_line_width=60, max_line_count=1)
    written = (to_vtt if kind == "vtt" else to_srt)(transcript, layout)
    lines = [re.sub(r"<[\d:.]+>", "", line) for line in written.splitlines()]

    for expected in (form.format(0, "one two three"), form.format(1, "four five")):
        assert lines.count(expected) == 1
