"""The block of parameters for long audio that Whisper's model cards show is taken whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes import tones_file, words
from http_calls import Http

TONE = tones_file(10)
LONG_FORM: dict[str, Any] = {
    "max_new_tokens": 448,
    "num_beams": 1,
    "condition_on_prev_tokens": False,
    "compression_ratio_threshold": 1.35,
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "return_timestamps": True,
}


@pytest.mark.parametrize("how", ["parameters", "generate_kwargs", "query"])
def test_the_block_of_the_model_cards_is_taken_whole(server: Http, how: str) -> None:
    if how == "query":
        query = {"vad": "off", "generate_kwargs": json.dumps(LONG_FORM)}
        response = server.post("/", data=TONE, params=query)
    elif how == "generate_kwargs":
        response = server.ask(TONE, generate_kwargs=LONG_FORM)
    else:
        response = server.ask(TONE, LONG_FORM)

    answer = response.json()
    assert response.status_code == 200, answer
    assert answer["text"] == words(10)
    assert [chunk["timestamp"] for chunk in answer["chunks"]] == [[1.0, 1.0]]  # 1 s of audio
    # 448 never fit; condition_on_prev_tokens may be said to have no effect.
    assert {warning.split()[0] for warning in answer["warnings"]} <= {
        "max_new_tokens",
        "condition_on_prev_tokens",
    }
