"""Many calls at once: each has its own answer or failure, the limit, and calls given up."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from fakes import PATIENCE_S, FakeModel, loaded, tones_file, words
from served import Call, ModelThatCounts, ModelThatWaits, Send, Serve, Served
from talkmill.engine import LoadedModel, Overloaded, Request, TranscribeOptions, VadMode
from talkmill.proto import transcription_pb2 as pb

Code = grpc.StatusCode


def test_two_clients_share_a_batch_and_each_gets_its_own_words(serve: Serve) -> None:
    served = serve(max_batch_size=2, max_batch_wait_ms=10_000)

    calls = [served.unary(tones_file(10)), served.stream(tones_file(20))]
    answers = [call.answer() for call in calls]

    assert [answer.text for answer in answers] == [words(10), words(20)]
    assert [answer.timings.mean_batch_size for answer in answers] == [2.0, 2.0]
    assert [sorted(batch.bands) for batch in served.model.generated] == [[10, 20]]


def test_64_clients_at_once_each_get_their_own_words(
    serve: Serve, counting_model: ModelThatCounts
) -> None:
    served = serve(counting_model, max_batch_size=16, max_batch_wait_ms=500, prepare_threads=2)
    said = [[5 + client, 70, 71][: 3 if client % 8 == 0 else 1] for client in range(64)]
    files = [tones_file(*bands) for bands in said]
    sends = [served.unary, served.stream]

    served.model.hold()
    calls = [sends[client % 2](file) for client, file in enumerate(files)]
    counting_model.wait_for_requests(64)
    served.model.release()
    answers = [call.answer() for call in calls]

    assert [answer.text for answer in answers] == [" ".join(map(words, bands)) for bands in said]
    stats = served.background.server.engine.stats
    assert stats.num_chunks == sum(map(len, said))
    assert stats.mean_batch_size > 1


def test_a_poisoned_request_fails_alone(serve: Serve, send: Send) -> None:
    served = serve(max_batch_size=4, max_batch_wait_ms=10_000)
    served.model.poisoned = frozenset({13})

    calls = [send(served, tones_file(band)) for band in (11, 12, 13, 14)]

    assert calls[2].refusal() == (Code.INTERNAL, None)
    assert "poisoned" not in calls[2].details()
    others = [calls[index].answer().text for index in (0, 1, 3)]
    assert others == [words(11), words(12), words(14)]


class ModelWithABug(LoadedModel):
    def check_language(self, language: str | None) -> str | None:
        raise KeyError("/secret/path")


def test_a_bug_is_internal_and_its_message_is_hidden(
    serve: Serve, send: Send, model: FakeModel
) -> None:
    served = serve(ModelWithABug(**vars(loaded(model))))

    call = send(served, tones_file(10))

    assert call.refusal() == (Code.INTERNAL, None)
    assert "secret" not in call.details()


def test_one_request_too_many_is_refused_and_later_taken(serve: Serve, send: Send) -> None:
    served = serve(max_requests=1)
    served.model.hold()
    first = send(served, tones_file(10))
    served.model.wait_for_calls(1)

    assert send(served, tones_file(20)).refusal() == (Code.RESOURCE_EXHAUSTED, None)
    served.model.release()
    assert first.answer().text == words(10)
    assert send(served, tones_file(30)).answer().text == words(30)
    assert served.model.bands == [10, 30]


@pytest.mark.parametrize(
    ("timeout_s", "give_up", "code"),
    [
        pytest.param(0.5, lambda call: None, Code.DEADLINE_EXCEEDED, id="deadline"),
        pytest.param(None, lambda call: call.cancel(), Code.CANCELLED, id="cancel"),
    ],
)
def test_a_request_given_up_in_the_queue_never_reaches_the_model(
    serve: Serve,
    send: Send,
    counting_model: ModelThatCounts,
    timeout_s: float | None,
    give_up: Callable[[Call], None],
    code: Code,
) -> None:
    served = serve(counting_model, max_requests=2)
    served.model.hold()
    first = send(served, tones_file(10))
    served.model.wait_for_calls(1)
    second = send(served, tones_file(20), timeout_s=timeout_s)
    counting_model.wait_for_requests(2)

    give_up(second)

    assert second.refusal() == (code, None)
    third = submit_when_there_is_room(served, tones_file(30))
    served.model.release()
    assert first.answer().text == words(10)
    assert third.future.result(PATIENCE_S).text == words(30)
    assert served.model.bands == [10, 30]


def submit_when_there_is_room(served: Served, audio: bytes) -> Request:
    """Submit to the engine itself, once the server has noticed that a client cancelled."""
    engine = served.background.server.engine
    while True:
        try:
            return engine.submit(audio, TranscribeOptions(vad=VadMode.OFF))
        except Overloaded:
            served.health()  # lets the server's event loop run


def test_a_stream_given_up_halfway_sends_nothing_more_to_the_model(serve: Serve) -> None:
    model = ModelThatWaits(20)
    served = serve(loaded(model), max_requests=1, max_batch_size=1)
    options = pb.TranscribeOptions(vad=pb.VAD_MODE_OFF)
    messages = [
        pb.TranscribeStreamRequest(config=pb.TranscribeStreamConfig(options=options)),
        pb.TranscribeStreamRequest(audio=tones_file(10, 20, 30, 40)),
    ]

    responses = served.stub.TranscribeStream(iter(messages))
    assert next(responses).segment.text.strip() == words(10)
    responses.cancel()
    after = submit_when_there_is_room(served, tones_file(50))
    model.may_go_on.set()

    assert after.future.result(PATIENCE_S).text == words(50)
    assert not {30, 40} & set(model.bands)
