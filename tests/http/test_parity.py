"""The same file and the same parameters give the same answer over gRPC and HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S
from http_calls import post_json
from served import stream_messages
from talkmill.engine.types import Samples
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server import BackgroundServer

FRESH = {"x-use-cache": "false"}
EARLY_STOPPING = {
    True: pb.EARLY_STOPPING_TRUE,
    False: pb.EARLY_STOPPING_FALSE,
    "never": pb.EARLY_STOPPING_NEVER,
}

Answer = tuple[str, list[tuple[str, float, float | None]], list[str]]
"""The words, the chunks with their times in seconds, and the warnings."""

CASES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "timestamps": {"return_timestamps": True},
    "beams": {"num_beams": 4},
    "beams, timestamps": {"num_beams": 3, "return_timestamps": True},
    "beams that stop early": {"num_beams": 3, "early_stopping": True, "length_penalty": 0.3},
    "beams that never stop early": {"num_beams": 3, "early_stopping": "never"},
    "beam groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7},
    "patience": {"num_beams": 2, "patience": 1.7},
    "drawn, top_k": {"temperature": 0.7, "top_k": 20, "seed": 11},
    "drawn, top_p": {"do_sample": True, "temperature": 1.3, "top_p": 0.9, "seed": 2**64 - 1},
    "drawn, typical_p": {"do_sample": True, "temperature": 1.1, "typical_p": 0.85, "seed": 5},
    "drawn, cutoffs": {"temperature": 1.2, "epsilon_cutoff": 0.003, "eta_cutoff": 0.1, "seed": 6},
    "drawn, timestamps": {"temperature": 1.7, "seed": 12, "return_timestamps": True},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "idle top_p": {"top_p": 0.5},
    "idle, several": {"top_k": 5, "seed": 3, "patience": 2.0, "use_cache": False},
    "at least": {"min_new_tokens": 60},
    "at least, with the prompt": {"min_length": 55},
    "at most": {"max_new_tokens": 7},
    "at most, with the prompt": {"max_length": 12},
    "repetition": {"repetition_penalty": 1.3},
    "repetition, below 1": {"repetition_penalty": 0.05, "max_new_tokens": 20},
    "no words twice": {"no_repeat_ngram_size": 2},
    "suppressed": {"suppress_tokens": list(range(300, 500))},
    "prompt": {"prompt": "turn on the light"},
    "a prompt too long": {"prompt": "turn on the light " * 100},
    "a language": {"language": "en"},
    "vad": {"vad": "on"},
    "vad, timestamps": {"vad": "on", "return_timestamps": True},
    "no vad": {"vad": "off", "return_timestamps": True},
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """One file that fits in a chunk, and one that takes several, with a silence in it."""
    samples = decode_file(DEMO_FOLDER / "sample.flac")
    silence: Samples = np.zeros(3 * 16_000, np.float32)
    long = np.concatenate([samples, silence, samples])
    return {
        "short": encode_audio(samples[:64_000], "flac", "flac"),
        "long": encode_audio(long, "ogg", "libopus", rate=48_000, bit_rate=64_000),
    }


@pytest.fixture(scope="module")
def stub(demo: BackgroundServer) -> Iterator[pb_grpc.TranscriptionStub]:
    with grpc.insecure_channel(demo.address) as channel:
        yield pb_grpc.TranscriptionStub(channel)


def message_of(parameters: dict[str, Any]) -> pb.TranscribeOptions:
    given = dict(parameters)
    message = pb.TranscribeOptions(
        return_timestamps=pb.RETURN_TIMESTAMPS_SEGMENT
        if given.pop("return_timestamps", False)
        else pb.RETURN_TIMESTAMPS_NONE,
        language=given.pop("language", None),
        prompt=given.pop("prompt", ""),
        vad=f"VAD_MODE_{given.pop('vad', 'auto').upper()}",
    )
    if "early_stopping" in given:
        given["early_stopping"] = EARLY_STOPPING[given["early_stopping"]]
    message.generation_parameters.CopyFrom(pb.GenerationParameters(**given))
    return message


def over_grpc(stub: pb_grpc.TranscriptionStub, audio: bytes, parameters: dict[str, Any]) -> Answer:
    request = pb.TranscribeRequest(audio=audio, options=message_of(parameters))
    answer = stub.Transcribe(request, timeout=PATIENCE_S, metadata=list(FRESH.items()))
    return _of_message(answer)


def over_grpc_streamed(
    stub: pb_grpc.TranscriptionStub, audio: bytes, parameters: dict[str, Any]
) -> Answer:
    messages = stream_messages(audio, "", message_of(parameters))
    *_, last = stub.TranscribeStream(messages, timeout=PATIENCE_S, metadata=list(FRESH.items()))
    return _of_message(last.result)


def _of_message(answer: pb.TranscribeResponse) -> Answer:
    chunks = [
        (chunk.text, chunk.start_s, chunk.end_s if chunk.HasField("end_s") else None)
        for chunk in answer.chunks
    ]
    return answer.text, chunks, list(answer.warnings)


def over_huggingface(url: str, audio: bytes, parameters: dict[str, Any]) -> Answer:
    response = post_json(url, audio, {"vad": "auto", **parameters}, headers=FRESH)
    assert response.status_code == 200, response.text
    answer = response.json()
    chunks = [(chunk["text"], *chunk["timestamp"]) for chunk in answer.get("chunks", [])]
    return answer["text"], chunks, answer.get("warnings", [])


def over_openai(url: str, audio: bytes, parameters: dict[str, Any]) -> Answer:
    fields = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in parameters.items()
        if name != "return_timestamps"
    }
    shape = "verbose_json" if parameters.get("return_timestamps") else "json"
    response = requests.post(
        f"{url}/v1/audio/transcriptions",
        data={**fields, "response_format": shape},
        files={"file": ("audio", audio)},
        headers=FRESH,
        timeout=PATIENCE_S,
    )
    assert response.status_code == 200, response.text
    answer = response.json()
    chunks = [(part["text"], part["start"], part["end"]) for part in answer.get("segments", [])]
    return answer["text"], chunks, answer.get("warnings", [])


@pytest.mark.parametrize("case", CASES)
def test_grpc_and_http_give_the_same_answer(
    demo: BackgroundServer, stub: pb_grpc.TranscriptionStub, files: dict[str, bytes], case: str
) -> None:
    audio, parameters = files["short"], CASES[case]

    expected = over_grpc(stub, audio, parameters)

    assert over_huggingface(demo.http_address, audio, parameters) == expected
    assert over_grpc_streamed(stub, audio, parameters) == expected
    text, chunks, warnings = over_openai(demo.http_address, audio, parameters)
    assert (text, warnings) == (expected[0], expected[2])
    assert [chunk[:2] for chunk in chunks] == [chunk[:2] for chunk in expected[1]]
    assert bool(expected[1]) == parameters.get("return_timestamps", False)
    # What is drawn at a high temperature may end before the speech does.
    others = [warning for warning in expected[2] if not warning.startswith("coverage")]
    assert bool(others) == ("idle" in case or "too long" in case)


@pytest.mark.parametrize("case", ["timestamps", "beams", "drawn, timestamps", "vad, timestamps"])
def test_grpc_and_http_give_the_same_answer_for_a_long_file(
    demo: BackgroundServer, stub: pb_grpc.TranscriptionStub, files: dict[str, bytes], case: str
) -> None:
    audio, parameters = files["long"], CASES[case]

    expected = over_grpc(stub, audio, parameters)

    assert over_huggingface(demo.http_address, audio, parameters) == expected
    assert len(expected[1]) != 1
    assert len(expected[0].split()) > 40


def test_the_cases_do_not_all_say_the_same(
    stub: pb_grpc.TranscriptionStub, files: dict[str, bytes]
) -> None:
    answers = {over_grpc(stub, files["short"], CASES[case])[0] for case in CASES}

    assert len(answers) > 10
