"""Both lanes through the real engine and the demo model: own words, whatever shares the batch."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S, FakeModel, loaded, small_config, tones_file
from talkmill.engine import (
    Cancelled,
    Engine,
    GenerationParameters,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from talkmill.engine.audio.features import log_mel
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.hypothesis import Hypothesis
from talkmill.engine.decoding.plan import DecodePlan
from talkmill.engine.model.loading import LoadedModel
from talkmill.engine.types import Task

WINDOW_S = 4  # a short window of the encoder: what is said does not matter here
BATCH_SIZE = 6


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Six stretches of speech, 3 s each."""
    sound = decode_file(DEMO_FOLDER / "sample.flac")
    starts = range(0, BATCH_SIZE * 16_000, 16_000)
    return [encode_audio(sound[start : start + 48_000]) for start in starts]


def lane_config(**more: Any) -> Any:
    return small_config(max_batch_size=BATCH_SIZE, encoder_windows=(WINDOW_S,), **more)


@pytest.fixture(scope="module")
def by_itself(demo: LoadedModel) -> Iterator[Engine]:
    """An engine whose batches hold what waits already."""
    with Engine(lane_config(), model=demo) as engine:
        yield engine


@pytest.fixture(scope="module")
def in_company(demo: LoadedModel) -> Iterator[Engine]:
    """An engine that waits until a batch is full: until `BATCH_SIZE` requests are there."""
    with Engine(lane_config(max_batch_wait_ms=10_000), model=demo) as engine:
        yield engine


def options_of(**parameters: Any) -> TranscribeOptions:
    return TranscribeOptions(
        language="en", vad=VadMode.OFF, parameters=GenerationParameters(**parameters)
    )


def ask(engine: Engine, clip: bytes, **parameters: Any) -> str:
    return engine.submit(clip, options_of(**parameters)).future.result(PATIENCE_S).text


def ask_all(
    engine: Engine, clips: Sequence[bytes], parameters: Sequence[dict[str, Any]]
) -> list[Transcript]:
    requests = [
        engine.submit(io.BytesIO(clip), options_of(**given))
        for clip, given in zip(clips, parameters, strict=True)
    ]
    return [request.future.result(PATIENCE_S) for request in requests]


SEEDED = {"temperature": 2.0, "top_p": 0.95, "seed": 11, "max_new_tokens": 20}
COMPANY: list[dict[str, Any]] = [
    SEEDED,
    {"num_beams": 4, "early_stopping": "never", "max_new_tokens": 20},
    {"penalty_alpha": 0.5, "top_k": 6, "max_new_tokens": 7},
    {"num_beams": 4, "num_beam_groups": 2, "max_new_tokens": 12},
    {"min_new_tokens": 15, "max_new_tokens": 30},
    {"num_beams": 5, "max_new_tokens": 25},
]


def test_requests_of_every_kind_get_in_company_what_they_get_alone(
    by_itself: Engine, in_company: Engine, clips: list[bytes]
) -> None:
    alone = [ask(by_itself, clip, **given) for clip, given in zip(clips, COMPANY, strict=True)]
    together = ask_all(in_company, clips, COMPANY)
    assert [transcript.text for transcript in together] == alone
    assert {transcript.timings.mean_batch_size for transcript in together} == {BATCH_SIZE}
    assert len(set(alone)) == BATCH_SIZE, "answers that are alike prove nothing"


def test_the_same_seed_gives_the_same_words_whatever_shares_the_batch(
    by_itself: Engine, in_company: Engine, clips: list[bytes]
) -> None:
    alone = ask(by_itself, clips[0], **SEEDED)
    others = [{**SEEDED, "seed": seed} for seed in range(BATCH_SIZE - 1)]
    for place in (0, 3, 5):
        crowd = [*others[:place], SEEDED, *others[place:]]
        together = ask_all(in_company, [clips[0]] * BATCH_SIZE, crowd)
        assert together[place].text == alone
    assert len({transcript.text for transcript in together}) == BATCH_SIZE


@pytest.mark.parametrize(
    "parameters",
    [{"do_sample": True, "temperature": 3.0}, {"temperature": 3.0, "top_p": 0.99}],
    ids=["native", "exact"],
)
def test_without_a_seed_every_request_draws_anew(
    by_itself: Engine, clips: list[bytes], parameters: dict[str, Any]
) -> None:
    found = {ask(by_itself, clips[0], **parameters, max_new_tokens=20) for _ in range(4)}
    assert len(found) > 1


def test_native_and_exact_requests_side_by_side_get_their_own_words(
    by_itself: Engine, clips: list[bytes]
) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"min_new_tokens": 9},
        {"num_beams": 2},
        {"num_beams": 2, "patience": 1.0},
    ]
    crowd = [(clip, kind) for clip in clips for kind in kinds]
    alone = [ask(by_itself, clip, **kind) for clip, kind in crowd]
    together = ask_all(by_itself, [clip for clip, _ in crowd], [kind for _, kind in crowd])
    assert [transcript.text for transcript in together] == alone
    assert len(set(alone)) > len(clips)


def test_more_candidates_than_tokens_are_all_of_them(by_itself: Engine, clips: list[bytes]) -> None:
    assert ask(by_itself, clips[0], do_sample=True, top_k=100_000, max_new_tokens=5)


# Giving up.


class WatchingModel(FakeModel):
    """Waits for `may_look`, and then records whether each chunk is still wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.is_decoding = threading.Event()
        self.may_look = threading.Event()
        self.wanted: list[bool] = []

    def answer_exactly(
        self, encoded: NDArray[np.float32], tasks: Sequence[ExactTask]
    ) -> list[Hypothesis]:
        self.is_decoding.set()
        assert self.may_look.wait(PATIENCE_S)
        self.wanted += [task.is_wanted() for task in tasks]
        return super().answer_exactly(encoded, tasks)


def test_a_request_given_up_in_the_exact_lane_is_not_wanted_at_its_next_step() -> None:
    model = WatchingModel()
    with Engine(small_config(), model=loaded(model)) as engine:
        request = engine.submit(tones_file(10), options_of(min_new_tokens=3))
        assert model.is_decoding.wait(PATIENCE_S)
        request.cancel()
        model.may_look.set()
        with pytest.raises(Cancelled):
            request.future.result(PATIENCE_S)
        follower = engine.submit(tones_file(11), options_of(min_new_tokens=3))
        assert follower.future.result(PATIENCE_S).text == "heard 11"
    assert model.wanted == [False, True]


def test_a_real_chunk_given_up_stops_and_its_neighbour_goes_on(demo: LoadedModel) -> None:
    replica = demo.replicas[0]
    sound = decode_file(DEMO_FOLDER / "sample.flac")[:48_000]
    encoded = replica.encode([log_mel(sound, 80)[:, : WINDOW_S * 100]] * 2, WINDOW_S * 50)
    prompt = demo.tokenizer.prompt("en", Task.TRANSCRIBE, False)
    plan = DecodePlan(is_exact=True, min_new_tokens=20, max_new_tokens=20)
    asked: list[None] = []

    def is_wanted() -> bool:
        asked.append(None)
        return len(asked) < 5

    tasks = [
        ExactTask(prompt, plan, 0, 0, is_wanted),
        ExactTask(prompt, plan, 0, 1, lambda: True),
    ]
    answers = replica.exact_lane(demo.vocabulary).run(encoded, tasks)
    assert answers[0].tokens == ()
    assert len(answers[1].tokens) == 20
    assert len(asked) == 5, "asked before each step, and no more once it is not wanted"
