from __future__ import annotations

import dataclasses
import json

import pytest

from talkmill.engine import EncoderWindow, Segment, Timings, Transcript
from talkmill.server.formats import FORMATS, to_json, to_srt, to_text, to_tsv, to_vtt


def said(*segments: Segment, duration_s: float = 10.0) -> Transcript:
    text = "".join(segment.text for segment in segments).strip()
    return Transcript(text, segments, "en", 1.0, duration_s, duration_s, Timings())


TWO = said(Segment(" Hello there.", 0.0, 1.25), Segment(" Bye.", 3.5, 4.0))


DIALOGUE = said(
    Segment(" Hello & hi?", 0.0, None, channel=0),
    Segment(" Yes.", 0.5, 1.0, channel=1),
    Segment(" Bye.", 2.0, None, channel=0),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("txt", "Channel 0: Hello & hi?\nChannel 1: Yes.\nChannel 0: Bye.\n"),
        (
            "srt",
            "1\n00:00:00,000 --> 00:00:02,000\nChannel 0: Hello & hi?\n\n"
            "2\n00:00:00,500 --> 00:00:01,000\nChannel 1: Yes.\n\n"
            "3\n00:00:02,000 --> 00:00:10,000\nChannel 0: Bye.\n\n",
        ),
        (
            "vtt",
            "WEBVTT\n\n"
            "00:00:00.000 --> 00:00:02.000\n<v Channel 0>Hello &amp; hi?\n\n"
            "00:00:00.500 --> 00:00:01.000\n<v Channel 1>Yes.\n\n"
            "00:00:02.000 --> 00:00:10.000\n<v Channel 0>Bye.\n\n",
        ),
        (
            "tsv",
            "start\tend\ttext\tchannel\n"
            "0\t2000\tHello & hi?\t0\n500\t1000\tYes.\t1\n2000\t10000\tBye.\t0\n",
        ),
    ],
)
def test_lines_of_split_channels_say_which_and_an_open_end_lasts_to_what_follows_in_it(
    name: str, text: str
) -> None:
    assert FORMATS[name](DIALOGUE) == text


def test_json_has_the_channel_of_each_segment() -> None:
    segments = json.loads(to_json(DIALOGUE))["segments"]

    assert [segment["channel"] for segment in segments] == [0, 1, 0]


def test_text_is_the_words_and_a_line_end() -> None:
    assert to_text(TWO) == "Hello there. Bye.\n"


def test_srt_numbers_its_cues_and_marks_decimals_with_a_comma() -> None:
    assert to_srt(TWO) == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n"
        "2\n00:00:03,500 --> 00:00:04,000\nBye.\n\n"
    )


def test_vtt_has_a_header_and_marks_decimals_with_a_point() -> None:
    assert to_vtt(TWO) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.250\nHello there.\n\n"
        "00:00:03.500 --> 00:00:04.000\nBye.\n\n"
    )


def test_tsv_has_a_header_and_whole_milliseconds() -> None:
    assert to_tsv(TWO) == "start\tend\ttext\n0\t1250\tHello there.\n3500\t4000\tBye.\n"


def test_json_is_one_line_with_everything_that_is_known() -> None:
    transcript = dataclasses.replace(
        TWO, warnings=("damaged",), coverage=0.5, encoder_window=EncoderWindow.FITTED
    )
    text = to_json(transcript)

    assert text.count("\n") == 1
    assert text.endswith("\n")
    fields = {**dataclasses.asdict(transcript), "encoder_window": "fitted"}
    assert json.loads(text) == json.loads(json.dumps(fields))


def test_json_keeps_letters_as_they_are_and_an_open_end_as_null() -> None:
    text = to_json(said(Segment(" grün 漢字", 0.0, None)))

    assert "grün 漢字" in text
    assert json.loads(text)["segments"][0]["end_s"] is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("txt", "\n"),
        ("srt", ""),
        ("vtt", "WEBVTT\n\n"),
        ("tsv", "start\tend\ttext\n"),
    ],
)
def test_silence_gives_a_valid_file_without_cues(name: str, text: str) -> None:
    assert FORMATS[name](said()) == text


def test_an_open_end_lasts_to_what_follows() -> None:
    open_ends = said(Segment(" one", 1.0, None), Segment(" two", 2.5, None), duration_s=4.0)

    assert to_tsv(open_ends).splitlines()[1:] == ["1000\t2500\tone", "2500\t4000\ttwo"]


@pytest.mark.parametrize(
    ("time_s", "clock"),
    [
        pytest.param(59.9994, "00:00:59,999", id="rounded down"),
        pytest.param(59.9996, "00:01:00,000", id="rounded up into the minute"),
        pytest.param(3599.9996, "01:00:00,000", id="rounded up into the hour"),
        pytest.param(3661.007, "01:01:01,007", id="hours"),
        pytest.param(360_000.0, "100:00:00,000", id="a hundred hours"),
    ],
)
def test_clock_shows_hours_and_carries(time_s: float, clock: str) -> None:
    assert f"--> {clock}\n" in to_srt(said(Segment(" late", 0.0, time_s), duration_s=time_s))


def test_vtt_escapes_what_it_would_read_as_markup() -> None:
    cue = to_vtt(said(Segment(" a < b && b > c --> d", 0.0, 1.0))).splitlines()[3]

    assert cue == "a &lt; b &amp;&amp; b &gt; c --&gt; d"


@pytest.mark.parametrize("name", ["srt", "vtt", "tsv"])
def test_a_cue_is_one_line_whatever_the_model_wrote(name: str) -> None:
    text = FORMATS[name](said(Segment(" one\n\ntwo\tthree", 0.0, 1.0)))

    assert "one two three\n" in text
