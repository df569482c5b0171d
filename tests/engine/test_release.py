"""What an ended request leaves behind: nothing, and not only after the next garbage collection."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from collections.abc import Iterator

import pytest

from audio_files import encode_audio
from fakes import PATIENCE_S, FakeModel, loaded, small_config, tones_file
from talkmill.engine import Engine, TranscribeOptions
from talkmill.engine.audio.preparation import Preparation
from talkmill.engine.scheduling.request import Request
from talkmill.engine.types import Samples, VadMode
from waiting import wait_until

NO_VAD = TranscribeOptions(vad=VadMode.OFF)
TONE = 70  # not the loudest band of the recording that a failing model is tried on


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps what is logged, with its traceback
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Preparation]]:
    """References to every preparation that is made."""
    made: list[weakref.ref[Preparation]] = []
    original = Preparation.__init__

    def init(self: Preparation, *args: object, **options: object) -> None:
        made.append(weakref.ref(self))
        original(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Preparation, "__init__", init)
    return made


def end(request: Request) -> None:
    """Wait for the end of a request, whatever it is; raising would keep it in a traceback."""
    request.future.exception(PATIENCE_S)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["answered", "cancelled", "broken audio", "model fails", "cached"])
def test_ended_request_is_freed_at_once_with_its_decoder(
    how: str, model: FakeModel, prepared: list[weakref.ref[Preparation]]
) -> None:
    config = small_config(cache_bytes=2**20 if how == "cached" else 0)
    audio = b"no audio at all" if how == "broken audio" else tones_file(TONE, TONE)
    requests: list[weakref.ref[Request]] = []
    with Engine(config, model=loaded(model)) as engine:
        model.poisoned = frozenset({TONE} if how == "model fails" else ())
        if how in ("cancelled", "cached"):
            model.hold()
        for _ in range(20):
            request = engine.submit(audio, NO_VAD)
            requests.append(weakref.ref(request))
            if how == "cancelled":
                request.cancel()
            elif how != "cached":
                end(request)
            del request
        model.release()
        wait_until(lambda: not engine.num_requests)
        wait_until(lambda: all(one() is None for one in requests))
        wait_until(lambda: all(one() is None for one in prepared))
        assert len(prepared) == 20


def num_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("no_collector")
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads by /proc")
def test_cancelled_requests_leave_no_thread_and_no_file(
    engine: Engine, model: FakeModel, speech: Samples, tmp_path: os.PathLike[str]
) -> None:
    path = os.path.join(tmp_path, "speech.opus")
    with open(path, "wb") as file:
        file.write(encode_audio(speech, "ogg", "libopus"))

    def ask() -> Request:
        return engine.submit(open(path, "rb"), NO_VAD)

    end(ask())
    # FFmpeg's threads are not Python's.
    before = len(os.listdir("/proc/self/task")), num_open_files(), threading.active_count()
    model.hold()
    requests = [ask() for _ in range(50)]
    for request in requests:
        request.cancel()
    del request, requests
    model.release()
    wait_until(lambda: not engine.num_requests)
    wait_until(
        lambda: (
            (len(os.listdir("/proc/self/task")), num_open_files(), threading.active_count())
            <= before
        )
    )
