"""Options that are refused for their length alone, before anything is computed from them."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import tones_file, words
from talkmill.engine import Engine, GenerationParameters, InvalidOption, TranscribeOptions, VadMode


class Untouchable(str):
    """A text that may be measured, but not read."""

    def strip(self, chars: str | None = None, /) -> str:
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"prompt": Untouchable("x" * 4097)}, "prompt", "4097 characters is over .* 4096"),
        ({"hotwords": ("x" * 4000, "y" * 97)}, "hotwords", "4097 characters is over .* 4096"),
        ({"hotwords": ("",) * 4097}, "hotwords", "4097 words is over .* 4096"),
        ({"language": Untouchable("e" * 65)}, "language", "65 characters is over .* 64"),
        ({"languages": ("en",) * 129}, "languages", "129 languages is over .* 128"),
        ({"languages": ("en", "e" * 65)}, "languages", "65 characters is over .* 64"),
        (
            {"parameters": GenerationParameters(suppress_tokens=(5,) * 4097)},
            "suppress_tokens",
            "4097 values is over .* 4096",
        ),
        (
            {"parameters": GenerationParameters(temperature=(0.5,) * 4097)},
            "temperature",
            "4097 values is over .* 4096",
        ),
    ],
)
def test_a_long_option_is_refused_with_its_length_and_limit(
    engine: Engine, options: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidOption, match=message) as caught:
        engine.check(TranscribeOptions(**options))

    assert caught.value.field == field


@pytest.mark.parametrize("options", [{"prompt": "a \ud800"}, {"hotwords": ("a", "\udfff b")}])
def test_half_of_a_character_is_refused_before_the_tokenizer_has_it(
    engine: Engine, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidOption, match="is not valid Unicode") as caught:
        engine.check(TranscribeOptions(**options))

    assert caught.value.field == next(iter(options))


def test_options_of_the_greatest_length_are_taken(engine: Engine) -> None:
    options = TranscribeOptions(
        vad=VadMode.OFF,
        prompt="word " * 819,
        hotwords=("name",) * 1024,
        languages=("en",) * 128,
        parameters=GenerationParameters(suppress_tokens=(5,) * 4096),
    )

    assert engine.transcribe(tones_file(10), options).text == words(10)
