from __future__ import annotations

import itertools
from collections import Counter

import pytest

from pending import heard, new_request
from talkmill.engine import (
    Cancelled,
    Channels,
    DeadlineExceeded,
    EncoderWindow,
    InvalidAudio,
    ModelError,
    Request,
    Segment,
    TranscribeOptions,
    VadMode,
)
from talkmill.engine.audio.preparation import AudioReport
from talkmill.engine.scheduling.chunk_cost import ChunkCost

FITTED, FULL = EncoderWindow.FITTED, EncoderWindow.FULL
COST = ChunkCost(queue_s=1.0, encode_s=2.0, generate_s=3.0, batch_size=4)


def segment(index: int) -> Segment:
    return Segment(f" {index}", float(index), index + 1.0)


def send(request: Request, count: int) -> None:
    for _ in range(count):
        request.chunk_sent()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_segments_come_in_order_whatever_the_order_of_completion(order: tuple[int, ...]) -> None:
    reported: list[Segment] = []
    request = new_request(on_segment=reported.append)
    send(request, 4)
    request.audio_done(AudioReport())
    for index in order:
        request.chunk_done(index, [segment(index)], COST)
    assert reported == [segment(index) for index in range(4)]
    transcript = request.future.result(0)
    assert transcript.segments == tuple(reported)
    assert transcript.text == "0 1 2 3"


def test_segment_is_given_out_as_soon_as_those_before_it_are_done() -> None:
    reported: list[Segment] = []
    request = new_request(on_segment=reported.append)
    send(request, 3)
    request.chunk_done(1, [segment(1)], COST)
    assert reported == []
    request.chunk_done(0, [segment(0)], COST)
    assert reported == [segment(0), segment(1)]
    assert not request.is_done


def test_chunk_without_segments_holds_nothing_up() -> None:
    reported: list[Segment] = []
    request = new_request(on_segment=reported.append)
    send(request, 2)
    request.chunk_done(0, [], COST)
    request.chunk_done(1, [segment(1)], COST)
    assert reported == [segment(1)]


def test_answer_waits_for_the_end_of_the_audio() -> None:
    request = new_request()
    send(request, 1)
    request.chunk_done(0, [segment(0)], COST)
    assert not request.is_done
    request.audio_done(AudioReport(num_samples=32_000, speech_of=Counter({0: 16_000})))
    transcript = request.future.result(0)
    assert (transcript.duration_s, transcript.speech_s) == (2.0, 1.0)


def test_audio_without_speech_has_an_empty_answer() -> None:
    request = new_request(language=None)
    request.audio_done(AudioReport(num_samples=16_000))
    transcript = request.future.result(0)
    assert (transcript.text, transcript.segments, transcript.language) == ("", (), "")
    assert transcript.language_probability == 0.0


def test_costs_of_its_chunks_add_up() -> None:
    request = new_request(warnings=("first",))
    send(request, 2)
    request.chunk_done(0, [], COST)
    request.chunk_done(1, [], ChunkCost(5.0, 1.0, 1.0, 2))
    request.audio_done(AudioReport(decode_s=7.0, vad_s=8.0, features_s=9.0, warnings=["second"]))
    transcript = request.future.result(0)
    timings = transcript.timings
    assert (timings.queue_s, timings.encode_s, timings.generate_s) == (5.0, 3.0, 4.0)
    assert (timings.decode_s, timings.vad_s, timings.features_s) == (7.0, 8.0, 9.0)
    assert timings.mean_batch_size == 3.0
    assert transcript.warnings == ("first", "second")


def test_attempt_that_was_not_accepted_costs_and_counts_for_nothing_else() -> None:
    request = new_request()
    send(request, 1)
    request.chunk_repeated(COST)
    request.audio_done(AudioReport())
    assert not request.is_done
    request.chunk_done(0, [segment(0)], ChunkCost(0.5, 1.0, 1.0, 2))
    transcript = request.future.result(0)
    timings = transcript.timings
    assert (timings.queue_s, timings.encode_s, timings.generate_s) == (1.0, 3.0, 4.0)
    assert timings.mean_batch_size == 3.0
    assert transcript.segments == (segment(0),)


@pytest.mark.parametrize(
    ("num_written", "coverage", "warnings"),
    [
        ((80_000, 80_000), 1.0, ()),
        ((80_000, 90_000), 1.0, ()),  # a last word may be longer than was detected
        ((78_400, 78_400), 0.98, ()),
        ((80_000, 0), 0.5, ("coverage 0.50: 5.0 of 10.0 s of speech has no text",)),
        ((0, 0), 0.0, ("coverage 0.00: 10.0 of 10.0 s of speech has no text",)),
    ],
)
def test_coverage_is_the_share_of_the_speech_that_all_chunks_wrote(
    num_written: tuple[int, int], coverage: float, warnings: tuple[str, ...]
) -> None:
    request = new_request()
    send(request, 2)
    for index, num_samples in enumerate(num_written):
        request.chunk_done(index, [segment(index)], COST, num_written=num_samples)
    request.audio_done(AudioReport(num_samples=200_000, speech_of=Counter({0: 160_000})))
    transcript = request.future.result(0)
    assert transcript.coverage == pytest.approx(coverage)
    assert transcript.warnings == warnings


def test_coverage_of_split_channels_is_that_of_all_and_warnings_name_the_one() -> None:
    request = new_request(options=TranscribeOptions(channels=Channels.SPLIT))
    request.chunk_sent(start_s=0.0, channel=1)
    request.chunk_sent(start_s=1.0, channel=0)
    request.chunk_done(0, [segment(0)], COST, num_written=16_000)
    request.chunk_done(1, [segment(1)], COST, num_written=80_000)
    request.warn(1, ["at 1.00 s: the text is doubtful"])
    speech = Counter({0: 80_000, 1: 160_000})
    request.audio_done(AudioReport(num_samples=200_000, speech_of=speech))
    transcript = request.future.result(0)
    assert transcript.coverage == pytest.approx(0.4)
    assert (transcript.duration_s, transcript.speech_s) == (12.5, 15.0)
    assert transcript.warnings == (
        "channel 0: at 1.00 s: the text is doubtful",
        "channel 1: coverage 0.10: 9.0 of 10.0 s of speech has no text",
    )


def test_segments_of_split_channels_are_streamed_in_the_order_of_the_answer() -> None:
    reported: list[Segment] = []
    options = TranscribeOptions(channels=Channels.SPLIT)
    request = new_request(options=options, on_segment=reported.append)
    request.chunk_sent(start_s=0.0, channel=0)
    request.chunk_sent(start_s=1.0, channel=1)
    request.audio_done(AudioReport())
    request.chunk_done(0, [segment(0), segment(2)], COST)
    assert [(one.start_s, one.channel) for one in reported] == [(0.0, 0)]
    request.chunk_done(1, [segment(1)], COST)
    transcript = request.future.result(0)
    assert [(one.start_s, one.channel) for one in reported] == [(0.0, 0), (1.0, 1), (2.0, 0)]
    assert transcript.segments == tuple(reported)
    assert transcript.text == "0 1 2"


def test_audio_without_speech_is_covered() -> None:
    request = new_request()
    request.audio_done(AudioReport(num_samples=16_000))
    assert request.future.result(0).coverage == 1.0
    assert request.future.result(0).warnings == ()


def test_coverage_is_not_known_without_detection() -> None:
    request = new_request(options=TranscribeOptions(vad=VadMode.OFF))
    send(request, 1)
    request.chunk_done(0, [], COST)
    request.audio_done(AudioReport(num_samples=16_000, speech_of=Counter({0: 16_000})))
    assert request.future.result(0).coverage is None
    assert request.future.result(0).warnings == ()


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([FITTED, FITTED], FITTED),
        ([FITTED, FULL], FITTED),  # the second chunk is too long for a fitted one
        ([FULL, FITTED], FITTED),
        ([FULL, FULL], FULL),
        ([EncoderWindow.DECLARED], EncoderWindow.DECLARED),
    ],
)
def test_windows_of_an_answer_are_full_only_if_all_are(
    kinds: list[EncoderWindow], expected: EncoderWindow
) -> None:
    request = new_request()
    for kind in kinds:
        request.chunk_sent(kind)
    for index in range(len(kinds)):
        request.chunk_done(index, [], COST)
    request.audio_done(AudioReport())
    assert request.future.result(0).encoder_window is expected


def test_given_language_is_certain() -> None:
    request = new_request(language="de")
    request.audio_done(AudioReport())
    assert request.future.result(0).language_probability == 1.0


def test_detected_language_is_in_the_answer() -> None:
    request = new_request(language=None)
    request.hear(heard(("de", 0.75), ("nl", 0.2), ("en", 0.04), ("sv", 0.01), ("da", 0.0)))
    request.audio_done(AudioReport())
    transcript = request.future.result(0)
    assert (transcript.language, transcript.language_probability) == ("de", 0.75)
    assert transcript.other_languages == (("nl", 0.2), ("en", 0.04), ("sv", 0.01))


def test_only_the_first_chunk_is_wanted_while_the_language_is_unknown() -> None:
    request = new_request(language=None)
    assert request.wants_chunks(8)
    request.chunk_sent()
    assert not request.wants_chunks(8)
    request.hear(heard(("en", 1.0)))
    assert request.wants_chunks(8)


def test_no_more_chunks_are_wanted_than_may_wait() -> None:
    request = new_request()
    send(request, 3)
    assert request.wants_chunks(4)
    send(request, 1)
    assert not request.wants_chunks(4)
    request.chunk_done(2, [], COST)
    assert request.wants_chunks(4)


@pytest.mark.parametrize(("now_s", "is_late"), [(9.9, False), (10.0, True), (11.0, True)])
def test_request_expires_at_its_deadline(now_s: float, is_late: bool) -> None:
    request = new_request(language=None, deadline_s=10.0)
    assert request.expire(now_s) is is_late
    assert request.is_done is is_late
    if is_late:
        assert isinstance(request.future.exception(0), DeadlineExceeded)


def test_request_without_deadline_never_expires() -> None:
    assert not new_request(language=None).expire(1e12)


def test_first_outcome_stays() -> None:
    request = new_request()
    request.fail(InvalidAudio("first"))
    request.fail(ModelError("second"))
    request.cancel()
    request.audio_done(AudioReport())
    assert isinstance(request.future.exception(0), InvalidAudio)


def test_cancelled_request_reports_no_more_segments() -> None:
    reported: list[Segment] = []
    request = new_request(on_segment=reported.append)
    send(request, 1)
    request.cancel()
    request.chunk_done(0, [segment(0)], COST)
    request.audio_done(AudioReport())
    assert reported == []
    assert isinstance(request.future.exception(0), Cancelled)


def test_cancelled_future_gives_the_request_up() -> None:
    request = new_request()
    assert request.future.cancel()
    assert request.expire(0.0)
    send(request, 1)
    request.chunk_done(0, [segment(0)], COST)
    request.audio_done(AudioReport())
    assert request.future.cancelled()


def test_every_request_has_its_own_id() -> None:
    assert len({new_request(language=None).id for _ in range(10)}) == 10
