"""Clients on Node, each called as its own documentation says, on the demo model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import DEMO_FOLDER, PATIENCE_S
from http_calls import Http
from talkmill.server import BackgroundServer

SAMPLE = DEMO_FOLDER / "sample.flac"
NODE_FOLDER = "TALKMILL_TEST_NODE"
"""Names the folder where the packages are installed: see .ci/run."""

HUGGINGFACE = """
import { readFileSync } from "node:fs";
import { InferenceClient } from "@huggingface/inference";
const [endpointUrl, path, name] = process.argv.slice(2);
const client = new InferenceClient("unused", { endpointUrl });
const audio = new Blob([readFileSync(path)], { type: "audio/flac" });
const answer = await client.automaticSpeechRecognition({ [name]: audio });
process.stdout.write(JSON.stringify(answer));
"""
AI_SDK = """
import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe as transcribe } from "ai";
const [baseURL, path, model, options] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey: "unused" });
const result = await transcribe({
  model: openai.transcription(model),
  audio: readFileSync(path),
  maxRetries: 0,
  providerOptions: { openai: JSON.parse(options) },
});
const { text, segments, language, durationInSeconds } = result;
process.stdout.write(JSON.stringify({ text, segments, language, durationInSeconds }));
"""


@pytest.fixture(scope="module")
def node_folder() -> Path:
    folder = os.environ.get(NODE_FOLDER)
    if folder is None or shutil.which("node") is None:
        pytest.skip(f"needs node, and {NODE_FOLDER} with the packages of .ci/run")
    return Path(folder)


def run(folder: Path, package: str, script: str, *arguments: str) -> Any:
    """Return the JSON that a script prints; it stands beside its package, where Node looks."""
    assert (folder / "node_modules" / package).is_dir()
    path = folder / f"{package.replace('/', '-')}.mjs"
    path.write_text(script, encoding="utf-8")
    command = ["node", str(path), *arguments]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", ["data", "inputs"])
def test_huggingface_inference_gets_the_words(
    demo: BackgroundServer, node_folder: Path, name: str, sample_text: str
) -> None:
    arguments = (demo.http_address, str(SAMPLE), name)

    answer = run(node_folder, "@huggingface/inference", HUGGINGFACE, *arguments)

    assert answer["text"] == sample_text


def test_huggingface_inference_sets_parameters_in_the_query_of_its_address(
    demo: BackgroundServer, node_folder: Path, sample_text: str
) -> None:
    address = f"{demo.http_address}/models/demo?return_timestamps=true&return_language=true"

    answer = run(node_folder, "@huggingface/inference", HUGGINGFACE, address, str(SAMPLE), "data")

    assert "".join(chunk["text"] for chunk in answer["chunks"]).strip() == sample_text
    assert {chunk["language"] for chunk in answer["chunks"]} == {"english"}


@pytest.mark.parametrize("model", ["demo", "whisper-1"])
def test_the_ai_sdk_reads_verbose_json(
    demo: BackgroundServer, node_folder: Path, model: str, sample_text: str
) -> None:
    address = f"{demo.http_address}/v1"
    options = json.dumps({"timestampGranularities": ["segment"], "temperature": 0})

    result = run(node_folder, "ai", AI_SDK, address, str(SAMPLE), model, options)

    assert result["text"] == sample_text
    assert "".join(segment["text"] for segment in result["segments"]).strip() == sample_text
    assert all(segment["startSecond"] < segment["endSecond"] for segment in result["segments"])
    assert result["language"] == "en"  # from its English name in the answer
    assert result["durationInSeconds"] > 5


def test_the_ai_sdk_reads_json_of_a_model_that_has_no_other(
    http: Callable[..., Http], node_folder: Path, sample: bytes
) -> None:
    server = http(served_names=["gpt-4o-transcribe"])

    arguments = (f"{server.url}/v1", str(SAMPLE), "gpt-4o-transcribe", "{}")
    result = run(node_folder, "ai", AI_SDK, *arguments)

    assert result["text"]
    assert result["durationInSeconds"] > 5
