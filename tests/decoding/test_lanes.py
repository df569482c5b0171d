"""Both lanes through the real engine and the demo model: own words, whatever shares the batch."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER, PATIENCE_S, FakeModel, loaded, small_config, tones_file
from talkmill.engine import (
    Cancelled,
    Engine,
    GenerationParameters,
    InvalidOption,
    Request,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from talkmill.engine.audio.features import log_mel
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.model.loading import LoadedModel, load_model
from talkmill.engine.options import check_options
from talkmill.engine.scheduling.batcher import MAX_EXACT_ROWS, Batcher, BatchKey, PendingChunk
from talkmill.engine.types import Span, Task

WINDOW_S = 4  # a short window of the encoder: what is said does not matter here
BATCH_SIZE = 6


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Six stretches of speech, 3 s each."""
    sound = decode_file(DEMO_FOLDER / "sample.flac")
    starts = range(0, BATCH_SIZE * 16_000, 16_000)
    return [encode_audio(sound[start : start + 48_000]) for start in starts]


@pytest.fixture(scope="module")
def demo() -> LoadedModel:
    config = small_config()
    return load_model(config)


def lane_config(**more: Any) -> Any:
    return small_config(max_batch_size=BATCH_SIZE, encoder_windows_s=(WINDOW_S,), **more)


@pytest.fixture(scope="module")
def by_itself(demo: LoadedModel) -> Iterator[Engine]:
    """An engine that takes what is there."""
    with Engine(lane_config(), model=demo) as engine:
        yield engine


@pytest.fixture(scope="module")
def in_company(demo: LoadedModel) -> Iterator[Engine]:
    """An engine that waits until a batch is full: it is as soon as its last request is there."""
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
    {"temperature": 1.5, "seed": 2**64 - 1, "max_new_tokens": 25},
]


def test_requests_of_every_kind_get_in_company_what_they_get_alone(
    by_itself: Engine, in_company: Engine, clips: list[bytes]
) -> None:
    alone = [ask(by_itself, clip, **given) for clip, given in zip(clips, COMPANY, strict=True)]
    together = ask_all(in_company, clips, COMPANY)
    assert [transcript.text for transcript in together] == alone
    assert {transcript.timings.mean_batch_size for transcript in together} == {BATCH_SIZE}
    assert len(set(alone)) == BATCH_SIZE, "answers that are alike prove nothing"


def test_the_same_seed_gives_the_same_words_whoever_else_draws(
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
    kinds: list[dict[str, Any]] = [{}, {"min_new_tokens": 9}, {"num_beams": 2}]
    crowd = [(clip, kind) for clip in clips for kind in kinds]
    alone = [ask(by_itself, clip, **kind) for clip, kind in crowd]
    together = ask_all(by_itself, [clip for clip, _ in crowd], [kind for _, kind in crowd])
    assert [transcript.text for transcript in together] == alone
    assert len(set(alone)) > len(clips)


def test_more_candidates_than_tokens_are_all_of_them(by_itself: Engine, clips: list[bytes]) -> None:
    assert ask(by_itself, clips[0], do_sample=True, top_k=100_000, max_new_tokens=5)


# Any combination of valid values, on one chunk whose encoder's output is at hand.

SMALL = {
    "max_length": st.integers(5, 30),
    "max_new_tokens": st.integers(1, 14),
    "min_length": st.integers(0, 16),
    "min_new_tokens": st.integers(0, 12),
    "num_beams": st.integers(1, 6),
    "num_beam_groups": st.integers(1, 3),
    "top_k": st.integers(0, 12) | st.just(100_000),
}
SAMPLERS = {
    "temperature": st.floats(0, 100, width=32),
    "top_p": st.floats(0, 1, width=32),
    "typical_p": st.floats(0, 1, exclude_min=True, width=32),
    "epsilon_cutoff": st.floats(0, 1, exclude_max=True, width=32),
    "eta_cutoff": st.floats(0, 1, exclude_max=True, width=32),
    "do_sample": st.booleans(),
    "seed": st.integers(0, 2**64 - 1),
}
OTHERS = {
    "early_stopping": st.sampled_from([True, False, "never"]),
    "penalty_alpha": st.floats(0, 1, width=32),
    "use_cache": st.booleans(),
    "length_penalty": st.floats(-10, 10, width=32),
    "diversity_penalty": st.floats(0, 100, exclude_min=True, width=32),
    "patience": st.floats(0, 10, exclude_min=True, width=32),
    "repetition_penalty": st.floats(0.015625, 100, width=32),
    "no_repeat_ngram_size": st.integers(0, 6),
    "suppress_tokens": st.lists(st.integers(0, 2533), max_size=4).map(tuple),
}
VALID = st.fixed_dictionaries({}, optional=SMALL | SAMPLERS | OTHERS)


@pytest.fixture(scope="module")
def run(demo: LoadedModel) -> Callable[[TranscribeOptions], tuple[DecodePlan, list[int]]]:
    """Checks options as the engine does, and decodes one chunk in the lane that they ask for."""
    replica = demo.replicas[0]
    sound = decode_file(DEMO_FOLDER / "sample.flac")[:48_000]
    encoded = replica.encode(np.ascontiguousarray(log_mel(sound, 80)[None, :, : WINDOW_S * 100]))

    def decode(options: TranscribeOptions) -> tuple[DecodePlan, list[int]]:
        plan = check_options(demo, options, "").plan
        prompt = demo.tokenizer.prompt("en", Task.TRANSCRIBE, options.timestamps)
        if not plan.is_exact:
            return plan, replica.generate(encoded, [prompt], plan)[0]
        task = ExactTask(prompt, plan, plan.seed or 0, 0, lambda: True)
        return plan, replica.exact_lane(demo.vocabulary).run(encoded, [task])[0]

    return decode


@given(given=VALID, timestamps=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_valid_values_give_an_answer_within_their_limits_or_are_refused(
    run: Callable[[TranscribeOptions], tuple[DecodePlan, list[int]]],
    given: dict[str, Any],
    timestamps: bool,
) -> None:
    limits = {"max_new_tokens": 14} if not {"max_length", "max_new_tokens"} & given.keys() else {}
    options = TranscribeOptions(
        language="en", timestamps=timestamps, parameters=GenerationParameters(**given, **limits)
    )
    try:
        plan, answer = run(options)
    except InvalidOption as refusal:
        if refusal.field not in given:
            pytest.fail(f"{refusal.field} was not given: {refusal}")
        return
    assert plan.min_new_tokens <= len(answer) <= plan.max_new_tokens
    assert not set(answer) & set(plan.suppress_tokens)
    if plan.strategy is not Strategy.SAMPLE or plan.seed is not None:
        assert run(options)[1] == answer


@pytest.mark.parametrize("count", [1, 3, 14])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"do_sample": True, "seed": 1},
        {"num_beams": 3, "early_stopping": True},
        {"num_beams": 4, "num_beam_groups": 2},
        {"penalty_alpha": 0.6, "top_k": 4},
    ],
    ids=str,
)
def test_an_answer_of_a_given_length_has_that_length(
    run: Callable[[TranscribeOptions], tuple[DecodePlan, list[int]]],
    given: dict[str, Any],
    count: int,
) -> None:
    parameters = GenerationParameters(**given, min_new_tokens=count, max_new_tokens=count)
    _, answer = run(TranscribeOptions(language="en", parameters=parameters))
    assert len(answer) == count


# Taking turns.


def chunk(plan: DecodePlan, prompt_length: int = 4) -> PendingChunk:
    request = Request(TranscribeOptions(), plan=plan, language="en")
    key = BatchKey.of(plan, prompt_length)
    return PendingChunk(request, 0, (Span(0, 1),), np.zeros((1, 1), np.float32), key, 0.0)


def rows_of(batch: Sequence[PendingChunk]) -> int:
    return sum(item.request.plan.num_rows for item in batch)


def beams(num_beams: int, **changes: Any) -> DecodePlan:
    return DecodePlan(strategy=Strategy.BEAM, is_exact=True, num_beams=num_beams, **changes)


def all_batches(batcher: Batcher) -> list[list[PendingChunk]]:
    found = []
    while batch := batcher.next_batch(0.0):
        found.append(batch)
    return found


def test_exact_chunks_share_a_batch_whatever_their_plans_and_prompts() -> None:
    batcher = Batcher(8, 8)
    items = [chunk(beams(4)), chunk(beams(2, early_stopping=True), 90), chunk(beams(3))]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items]


def test_exact_and_native_chunks_never_share_a_batch() -> None:
    batcher = Batcher(8, 8)
    items = [chunk(beams(2)) if i % 2 else chunk(DecodePlan()) for i in range(6)]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items[::2], items[1::2]]


def test_native_chunks_are_not_counted_in_rows() -> None:
    batcher = Batcher(8, 8, max_exact_rows=8)
    plan = DecodePlan(strategy=Strategy.BEAM, num_beams=5)
    for _ in range(8):
        batcher.put(chunk(plan))
    assert [len(batch) for batch in all_batches(batcher)] == [8]


def test_a_chunk_with_more_rows_than_a_batch_may_have_goes_alone() -> None:
    batcher = Batcher(8, 8, max_exact_rows=8)
    items = [chunk(beams(2)), chunk(beams(16)), chunk(beams(2)), chunk(beams(6))]
    for item in items:
        batcher.put(item)
    assert all_batches(batcher) == [items[:1], items[1:2], items[2:]]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_batch_of_exact_chunks_never_has_more_rows_than_the_cap(widths: list[int]) -> None:
    batcher = Batcher(32, 32)
    items = [chunk(beams(width)) for width in widths]
    for item in items:
        batcher.put(item)
    batches = all_batches(batcher)
    assert all(rows_of(batch) <= MAX_EXACT_ROWS for batch in batches)
    assert [item for batch in batches for item in batch] == items
    for batch, following in pairwise(batches):
        is_full = len(batch) == 32 or rows_of([*batch, following[0]]) > MAX_EXACT_ROWS
        assert is_full, "a chunk was left for the next batch that this one had room for"


# Giving up.


class WatchingModel(FakeModel):
    """Asks, once let go, whether each chunk is wanted still; that is its answer's worth."""

    def __init__(self) -> None:
        super().__init__()
        self.is_decoding = threading.Event()
        self.may_look = threading.Event()
        self.wanted: list[bool] = []

    def answer_exactly(
        self, encoded: NDArray[np.float32], tasks: Sequence[ExactTask]
    ) -> list[list[int]]:
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
    features = np.stack([log_mel(sound, 80)[:, : WINDOW_S * 100]] * 2)
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
    answers = replica.exact_lane(demo.vocabulary).run(replica.encode(features), tasks)
    assert answers[0] == []
    assert len(answers[1]) == 20
    assert len(asked) == 5, "asked before each step, and no more once it is not wanted"
