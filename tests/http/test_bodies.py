"""Bodies of requests: their types, their sizes, and how they are transferred."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests

from audio_files import encode_audio
from fakes import chunk_tones, tones_file, words
from http_calls import Http, form_of, inputs_of, json_of, pieces_of
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.server.spool import SPOOL_BYTES

TONE = tones_file(10)
LIMIT_BYTES = 200_000


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "audio/flac",
        "audio/x-anything; codecs=1",
        "video/mp4",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/ogg",
        "AUDIO/FLAC",
        "nonsense",
    ],
)
def test_a_raw_body_of_any_type_that_may_be_audio_is_taken(
    demo: Any, sample: bytes, sample_text: str, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}

    response = requests.post(demo.http_address, data=sample, headers=headers)

    assert response.json() == {"text": sample_text}


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html; charset=utf-8", "image/png", "multipart/form-data"]
)
def test_a_raw_body_of_a_type_that_is_never_audio_is_refused(server: Http, kind: str) -> None:
    response = server.post("/", data=TONE, headers={"content-type": kind})

    assert (response.status_code, response.json()["field"]) == (415, "content-type")
    assert kind.partition(";")[0] in response.json()["error"]


@pytest.mark.parametrize("kind", ["audio/flac", "application/json", "", None])
def test_openais_schema_takes_forms_only(server: Http, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}

    response = server.post("/v1/audio/transcriptions", data=TONE, headers=headers)

    assert (response.status_code, response.json()["error"]["param"]) == (415, "content-type")


def test_json_is_taken_with_a_charset(server: Http) -> None:
    body = json.dumps({"inputs": inputs_of(TONE), "parameters": {"vad": "off"}})
    headers = {"content-type": "Application/JSON; charset=utf-8"}

    assert server.post("/", data=body, headers=headers).json() == {"text": words(10)}


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with length", "chunked"])
@pytest.mark.parametrize("how", ["raw", "json", "form"])
@pytest.mark.parametrize("excess", [1, 3_000_000])
def test_a_body_over_the_limit_is_refused(
    http: Callable[..., Http], how: str, is_chunked: bool, excess: int
) -> None:
    server = http(max_audio_bytes=LIMIT_BYTES, max_inline_bytes=LIMIT_BYTES)
    path = "/v1/audio/transcriptions" if how == "form" else "/"
    shapes: dict[str, Callable[[bytes], tuple[bytes, dict[str, str]]]] = {
        "raw": lambda audio: (audio, {}),
        "json": json_of,
        "form": form_of,
    }
    body, headers = shapes[how](bytes(LIMIT_BYTES + excess))
    data: Any = pieces_of(body) if is_chunked else body

    response = server.post(path, data=data, headers=headers)

    assert response.status_code == 413
    answer = response.json()
    assert "audio" in (answer["error"]["param"] if how == "form" else answer["field"])
    assert "limit" in str(answer["error"])
    assert server.model.encoded == []
    assert server.ask(TONE).json() == {"text": words(10)}  # the server goes on


@pytest.mark.parametrize("how", ["raw", "json", "form"])
def test_audio_over_the_limit_on_seconds_is_refused(http: Callable[..., Http], how: str) -> None:
    server = http(max_audio_s=0.5)
    calls: dict[str, Callable[[], requests.Response]] = {
        "raw": lambda: server.post("/", data=TONE),
        "json": lambda: server.ask(TONE),
        "form": lambda: server.upload(TONE),
    }

    assert calls[how]().status_code == 413


@pytest.mark.parametrize("how", ["raw", "form"])
def test_chunked_transfer_is_taken(server: Http, how: str) -> None:
    body, headers = (TONE, {}) if how == "raw" else form_of(TONE, vad="off")
    path = "/" if how == "raw" else "/v1/audio/transcriptions"

    response = server.post(path, data=pieces_of(body), headers=headers)

    assert response.status_code == 200


def mp4_with_its_index_at_the_end() -> bytes:
    audio = encode_audio(chunk_tones([10]), "mp4", "aac", bit_rate=64_000)
    assert audio.index(b"moov") > audio.index(b"mdat")
    return audio


@pytest.mark.parametrize("how", ["raw", "json", "form"])
def test_an_mp4_with_its_index_at_the_end_is_read(server: Http, how: str) -> None:
    audio = mp4_with_its_index_at_the_end()
    path = "/v1/audio/transcriptions" if how == "form" else "/"
    body, headers = {"raw": (audio, {}), "json": json_of(audio), "form": form_of(audio, vad="off")}[
        how
    ]

    response = server.post(path, data=pieces_of(body), headers=headers)

    assert response.status_code == 200
    if how != "raw":  # whose VAD finds no speech in a tone
        assert response.json()["text"] == words(10)


@pytest.mark.parametrize("how", ["raw", "form"])
def test_a_body_that_is_spooled_to_disk_is_read(
    demo: Any, sample_text: str, sample: bytes, how: str
) -> None:
    audio = large_wav_of(sample)
    if how == "raw":
        response = requests.post(demo.http_address, data=pieces_of(audio))
    else:
        body, headers = form_of(audio)
        response = requests.post(
            f"{demo.http_address}/v1/audio/transcriptions", data=pieces_of(body), headers=headers
        )

    assert response.json()["text"] == sample_text


def large_wav_of(sample: bytes) -> bytes:
    """Return the sample with a rate and channels that make it larger than `SPOOL_BYTES`."""
    import av

    with av.open(io.BytesIO(sample), "r") as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    scaled = (samples / 32_768).astype(np.float32)
    audio = encode_audio(scaled, "wav", "pcm_f64le", rate=96_000, channels=2)
    assert len(audio) > SPOOL_BYTES + SAMPLE_RATE
    return audio
