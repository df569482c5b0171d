"""Threads that die of an error: once, and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fakes import PATIENCE_S, FakeModel, loaded, small_config, tones_file, words
from faulty_server import KILLS_THE_THREAD, FaultyModel, ThreadKilled
from pending import new_request, outcome, text
from served import Refusal, Serve
from talkmill.engine import (
    Engine,
    EngineFailed,
    ModelError,
    NotReady,
    State,
    TranscribeOptions,
    VadMode,
)
from talkmill.engine.audio.preparation import Preparation, Prepared
from talkmill.engine.scheduling.queue import ChunkQueue
from talkmill.engine.scheduling.supervision import _CHECKS, Crew, Hand, _Watched
from talkmill.proto import transcription_pb2 as pb
from waiting import wait_until

from .conftest import StartFaulty

Code = grpc.StatusCode
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
EXACT = pb.GenerationParameters(num_beams=2, num_beam_groups=2)
OFF = TranscribeOptions(vad=VadMode.OFF)


@pytest.fixture
def model() -> FakeModel:
    return FaultyModel()


@pytest.fixture
def deadly_preparation(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the next steps of preparation kill their thread."""
    left = 0

    class Deadly(Preparation):
        def __next__(self) -> Prepared | None:
            nonlocal left
            if left:
                left -= 1
                raise ThreadKilled
            return super().__next__()

    def arm(times: int) -> None:
        nonlocal left
        left = times

    monkeypatch.setattr("talkmill.engine.scheduling.pipeline.Preparation", Deadly)
    return arm


def test_a_worker_that_dies_fails_what_it_held_and_starts_again(serve: Serve) -> None:
    served = serve()

    assert served.unary(tones_file(KILLS_THE_THREAD)).refusal() == Refusal(Code.INTERNAL)
    assert served.unary(tones_file(10)).answer().text == words(10)
    assert served.health() == SERVING
    assert served.background.server.engine.num_thread_restarts == 1


def test_a_worker_that_dies_again_ends_the_server(faulty: StartFaulty) -> None:
    with faulty() as server:
        statuses = server.watch()
        assert next(statuses).status == SERVING

        assert server.call(KILLS_THE_THREAD).refusal().code == Code.INTERNAL
        assert server.call(10).answer().text == words(10)
        assert server.call(KILLS_THE_THREAD).refusal().code == Code.INTERNAL

        assert next(statuses).status == NOT_SERVING
        assert server.exit_code() == 1
        assert "died twice" in server.log.read_text()


def test_a_preparing_thread_that_dies_fails_its_request_and_starts_again(
    deadly_preparation: Callable[[int], None], serve: Serve
) -> None:
    served = serve()
    deadly_preparation(1)

    assert served.unary(tones_file(20)).refusal() == Refusal(Code.INTERNAL)
    assert served.unary(tones_file(10)).answer().text == words(10)
    assert served.background.server.engine.num_thread_restarts == 1


def test_a_preparing_thread_that_dies_again_fails_the_engine(
    deadly_preparation: Callable[[int], None], model: FakeModel
) -> None:
    failures: list[EngineFailed] = []
    with Engine(small_config(), model=loaded(model), on_failure=failures.append) as engine:
        deadly_preparation(2)

        errors = [outcome(engine.submit(tones_file(20), OFF)) for _ in range(2)]

        assert [type(error) for error in errors] == [ModelError, ModelError]
        wait_until(lambda: engine.state is State.FAILED)
        with pytest.raises(NotReady, match="died twice"):
            engine.submit(tones_file(10), OFF)
    assert len(failures) == 1


def test_chunks_beside_the_one_that_kills_their_worker_fail_too(model: FakeModel) -> None:
    with Engine(small_config(), model=loaded(model)) as engine:
        model.forget()
        model.hold()
        first = engine.submit(tones_file(10), OFF)
        model.wait_for_calls(1)
        batch = [engine.submit(tones_file(band), OFF) for band in (20, KILLS_THE_THREAD, 30)]
        wait_until(lambda: engine.num_waiting_chunks == len(batch))
        model.release()

        assert text(first) == words(10)
        assert [type(outcome(request)) for request in batch] == [ModelError] * 3
        assert text(engine.submit(tones_file(40), OFF)) == words(40)


@pytest.mark.parametrize(
    ("method", "options"),
    [("take", {}), ("take_between_steps", {"generation_parameters": EXACT})],
)
def test_a_queue_that_fails_leaves_no_caller_waiting(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str, options: dict[str, Any]
) -> None:
    served = serve()
    served.model.hold()
    first = served.unary(tones_file(10), **options)
    served.model.wait_for_calls(1)
    waiting = served.unary(tones_file(20))
    engine = served.background.server.engine
    wait_until(lambda: engine.num_waiting_chunks == 1)

    def fail(*_: object) -> None:
        raise ThreadKilled

    monkeypatch.setattr(ChunkQueue, method, fail)
    served.model.release()

    assert waiting.refusal() == Refusal(Code.UNAVAILABLE)
    if options:  # else it was answered before
        assert first.refusal() == Refusal(Code.UNAVAILABLE)
    assert engine.state is State.FAILED


def test_a_thread_that_hangs_is_stuck_only_after_every_check() -> None:
    hand = Hand()
    watched = _Watched(hand)
    assert not any(watched.is_stuck() for _ in range(2 * _CHECKS))  # it waits for work

    hand.hold(new_request())
    assert [watched.is_stuck() for _ in range(_CHECKS + 1)] == [False] * _CHECKS + [True]

    hand.step()
    assert not watched.is_stuck()


def test_a_crew_that_hangs_is_not_waited_for() -> None:
    released = threading.Event()
    crew = Crew(lambda error: None)
    crew.hire("hangs", lambda hand: assert_released(released))
    crew.start()

    assert not crew.join(0.01)
    released.set()
    assert crew.join(PATIENCE_S)


def assert_released(released: threading.Event) -> None:
    assert released.wait(PATIENCE_S)


def test_an_engine_whose_model_hangs_can_be_closed(model: FakeModel) -> None:
    engine = Engine(small_config(), model=loaded(model))
    engine.start()
    model.forget()
    model.hold()
    request = engine.submit(tones_file(10), OFF)
    model.wait_for_calls(1)

    assert not engine.close(drain_s=0.0, stop_s=0.01)
    assert isinstance(outcome(request), NotReady)
    model.release()
