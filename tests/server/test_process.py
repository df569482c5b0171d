"""The server as a process of its own, and what a signal does to it."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S
from processes import SERVE, server_process
from talkmill.engine import TranscribeOptions, Transcript, VadMode
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.server import Client
from waiting import wait_until

NUM_CLIENTS = 4
NUM_CHUNKS = 3


@pytest.fixture(scope="module")
def long_audio() -> bytes:
    """The sample again and again: several chunks, each with words."""
    samples = decode_file(DEMO_FOLDER / "sample.flac")
    num_samples = int((NUM_CHUNKS - 0.5) * 30 * SAMPLE_RATE)
    return encode_audio(np.resize(samples, num_samples), "flac", "flac")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_an_idle_server_ends_it_with_code_0(tmp_path: Path, number: int) -> None:
    with server_process(tmp_path / "log") as (process, _):
        process.send_signal(number)

        assert process.wait(PATIENCE_S) == 0


def test_a_server_that_cannot_load_ends_with_code_1(tmp_path: Path) -> None:
    command = [*SERVE, "--model", str(tmp_path)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_sigterm_under_load_loses_nothing_that_was_accepted(
    tmp_path: Path, long_audio: bytes
) -> None:
    accepted = threading.Semaphore(0)
    options = TranscribeOptions(language="en", vad=VadMode.OFF)
    one_at_a_time = (
        "--workers-per-device",
        "1",
        "--max-batch-size",
        "1",
        "--encoder-windows",
        "30",
    )
    with (
        server_process(tmp_path / "log", *one_at_a_time) as (process, address),
        Client(address) as client,
        ThreadPoolExecutor(NUM_CLIENTS) as pool,
    ):

        def ask(_: int) -> tuple[Transcript, int]:
            segments: list[object] = []

            def on_segment(segment: object) -> None:
                segments.append(segment)
                if len(segments) == 1:
                    accepted.release()

            return client.transcribe(io.BytesIO(long_audio), options, on_segment=on_segment), len(
                segments
            )

        answers = [pool.submit(ask, number) for number in range(NUM_CLIENTS)]
        for _ in answers:
            assert accepted.acquire(timeout=2 * PATIENCE_S)
        process.send_signal(signal.SIGTERM)

        for answer in answers:
            transcript, num_segments = answer.result(2 * PATIENCE_S)
            assert transcript.duration_s == pytest.approx((NUM_CHUNKS - 0.5) * 30)
            assert num_segments == NUM_CHUNKS
        assert process.wait(PATIENCE_S) == 0
        with pytest.raises(grpc.RpcError) as caught:
            client.transcribe(io.BytesIO(long_audio), options)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_out_of_file_descriptors_the_log_stays_small_and_the_server_recovers(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with (
        server_process(log, "--http-port", "0") as (process, url),
        contextlib.ExitStack() as flood,
    ):
        assert requests.get(f"{url}/live", timeout=PATIENCE_S).status_code == 200
        limit = len(os.listdir(f"/proc/{process.pid}/fd")) + 12
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        host, _, port = url.removeprefix("http://").rpartition(":")
        for _ in range(50):
            flood.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
        wait_until(lambda: "out of system resource" in log.read_text())

        flood.close()

        assert requests.get(f"{url}/live", timeout=PATIENCE_S).status_code == 200
        assert log.stat().st_size < 50_000
