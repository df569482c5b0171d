"""OpenAI's realtime API for transcription, over WebSocket, on the demo model."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from openai import OpenAI
from websockets.sync.client import connect

from audio_files import decode_file
from fakes import DEMO_FOLDER
from realtime_line import ITEM, MANUAL, Line, address_of, at_8_khz, at_24_khz
from talkmill.engine import Encoding
from talkmill.engine.types import Samples
from talkmill.server import BackgroundServer


@pytest.fixture(scope="module")
def sound() -> Samples:
    return decode_file(DEMO_FOLDER / "sample.flac")


@pytest.fixture
def line(demo: BackgroundServer) -> Iterator[Line]:
    with connect(address_of(demo), proxy=None) as connection:
        yield Line(connection)


def test_words_come_as_openai_tells_them(line: Line, sound: Samples, sample_text: str) -> None:
    assert line.next()["session"]["type"] == "transcription"
    line.append(at_24_khz(np.concatenate([sound, np.zeros(16_000, np.float32)])))
    texts: list[str] = []
    while " ".join(texts) != sample_text:
        texts.append(line.until(ITEM + "completed")["transcript"])
        assert len(texts) < 20, texts
    kinds = [event["type"] for event in line.events]
    started = kinds.index("input_audio_buffer.speech_started")
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
    ]
    item = line.events[started]["item_id"]
    of_item = [one["type"] for one in line.events if one.get("item_id") == item]
    assert [kind for kind in of_item if kind in order] == order
    assert of_item[-1] == ITEM + "completed"
    assert len({event["event_id"] for event in line.events}) == len(line.events)


def test_deltas_add_up_to_what_is_completed(line: Line, sound: Samples) -> None:
    line.append(at_24_khz(sound), size=4_800)
    line.until(ITEM + "completed", 2)
    num_whole = 0
    for event in line.events:
        if event["type"] == ITEM + "completed":
            item = event["item_id"]
            deltas = [
                one["delta"]
                for one in line.events
                if one["type"] == ITEM + "delta" and one["item_id"] == item
            ]
            told = "".join(deltas)
            # The final pass may have other words than the text that was told before it.
            assert told == event["transcript"] or not event["transcript"].startswith(told)
            num_whole += told == event["transcript"]
    assert num_whole


def test_the_client_commits_where_nobody_detects_turns(line: Line, sound: Samples) -> None:
    line.send("session.update", session=MANUAL)
    assert line.until("session.updated")["session"]["audio"]["input"]["turn_detection"] is None
    line.append(at_24_khz(sound[: 16_000 * 2]))
    line.send("input_audio_buffer.commit")
    committed = line.until("input_audio_buffer.committed")
    completed = line.until(ITEM + "completed")
    assert completed["item_id"] == committed["item_id"]
    assert completed["transcript"]
    assert completed["usage"]["type"] == "duration"
    kinds = {event["type"] for event in line.events}
    assert "input_audio_buffer.speech_started" not in kinds


def test_a_commit_is_one_item_however_long_it_is(line: Line, sound: Samples) -> None:
    line.send("session.update", session=MANUAL)
    line.append(at_24_khz(sound))  # the longest utterance of the demo model has 5 s
    line.send("input_audio_buffer.commit")
    completed = line.until(ITEM + "completed")
    line.append(bytes(4_800))
    line.send("input_audio_buffer.commit")
    line.until(ITEM + "completed")
    committed = [one for one in line.events if one["type"] == "input_audio_buffer.committed"]
    assert len(committed) == 2
    assert completed["item_id"] == committed[0]["item_id"]
    assert len(completed["transcript"].split()) > 20
    assert completed["usage"]["seconds"] > 6


def test_silence_that_is_committed_has_an_empty_transcript(line: Line) -> None:
    line.send("session.update", session=MANUAL)
    line.append(bytes(48_000))
    line.send("input_audio_buffer.commit")
    assert line.until(ITEM + "completed")["transcript"] == ""


def test_cleared_audio_is_forgotten(line: Line, sound: Samples) -> None:
    line.send("session.update", session=MANUAL)
    line.append(at_24_khz(sound[: 16_000 * 2]))
    line.send("input_audio_buffer.clear")
    line.until("input_audio_buffer.cleared")
    line.send("input_audio_buffer.commit", event_id="mine")
    error = line.until("error")["error"]
    assert error["event_id"] == "mine"
    assert "nothing was appended" in error["message"]


@pytest.mark.parametrize(
    ("name", "encoding"), [("g711_ulaw", Encoding.MULAW), ("g711_alaw", Encoding.ALAW)]
)
def test_telephone_audio_is_heard_in_the_older_shape_of_the_session(
    line: Line, sound: Samples, name: str, encoding: Encoding
) -> None:
    session = {"input_audio_format": name, "turn_detection": None}
    line.send("transcription_session.update", session=session)
    line.until("transcription_session.updated")
    line.append(at_8_khz(sound[: 16_000 * 2], encoding))
    line.send("input_audio_buffer.commit")
    completed = line.until(ITEM + "completed")
    assert completed["transcript"]
    assert completed["usage"]["seconds"] == pytest.approx(1.8, abs=0.5)


def test_log_probabilities_come_where_they_are_included(line: Line, sound: Samples) -> None:
    line.send("session.update", session={**MANUAL, "include": [ITEM[13:-1] + ".logprobs"]})
    line.append(at_24_khz(sound[: 16_000 * 2]))
    line.send("input_audio_buffer.commit")
    completed = line.until(ITEM + "completed")
    tokens = "".join(one["token"] for one in completed["logprobs"])
    assert tokens.strip() == completed["transcript"]


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("no json", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"type": "response.create"}', "response.create"),
        ('{"type": []}', "type []"),
        ('{"type": "x", "event_id": "\\ud800"}', "half of a character"),
        ('{"type": "session.update", "session": {"type": "realtime"}}', "session.type"),
        ('{"type": "session.update", "session": {"model": "x"}}', "session.model"),
        (
            '{"type": "session.update", "session": {"turn_detection": {"type": "semantic_vad"}}}',
            "semantic_vad",
        ),
        ('{"type": "session.update", "session": {"input_audio_format": "mp3"}}', "mp3"),
        (
            '{"type": "session.update", "session": {"turn_detection": {"threshold": 2}}}',
            "threshold",
        ),
        (
            '{"type":"session.update","session":{"input_audio_transcription":{"language":"xx"}}}',
            "xx",
        ),
        (
            '{"type":"session.update","session":{"input_audio_transcription":{"model":"nobody"}}}',
            "nobody",
        ),
        ('{"type": "input_audio_buffer.append", "audio": "%"}', "base64"),
        ('{"type": "input_audio_buffer.append"}', "not text"),
        ('{"type": "input_audio_buffer.commit"}', "nothing was appended"),
    ],
)
def test_what_cannot_be_honoured_is_an_error_and_the_session_goes_on(
    demo: BackgroundServer, message: str, part: str
) -> None:
    with connect(address_of(demo), proxy=None) as connection:
        line = Line(connection)
        connection.send(message)
        error = line.until("error")["error"]
        assert part in error["message"]
        assert error["type"] == "invalid_request_error"
        line.send("session.update", session=MANUAL)
        line.until("session.updated")


def test_what_has_no_effect_comes_back_in_warnings(line: Line) -> None:
    turns = {"type": "server_vad", "create_response": True}
    noise = {"type": "near_field"}
    audio = {"input": {"turn_detection": turns, "noise_reduction": noise}}
    line.send("session.update", session={"type": "transcription", "audio": audio})
    warnings = line.until("session.updated")["warnings"]
    assert ["noise_reduction" in warnings[1], "create_response" in warnings[0]] == [True, True]


def test_what_is_not_about_the_audio_may_change_between_utterances(
    line: Line, sound: Samples
) -> None:
    line.send("session.update", session=MANUAL)
    line.append(at_24_khz(sound[: 16_000 * 2]))
    line.send("input_audio_buffer.commit")
    assert "logprobs" not in line.until(ITEM + "completed")
    line.send("session.update", session={"include": [ITEM[13:-1] + ".logprobs"]})
    line.until("session.updated")
    line.append(at_24_khz(sound[: 16_000 * 2]))
    line.send("input_audio_buffer.commit")
    assert line.until(ITEM + "completed")["logprobs"]


def test_how_turns_are_detected_does_not_change_after_the_first_audio(line: Line) -> None:
    line.append(bytes(4_800))
    line.send("session.update", session=MANUAL)
    assert "after the first audio" in line.until("error")["error"]["message"]


@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")
def test_openais_client_hears_the_words(
    demo: BackgroundServer, sound: Samples, sample_text: str
) -> None:
    client = OpenAI(base_url=f"{demo.http_address}/v1", api_key="none")
    data = at_24_khz(np.concatenate([sound, np.zeros(16_000, np.float32)]))
    texts: list[str] = []
    with client.realtime.connect(
        model="whisper-1", extra_query={"intent": "transcription"}
    ) as connection:
        connection.session.update(
            session={
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24_000},
                        "transcription": {"model": "whisper-1", "language": "en"},
                        "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
                    }
                },
            }
        )
        for at in range(0, len(data), 48_000):
            piece = base64.b64encode(data[at : at + 48_000]).decode()
            connection.input_audio_buffer.append(audio=piece)
        for event in connection:
            assert event.type != "error", event
            if event.type == "conversation.item.input_audio_transcription.completed":
                texts.append(event.transcript)
                if " ".join(texts) == sample_text:
                    break
    assert " ".join(texts) == sample_text
