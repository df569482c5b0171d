"""Uploads that cannot be stored: the disk is full, read-only or gone."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes import PATIENCE_S, tones_file, words
from processes import SERVE, server_process
from served import Refusal, Serve, Served, stream_messages, wire_options
from talkmill.engine import NoSpace
from talkmill.proto import transcription_pb2 as pb
from talkmill.proto import transcription_pb2_grpc as pb_grpc
from talkmill.server.spool import SPOOL_BYTES, Spool, storing
from waiting import wait_until

Code = grpc.StatusCode
LARGE = bytes(SPOOL_BYTES + 1)
PIECE_BYTES = 2**20
MISSING = "the upload cannot be stored on the server: the folder is missing"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which is missing."""
    path = tmp_path / "missing"
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def raw(url: str) -> requests.Response:
    return requests.post(url, data=LARGE, timeout=PATIENCE_S)


def form(url: str) -> requests.Response:
    files = {"file": ("a.wav", LARGE)}
    return requests.post(f"{url}/v1/audio/transcriptions", files=files, timeout=PATIENCE_S)


def large_stream(stub: pb_grpc.TranscriptionStub) -> grpc.Call:
    def messages() -> Iterator[pb.TranscribeStreamRequest]:
        yield from stream_messages(b"", "", wire_options())
        for start in range(0, len(LARGE), PIECE_BYTES):
            yield pb.TranscribeStreamRequest(audio=LARGE[start : start + PIECE_BYTES])

    call: grpc.Call = stub.TranscribeStream(messages(), timeout=PATIENCE_S)
    return call


@pytest.mark.parametrize("send", [raw, form])
def test_an_http_upload_without_a_disk_is_refused_with_503_until_there_is_one(
    serve: Serve, folder: Path, send: Callable[[str], requests.Response]
) -> None:
    url = serve(http_port=0).background.http_address

    refused = send(url)
    folder.mkdir()
    accepted = send(url)

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert MISSING in refused.text
    assert str(folder) not in refused.text
    assert accepted.status_code == 400  # it is no audio


def test_a_grpc_upload_without_a_disk_is_unavailable_until_there_is_one(
    serve: Serve, folder: Path
) -> None:
    served = serve()

    refused = large_stream(served.stub)
    assert refused.code() == Code.UNAVAILABLE
    assert MISSING in (refused.details() or "")
    folder.mkdir()
    assert large_stream(served.stub).code() == Code.INVALID_ARGUMENT  # it is no audio


def test_a_small_upload_needs_no_disk(serve: Serve, folder: Path) -> None:
    served: Served = serve()

    assert served.stream(tones_file(10)).answer().text == words(10)
    assert served.unary(b"no audio").refusal() == Refusal(Code.INVALID_ARGUMENT, "audio")


def test_a_full_disk_refuses_large_uploads_and_leaks_nothing(tmp_path: Path) -> None:
    limited = ("bash", "-c", 'ulimit -f 1024 && exec "$@"', "bash", *SERVE)  # in KiB
    with (
        server_process(tmp_path / "log", command=limited, TMPDIR=str(tmp_path)) as (process, at),
        grpc.insecure_channel(at) as channel,
    ):
        stub = pb_grpc.TranscriptionStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        before = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        descriptors = Path(f"/proc/{process.pid}/fd")
        num_open = len(os.listdir(descriptors))

        refused = [large_stream(stub) for _ in range(3)]

        assert {call.code() for call in refused} == {Code.UNAVAILABLE}
        assert {"the system's limit" in (call.details() or "") for call in refused} == {True}
        wait_until(lambda: len(os.listdir(descriptors)) <= num_open)
        assert os.listdir(tmp_path) == ["log"]
        after = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        assert after.status == before.status == health_pb2.HealthCheckResponse.SERVING
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EMFILE, "no file descriptor left"),
        (errno.EIO, "the disk failed"),
    ],
)
def test_the_caller_learns_why_the_disk_refuses_but_no_path(number: int, cause: str) -> None:
    with pytest.raises(NoSpace, match=cause) as caught, storing():
        raise OSError(number, os.strerror(number), "/var/secret")

    assert "secret" not in str(caught.value)


def test_an_upload_whose_last_bytes_find_no_room_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full_disk(max_size: int) -> BinaryIO:
        return Path("/dev/full").open("wb")  # takes what its buffer holds

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", full_disk)
    with Spool() as spool:
        spool.write(b"audio")
        with pytest.raises(NoSpace, match="the disk is full"):
            spool.take()


def test_a_spool_that_is_not_taken_is_closed() -> None:
    with Spool() as spool:
        spool.write(b"audio")
        file = spool.take()
    assert file.tell() == 5
    file.close()

    with Spool() as left:
        left.write(b"audio")
    with pytest.raises(ValueError, match="closed"):
        left.write(b"more")
