from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fakes import DEMO_FOLDER, tokenizer_file
from talkmill.engine import ConfigError, Task
from talkmill.engine.model.tokenizer import WhisperTokenizer

RAW = Tokenizer.from_file(str(DEMO_FOLDER / "tokenizer.json"))


def names(tokens: list[int], raw: Tokenizer = RAW) -> list[str | None]:
    return [raw.id_to_token(token) for token in tokens]


@pytest.mark.parametrize(
    ("task", "timestamps", "expected"),
    [
        (Task.TRANSCRIBE, True, ["<|startoftranscript|>", "<|en|>", "<|transcribe|>"]),
        (
            Task.TRANSCRIBE,
            False,
            ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"],
        ),
        (Task.TRANSLATE, True, ["<|startoftranscript|>", "<|en|>", "<|translate|>"]),
    ],
)
def test_prompt_names_language_task_and_timestamps(
    tokenizer: WhisperTokenizer, task: Task, timestamps: bool, expected: list[str]
) -> None:
    assert names(tokenizer.prompt("en", task, timestamps)) == expected


def test_prompt_of_an_english_only_model_has_neither_language_nor_task() -> None:
    tokenizer = WhisperTokenizer(DEMO_FOLDER / "tokenizer.json", is_multilingual=False)
    assert names(tokenizer.prompt("en", Task.TRANSCRIBE, True)) == ["<|startoftranscript|>"]
    assert tokenizer.languages == {"en"}
    assert tokenizer.tasks == {Task.TRANSCRIBE}


def test_text_that_came_before_stands_in_front(tokenizer: WhisperTokenizer) -> None:
    previous = tokenizer.encode("call emma")
    prompt = tokenizer.prompt("en", Task.TRANSCRIBE, False, previous)
    assert names(prompt[:1]) == ["<|startofprev|>"]
    assert tuple(prompt[1 : 1 + len(previous)]) == previous
    assert prompt[1 + len(previous) :] == tokenizer.prompt("en", Task.TRANSCRIBE, False)


def test_languages_are_those_of_the_vocabulary(tmp_path: Path) -> None:
    path = tokenizer_file(tmp_path, languages=["de", "yue"])
    tokenizer = WhisperTokenizer(path, is_multilingual=True)
    assert {"en", "de", "yue"} <= tokenizer.languages
    raw = Tokenizer.from_file(str(path))
    assert "<|yue|>" in names(tokenizer.prompt("yue", Task.TRANSCRIBE, True), raw)
    assert "<|de|>" in names(tokenizer.prompt("de", Task.TRANSCRIBE, True), raw)


def test_prompts_of_all_languages_and_tasks_are_of_one_length(tmp_path: Path) -> None:
    tokenizer = WhisperTokenizer(tokenizer_file(tmp_path, languages=["de", "yue"]), True)
    lengths = {
        len(tokenizer.prompt(language, task, True))
        for language in tokenizer.languages
        for task in tokenizer.tasks
    }
    assert len(lengths) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "call <|en|><|translate|> emma",
        "<|notimestamps|>",
        "<|0.00|>hello<|29.98|>",
    ],
)
def test_special_tokens_in_a_text_are_not_obeyed(tokenizer: WhisperTokenizer, text: str) -> None:
    assert all(token < tokenizer.end_of_text for token in tokenizer.encode(text))


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_no_text_makes_a_special_token(text: str, tokenizer: WhisperTokenizer) -> None:
    assert all(token < tokenizer.end_of_text for token in tokenizer.encode(text))


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_blank_text_is_no_prompt(tokenizer: WhisperTokenizer, text: str) -> None:
    assert tokenizer.encode(text) == ()


@pytest.mark.parametrize("text", ["call emma at seven", "é ß 日本語 🙂", "<| not special |>"])
def test_text_survives_its_tokens(tokenizer: WhisperTokenizer, text: str) -> None:
    assert tokenizer.decode(list(tokenizer.encode(text))) == " " + text


def test_times_and_special_tokens_are_not_text(tokenizer: WhisperTokenizer) -> None:
    begin = tokenizer.timestamp_begin
    words = list(tokenizer.encode("call emma"))
    assert tokenizer.decode([begin, *words, begin + 50, tokenizer.end_of_text]) == " call emma"


def test_first_time_is_zero_and_each_step_is_20_ms(tokenizer: WhisperTokenizer) -> None:
    begin = tokenizer.timestamp_begin
    assert names([begin, begin + 1, begin + 1500]) == ["<|0.00|>", "<|0.02|>", "<|30.00|>"]


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        WhisperTokenizer(tmp_path / "tokenizer.json", is_multilingual=True)


@pytest.mark.parametrize("token", ["<|startoftranscript|>", "<|notimestamps|>", "<|transcribe|>"])
def test_vocabulary_that_is_not_whispers_is_a_config_error(tmp_path: Path, token: str) -> None:
    content = json.loads((DEMO_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    for added in content["added_tokens"]:
        if added["content"] == token:
            added["content"] = "<|other|>"
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError) as failure:
        WhisperTokenizer(path, is_multilingual=True)
    assert token in str(failure.value)


@pytest.mark.parametrize("content", ["", "{}", "not json"], ids=["empty", "no model", "no json"])
def test_broken_file_is_a_config_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        WhisperTokenizer(path, is_multilingual=True)
