"""Starting and closing an engine, with requests in progress."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from fakes import N_MELS, PATIENCE_S, FakeModel, loaded, small_config, tones_file, words
from pending import outcome, text
from talkmill.engine import Engine, NotReady, Request, State, TranscribeOptions, VadMode
from talkmill.engine.model.tokenizer import WhisperTokenizer

OFF = TranscribeOptions(vad=VadMode.OFF)
TONE = tones_file(40)


class TestClosing:
    def test_what_was_taken_is_finished(self, model: FakeModel) -> None:
        with Engine(small_config(), model=loaded(model)) as engine:
            model.forget()
            model.hold()
            requests = [engine.submit(tones_file(band, band), OFF) for band in (10, 20, 30)]
            model.wait_for_calls(1)
            closer = threading.Thread(target=engine.close)
            closer.start()
            while engine.state is State.READY:
                closer.join(0.001)
            with pytest.raises(NotReady):
                engine.submit(TONE)
            model.release()
            closer.join(PATIENCE_S)
            assert [text(request) for request in requests] == [
                f"{words(band)} {words(band)}" for band in (10, 20, 30)
            ]

    def test_what_is_not_finished_in_time_fails(self, model: FakeModel) -> None:
        engine = Engine(small_config(), model=loaded(model))
        engine.start()
        model.forget()
        model.hold()
        sources = [io.BytesIO(tones_file(10, 20)) for _ in range(3)]
        requests = [engine.submit(source, OFF) for source in sources]
        model.wait_for_calls(1)
        requests[0].future.add_done_callback(lambda _: model.release())
        engine.close(drain_s=0.0)
        assert all(isinstance(outcome(request), NotReady) for request in requests)
        assert all(source.closed for source in sources)

    def test_no_thread_is_left(self, model: FakeModel) -> None:
        before = set(threading.enumerate())
        with Engine(small_config(), model=loaded(model)) as engine:
            engine.transcribe(TONE, OFF)
        assert set(threading.enumerate()) <= before

    def test_every_request_of_a_race_with_closing_has_an_outcome(self, model: FakeModel) -> None:
        engine = Engine(small_config(), model=loaded(model))
        engine.start()
        requests: list[Request] = []
        sources: list[io.BytesIO] = []

        def submit() -> None:
            while True:
                sources.append(io.BytesIO(TONE))
                try:
                    requests.append(engine.submit(sources[-1], OFF))
                except NotReady:
                    return
                outcome(requests[-1])

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        model.wait_for_calls(3)
        engine.close(drain_s=0.0)
        for thread in threads:
            thread.join(PATIENCE_S)
        for request in requests:
            assert isinstance(outcome(request), NotReady | None)
        assert all(source.closed for source in sources)


class Interrupted(io.BytesIO):
    """Lets a test act between the engine's first look at a request and its admission."""

    def __init__(self, content: bytes, act: Callable[[], object]) -> None:
        super().__init__(content)
        self._act = act

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == io.SEEK_END:
            self._act()
        return super().seek(offset, whence)


def test_request_that_meets_closing_half_way_is_refused(model: FakeModel) -> None:
    engine = Engine(small_config(), model=loaded(model))
    engine.start()
    source = Interrupted(TONE, engine.close)
    with pytest.raises(NotReady):
        engine.submit(source, OFF)
    assert source.closed


def test_failed_start_raises_and_leaves_the_engine_unready(tokenizer: WhisperTokenizer) -> None:
    model = FakeModel(tokenizer)
    model.poisoned = frozenset(range(N_MELS))  # whatever it hears in the warm-up
    engine = Engine(small_config(), model=loaded(model))
    with pytest.raises(RuntimeError):
        engine.start()
    assert engine.state is not State.READY


def test_every_replica_is_warmed_up_and_works(tokenizer: WhisperTokenizer) -> None:
    replicas = [FakeModel(tokenizer), FakeModel(tokenizer)]
    with Engine(small_config(), model=loaded(*replicas)) as engine:
        assert [len(replica.generated) for replica in replicas] == [1, 1]
        for replica in replicas:
            replica.forget()
            replica.hold()
        requests = [engine.submit(tones_file(band, band), OFF) for band in (10, 20, 30)]
        for replica in replicas:
            replica.wait_for_calls(1)
            replica.release()
        assert [text(request) for request in requests] == [
            f"{words(band)} {words(band)}" for band in (10, 20, 30)
        ]
