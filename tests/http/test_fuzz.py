"""Whatever is sent: no status of 500 or more, no hang, and a refusal names its field."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from audio_files import encode_audio, tone
from fakes import PATIENCE_S, tones_file
from http_calls import Http
from talkmill.engine.decoding.parameters import PARAMETERS
from talkmill.server.http.description import describe

AUDIO = base64.b64encode(encode_audio(tone(440, 0.1, 8000), rate=8000, from_rate=8000)).decode()
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
NAMES = [
    *(parameter.name for parameter in PARAMETERS),
    *("return_timestamps", "language", "task", "prompt", "vad", "chunk_length_s", "batch_size"),
    *("generation_parameters", "generate_kwargs", "parameters", "options", "inputs"),
    *("use_cache", "wait_for_model", "file", "model", "stream", "response_format"),
    *("return_language", "vad_options", "threshold", "silence_duration_ms", "chunking_strategy"),
    *("chunking_strategy[type]", "include[]", "keywords[]", "timestamp_granularities[]"),
]
TUNED: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}

numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63, 2**64, -(2**64), 10**400, 1e308, 5e-324, -0.0])
)
texts = st.text(st.characters(), max_size=20) | st.sampled_from(["en", "off", "word", "\ud800"])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES) | texts, values, max_size=5)
bodies = st.fixed_dictionaries(
    {"inputs": st.just(AUDIO) | values},
    optional={
        "parameters": objects | values,
        "options": objects | values,
        "generation_parameters": objects | values,
        "generate_kwargs": objects,
    },
)

ANSWER = describe()["paths"]["/"]["post"]["responses"]
FORM_ANSWER = describe()["paths"]["/v1/audio/transcriptions"]["post"]["responses"]


def check(response: requests.Response, described: dict[str, Any]) -> None:
    """Check that a response is no server error, and as the OpenAPI description says."""
    assert response.status_code < 500, response.text
    content = described[str(response.status_code)]["content"]
    kind = response.headers["content-type"].partition(";")[0]
    if kind == "application/json":
        jsonschema_rs.validate(content[kind]["schema"], response.json())
    assert kind in content
    if response.status_code == 200:
        return
    answer = response.json()
    is_openai = isinstance(answer["error"], dict)
    message = answer["error"]["message"] if is_openai else answer["error"]
    field = answer["error"]["param"] if is_openai else answer.get("field")
    assert message
    assert len(message) < 2_000
    assert isinstance(field, str)


def post_body(server: Http, body: bytes) -> requests.Response:
    return server.post("/", data=body, headers={"content-type": "application/json"})


def check_any_json(server: Http, value: object) -> None:
    check(post_body(server, json.dumps(value).encode()), ANSWER)


def check_any_form(server: Http, fields: list[tuple[str, object]], audio: bytes | None) -> None:
    files: list[Any] = [(name, (None, _form_text(value))) for name, value in fields]
    if audio is not None:
        files.append(("file", ("audio", audio)))
    if files:
        check(server.post("/v1/audio/transcriptions", files=files), FORM_ANSWER)


def _form_text(value: object) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="surrogatepass")


@settings(max_examples=150, **TUNED)
@given(value=bodies | values)
def test_any_json_is_answered(server: Http, value: object) -> None:
    check_any_json(server, value)


@settings(max_examples=150, **TUNED)
@given(data=st.data(), parameters=objects)
def test_any_parameters_are_answered(
    server: Http, data: st.DataObject, parameters: dict[str, Any]
) -> None:
    group = data.draw(st.sampled_from(["parameters", "generate_kwargs", "options"]))
    check_any_json(server, {"inputs": AUDIO, group: parameters})


fields = st.lists(
    st.tuples(
        st.sampled_from([name for name in NAMES if name != "file"])
        | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
        values,
    ),
    max_size=5,
)
audios = st.sampled_from([None, b"", b"RIFF", tones_file(10), base64.b64decode(AUDIO)])


@settings(max_examples=150, **TUNED)
@given(fields=fields, audio=audios)
def test_any_form_is_answered(
    server: Http, fields: list[tuple[str, object]], audio: bytes | None
) -> None:
    check_any_form(server, fields, audio)


FORM = (
    b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nfake\r\n'
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.flac"\r\n'
    b"content-type: audio/flac\r\n\r\n" + tones_file(10)[:200] + b"\r\n--x--\r\n"
)
JSON = json.dumps({"inputs": AUDIO[:80], "parameters": {"num_beams": 2, "seed": None}}).encode()


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Draw a body with bytes lost, repeated, or replaced."""
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 20)) | st.just(len(body)))
    return body[:start] + draw(st.binary(max_size=10)) * draw(st.integers(1, 3)) + body[end:]


@settings(max_examples=150, **TUNED)
@given(body=damaged(FORM))
def test_a_damaged_form_is_answered(server: Http, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    check(server.post("/v1/audio/transcriptions", data=body, headers=headers), FORM_ANSWER)


@settings(max_examples=150, **TUNED)
@given(body=damaged(JSON))
def test_damaged_json_is_answered(server: Http, body: bytes) -> None:
    check(post_body(server, body), ANSWER)


@settings(max_examples=100, **TUNED)
@given(body=st.binary(max_size=200) | damaged(tones_file(10)))
def test_any_bytes_are_answered(server: Http, body: bytes) -> None:
    check(server.post("/", data=body), ANSWER)


@pytest.mark.slow
@pytest.mark.timeout(600)
@seed(4)
@settings(max_examples=2_000, **{**TUNED, "derandomize": False})
@given(value=bodies | values, fields=fields, audio=audios, body=damaged(FORM), text=damaged(JSON))
def test_anything_is_answered(
    server: Http,
    value: object,
    fields: list[tuple[str, object]],
    audio: bytes | None,
    body: bytes,
    text: bytes,
) -> None:
    check_any_json(server, value)
    check_any_form(server, fields, audio)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    check(server.post("/v1/audio/transcriptions", data=body, headers=headers), FORM_ANSWER)
    check(post_body(server, text), ANSWER)


def run_schemathesis(server: Http, folder: Path, phases: str, num_examples: int) -> None:
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run"),
        *(f"{server.url}/openapi.json", "--checks", ",".join(CHECKS)),
        *("--phases", phases, "--max-examples", str(num_examples), "--seed", "4"),
        *("--generation-deterministic", "--no-color"),
        *("--request-timeout", str(PATIENCE_S)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_schemathesis_finds_nothing(server: Http, tmp_path: Path) -> None:
    run_schemathesis(server, tmp_path, "fuzzing", 40)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing_when_it_looks_long(server: Http, tmp_path: Path) -> None:
    run_schemathesis(server, tmp_path, "coverage,fuzzing", 500)


@pytest.mark.parametrize("shape", ["json", "verbose_json", "text", "srt"])
def test_real_answers_are_as_described(server: Http, shape: str) -> None:
    check(server.ask(tones_file(10), {"return_timestamps": True, "top_p": 0.5}), ANSWER)
    check(server.upload(tones_file(10), response_format=shape, seed=1), FORM_ANSWER)


def test_the_description_is_valid_and_has_a_page(server: Http) -> None:
    description = server.get("/openapi.json").json()
    page = server.get("/docs")

    assert description == describe()
    assert page.headers["content-type"].startswith("text/html")
    for parameter in PARAMETERS:
        assert parameter.name in page.text
    for path in description["paths"]:
        assert f"{path}</code>" in page.text
