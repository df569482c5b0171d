"""What a client sets of a realtime session."""

from __future__ import annotations

from typing import Any

import pytest

from talkmill.engine import Encoding, InvalidOption, VadOptions
from talkmill.server.http.realtime_config import RealtimeConfig


def after(*inputs: dict[str, Any]) -> RealtimeConfig:
    """Return a session after updates of its `audio.input`."""
    config = RealtimeConfig()
    for one in inputs:
        config = config.updated({"audio": {"input": one}})
    return config


def test_a_null_transcription_is_warned_of() -> None:
    config = after({"transcription": {"language": "en"}}, {"transcription": None})
    assert config.warnings == (
        "audio.input.transcription null has no effect: a transcription session always transcribes",
    )
    assert config.language == "en"


def test_a_null_transcription_of_the_older_shape_is_warned_of() -> None:
    config = RealtimeConfig().updated({"input_audio_transcription": None})
    assert config.warnings == (
        "transcription null has no effect: a transcription session always transcribes",
    )


def test_a_null_format_is_the_default() -> None:
    config = after({"format": {"type": "audio/pcmu"}})
    assert config.encoding is Encoding.MULAW
    assert config.updated({"audio": {"input": {"format": None}}}).encoding is Encoding.PCM16
    assert config.updated({"input_audio_format": None}).encoding is Encoding.PCM16


def test_a_field_that_an_update_does_not_name_stays() -> None:
    first = {
        "transcription": {"model": "m", "language": "en", "prompt": "p"},
        "turn_detection": {"threshold": 0.7, "silence_duration_ms": 300},
    }
    second = {
        "transcription": {"language": "de"},
        "turn_detection": {"type": "server_vad", "prefix_padding_ms": 100},
    }
    config = after(first, second)
    assert (config.model, config.language, config.prompt) == ("m", "de", "p")
    assert config.vad == VadOptions(0.7, 300, 100)


def test_a_field_that_is_null_has_its_default_again() -> None:
    first = {
        "transcription": {"language": "en", "prompt": "p"},
        "turn_detection": {"threshold": 0.7, "silence_duration_ms": 300},
    }
    second = {"transcription": {"language": None}, "turn_detection": {"threshold": None}}
    config = after(first, second)
    assert (config.language, config.prompt) == ("", "p")
    assert config.vad == VadOptions(silence_duration_ms=300)


def test_turns_that_are_detected_again_have_the_defaults() -> None:
    config = after(
        {"turn_detection": {"threshold": 0.7}},
        {"turn_detection": None},
        {"turn_detection": {"prefix_padding_ms": 100}},
    )
    assert config.vad == VadOptions(prefix_padding_ms=100)


@pytest.mark.parametrize("value", [True, "0.5", 0.5])
def test_a_pause_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(InvalidOption, match="silence_duration_ms") as refused:
        after({"turn_detection": {"silence_duration_ms": value}})
    assert refused.value.field == "silence_duration_ms"


@pytest.mark.parametrize("name", ["model", "language", "prompt"])
def test_a_lone_surrogate_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        after({"transcription": {name: "a\ud800"}})
    message = f"audio.input.transcription.{name} 'a\\ud800' is not valid text"
    assert str(refused.value) == message
    assert refused.value.field == name


def test_more_padding_than_is_kept_is_warned_of() -> None:
    given = {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 600}}
    config = RealtimeConfig().updated(given)
    assert config.vad == VadOptions(prefix_padding_ms=500)
    assert config.warnings == ("turn_detection.prefix_padding_ms 600: 500 ms are kept at most",)
