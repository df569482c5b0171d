"""Common clients, each called as its own documentation says, on the demo model."""

from __future__ import annotations

import base64
import shutil
import subprocess
from typing import Any

import openai
import pytest
import requests
from huggingface_hub import InferenceClient

from fakes import DEMO_FOLDER, PATIENCE_S
from talkmill.server import BackgroundServer

SAMPLE = DEMO_FOLDER / "sample.flac"


@pytest.fixture(scope="module")
def hub(demo: BackgroundServer) -> InferenceClient:
    return InferenceClient(demo.http_address, token="unused", timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "audio", [SAMPLE, str(SAMPLE), SAMPLE.read_bytes()], ids=["path", "name", "bytes"]
)
def test_huggingface_hub_gets_the_words(hub: InferenceClient, audio: Any, sample_text: str) -> None:
    assert hub.automatic_speech_recognition(audio).text == sample_text


@pytest.mark.parametrize("group", ["generation_parameters", "generate_kwargs"])
def test_huggingface_hub_gets_chunks_and_parameters(
    hub: InferenceClient, sample_text: str, group: str
) -> None:
    body = {"return_timestamps": True, group: {"num_beams": 2, "seed": 3}}

    answer = hub.automatic_speech_recognition(SAMPLE, extra_body=body)

    assert answer.text == sample_text
    assert answer.chunks
    starts_s = [chunk.timestamp[0] for chunk in answer.chunks]
    assert starts_s == sorted(starts_s)
    assert "".join(chunk.text for chunk in answer.chunks).strip() == sample_text
    assert [warning.split()[0] for warning in answer["warnings"]] == ["seed"]


def test_huggingface_hub_gets_the_language_of_each_chunk(hub: InferenceClient) -> None:
    answer = hub.automatic_speech_recognition(SAMPLE, extra_body={"return_language": True})

    assert {chunk["language"] for chunk in answer.chunks or []} == {"english"}


def test_huggingface_hub_tells_why_it_was_refused(hub: InferenceClient) -> None:
    with pytest.raises(Exception, match="422") as caught:
        hub.automatic_speech_recognition(SAMPLE, extra_body={"num_beams": 99})

    refusal: Any = caught.value
    assert refusal.response.json()["field"] == "num_beams"


def test_requests_with_the_file_as_the_body_gets_the_words(
    demo: BackgroundServer, sample_text: str
) -> None:
    headers = {"Authorization": "Bearer hf_***", "Content-Type": "audio/flac"}
    with SAMPLE.open("rb") as file:
        data = file.read()

    response = requests.post(
        f"{demo.http_address}/models/demo", headers=headers, data=data, timeout=PATIENCE_S
    )

    assert response.json() == {"text": sample_text}


def test_requests_with_json_gets_words_and_chunks(demo: BackgroundServer, sample_text: str) -> None:
    payload: dict[str, Any] = {
        "inputs": base64.b64encode(SAMPLE.read_bytes()).decode(),
        "parameters": {"return_timestamps": True, "generation_parameters": {"temperature": 0.0}},
    }

    response = requests.post(demo.http_address, json=payload, timeout=PATIENCE_S)

    answer = response.json()
    assert answer["text"] == sample_text
    assert all(chunk["timestamp"] == chunk["timestamps"] for chunk in answer["chunks"])


@pytest.fixture(scope="module")
def client(demo: BackgroundServer) -> Any:
    with openai.OpenAI(
        base_url=f"{demo.http_address}/v1", api_key="none", timeout=PATIENCE_S, max_retries=0
    ) as client:
        yield client


def test_openai_gets_the_words(client: openai.OpenAI, sample_text: str) -> None:
    answer = client.audio.transcriptions.create(file=SAMPLE, model="whisper-1", temperature=0)

    assert answer.text == sample_text


def test_openai_gets_segments(client: openai.OpenAI, sample_text: str) -> None:
    with SAMPLE.open("rb") as audio:
        answer = client.audio.transcriptions.create(
            file=audio,
            model="demo",
            language="en",
            response_format="verbose_json",
            timestamp_granularities=["segment"],
            extra_body={"num_beams": 2},
        )

    assert answer.text == sample_text
    assert answer.language == "english"
    assert answer.duration > 5
    assert answer.segments
    assert "".join(segment.text for segment in answer.segments).strip() == sample_text
    assert all(segment.start < segment.end for segment in answer.segments)


def test_openai_gets_subtitles(client: openai.OpenAI, sample_text: str) -> None:
    subtitles = client.audio.transcriptions.create(file=SAMPLE, model="demo", response_format="srt")

    number, times, *words = subtitles.split("\n\n")[0].splitlines()
    assert number == "1"
    assert times.startswith("00:00:0")
    assert sample_text.startswith(" ".join(words))


def test_openai_sets_how_the_audio_is_cut(client: openai.OpenAI, sample_text: str) -> None:
    answer = client.audio.transcriptions.create(
        file=SAMPLE,
        model="whisper-1",
        chunking_strategy={
            "type": "server_vad",
            "threshold": 0.4,
            "silence_duration_ms": 600,
            "prefix_padding_ms": 300,
        },
    )

    assert answer.text == sample_text


def test_openai_is_told_that_speakers_are_not_told_apart(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.audio.transcriptions.create(
            file=SAMPLE, model="whisper-1", known_speaker_names=["agent"]
        )

    assert caught.value.param == "known_speaker_names[]"
    assert "speakers apart" in caught.value.message


def test_openai_gets_the_words_as_they_are_recognised(
    client: openai.OpenAI, sample_text: str
) -> None:
    stream: Any = client.audio.transcriptions.create(file=SAMPLE, model="demo", stream=True)

    *deltas, done = stream

    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas).strip() == sample_text
    assert (done.type, done.text) == ("transcript.text.done", sample_text)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # what the client says of it
def test_openai_gets_an_error_for_a_translation_by_the_demo_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.audio.translations.create(file=SAMPLE, model="demo")

    assert caught.value.param == "task"


def test_openai_gets_an_error_for_a_model_that_is_not_served(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.audio.transcriptions.create(file=SAMPLE, model="gpt-4o-transcribe")

    assert caught.value.param == "model"
    assert "demo" in caught.value.message


def test_openai_lists_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo", "whisper-1"]
    assert client.models.retrieve("whisper-1").id == "whisper-1"


def run(*command: str) -> str:
    """Return what a command prints, given the sample on its standard input."""
    with SAMPLE.open("rb") as audio:
        ended = subprocess.run(command, stdin=audio, capture_output=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["/", "--data-binary", f"@{SAMPLE}"], id="huggingface"),
        pytest.param(["/models/demo", "-T", str(SAMPLE), "-X", "POST"], id="upload"),
        pytest.param(["/models/demo", "-T", "-", "-X", "POST"], id="piped"),
        pytest.param(["/v1/audio/transcriptions", "-F", f"file=@{SAMPLE}"], id="openai"),
    ],
)
def test_curl_gets_the_words(
    demo: BackgroundServer, arguments: list[str], sample_text: str
) -> None:
    path, *rest = arguments

    answer = run("curl", "--silent", "--show-error", demo.http_address + path, *rest)

    assert f'"text":"{sample_text}"' in answer
