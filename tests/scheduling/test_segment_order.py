from __future__ import annotations

import itertools

import pytest

from talkmill.engine import Segment
from talkmill.engine.scheduling.segment_order import SegmentOrder

# Chunks by their start: its seconds, its channel, and the seconds in which its segments start.
CHUNKS = [(0.0, 0, [0.0, 4.0, 9.0]), (3.0, 1, [3.0, 5.0]), (9.0, 1, [9.0]), (20.0, 0, [20.0, 21.0])]
ORDER = [(0.0, 0), (3.0, 1), (4.0, 0), (5.0, 1), (9.0, 0), (9.0, 1), (20.0, 0), (21.0, 0)]


def segment(start_s: float, channel: int | None = None) -> Segment:
    return Segment(f" {start_s}", start_s, start_s + 1.0, channel=channel)


def order_of_chunks(*, is_split: bool = True) -> SegmentOrder:
    order = SegmentOrder(is_split=is_split)
    for start_s, channel, _ in CHUNKS:
        order.sent(start_s, channel)
    return order


def done(order: SegmentOrder, index: int) -> list[tuple[float, int | None]]:
    found = order.done(index, [segment(start_s) for start_s in CHUNKS[index][2]])
    return [(one.start_s, one.channel) for one in found]


@pytest.mark.parametrize("completion", list(itertools.permutations(range(4))))
def test_segments_of_split_channels_come_by_start_then_channel(completion: tuple[int, ...]) -> None:
    order = order_of_chunks()
    found = [place for index in completion for place in done(order, index)]
    found += [(one.start_s, one.channel) for one in order.rest()]
    assert found == ORDER


def test_a_segment_is_given_out_once_every_chunk_before_it_is_done() -> None:
    order = order_of_chunks()
    assert done(order, 1) == []
    assert done(order, 0) == [(0.0, 0), (3.0, 1), (4.0, 0), (5.0, 1), (9.0, 0)]
    assert done(order, 2) == [(9.0, 1)]
    assert done(order, 3) == []  # a chunk that was not sent yet may start as early
    assert [one.start_s for one in order.sent(21.0, 0)] == [20.0]
    assert [one.start_s for one in order.rest()] == [21.0]


def test_mixed_audio_waits_for_no_chunk_that_follows() -> None:
    order = order_of_chunks(is_split=False)
    assert done(order, 1) == []
    assert done(order, 0) == [(start_s, None) for start_s in (0.0, 4.0, 9.0, 3.0, 5.0)]
    assert order.rest() == []


def test_segments_that_start_together_keep_their_order() -> None:
    order = SegmentOrder(is_split=True)
    order.sent(0.0, 0)
    order.done(0, [Segment(" one", 0.0, 0.0), Segment(" two", 0.0, 1.0)])
    assert [one.text for one in order.rest()] == [" one", " two"]
