"""Languages, hotwords and text before a chunk over each schema of HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import FakeModel, tones_file, words
from http_calls import Http
from http_calls import refusal as huggingface_refusal
from talkmill.engine import Task

TONE = tones_file(10)


def prompt_of(model: FakeModel, text: str) -> tuple[int, ...]:
    previous = model.tokenizer.encode(text)
    return tuple(model.tokenizer.prompt("en", Task.TRANSCRIBE, False, previous))


@pytest.mark.parametrize("language", ["en", "English", "en-US", "<|en|>", "auto", "", "multi"])
def test_every_spelling_of_a_language_is_taken_by_both_schemas(server: Http, language: str) -> None:
    assert server.ask(TONE, {"language": language}).json()["text"] == words(10)
    assert server.upload(TONE, language=language).json()["text"] == words(10)


def test_unknown_language_is_refused_by_both_schemas(server: Http) -> None:
    response = server.ask(TONE, {"language": "klingon"})
    assert huggingface_refusal(response) == (422, "language")
    assert "it has en" in response.json()["error"]
    error = server.upload(TONE, language="klingon").json()["error"]
    assert error["param"] == "language"


def test_verbose_json_names_the_language_in_english(server: Http) -> None:
    answer = server.upload(TONE, response_format="verbose_json").json()
    assert answer["language"] == "english"


@pytest.mark.parametrize(
    "fields",
    [
        {"keywords": ["talkmill", "Emma"]},
        {"keywords[]": ["talkmill", "Emma"]},
        {"hotwords": '["talkmill", "Emma"]'},
        {"hotwords[]": ["talkmill", "", "Emma"]},
        {"keywords": "talkmill", "hotwords": "Emma"},
    ],
    ids=str,
)
def test_keywords_of_a_form_stand_before_the_answer(server: Http, fields: dict[str, Any]) -> None:
    assert server.upload(TONE, **fields).json()["text"] == words(10)
    assert server.model.generated[-1].prompts == (prompt_of(server.model, "talkmill, Emma"),)


def test_hotwords_of_json_stand_before_the_answer(server: Http) -> None:
    server.ask(TONE, {"hotwords": ["talkmill", "Emma"]})
    assert server.model.generated[-1].prompts == (prompt_of(server.model, "talkmill, Emma"),)


@pytest.mark.parametrize("value", ["talkmill", [1], [None], {"a": 1}], ids=str)
@pytest.mark.parametrize("name", ["hotwords", "languages"])
def test_list_of_anything_but_texts_is_refused(server: Http, name: str, value: Any) -> None:
    assert huggingface_refusal(server.ask(TONE, {name: value})) == (422, name)


@pytest.mark.parametrize("value", ["[1]", "[null]", '[["a"]]'])
def test_list_of_anything_but_texts_in_a_form_is_refused(server: Http, value: str) -> None:
    response = server.upload(TONE, **{"keywords": value})
    assert response.json()["error"]["param"] == "hotwords"


def test_languages_of_a_form_limit_the_detection(server: Http) -> None:
    fields: dict[str, Any] = {"languages[]": ["en", "English"]}
    answer = server.upload(TONE, **fields).json()
    assert answer["warnings"] == ["languages has no effect: the language is en"]
    response = server.upload(TONE, languages='["en", "xx"]')
    assert response.json()["error"]["param"] == "languages"
    assert server.upload(TONE, languages="").json()["text"] == words(10)


@pytest.mark.parametrize("schema", ["huggingface", "openai"])
def test_text_of_a_chunk_is_the_prompt_of_the_next(server: Http, schema: str) -> None:
    audio = tones_file(10, 20)
    if schema == "openai":
        server.upload(audio, condition_on_prev_tokens="true")
    else:
        server.ask(audio, {"generate_kwargs": {"condition_on_prev_tokens": True}})
    assert server.model.generated[-1].prompts == (prompt_of(server.model, words(10)),)
