"""That the books of a soak miss nothing: no clock, server or socket takes part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from benchmarks.soaking.ledger import End, Ledger, Outcome, compare_counts, growth, judge
from benchmarks.soaking.plan import (
    ANSWERABLE,
    CASES,
    DOORS,
    OVERLOADED,
    SHARES,
    VARIANTS,
    Call,
    Kind,
    Plan,
)
from benchmarks.soaking.verdict import Verdict, series
from benchmarks.soaking.watch import Sample

TEXTS = {(0, "plain"): "one two", (1, "plain"): "three"}
PLAN = Plan(seed=3, rate_per_s=100, duration_s=20, num_short=5, num_long=2, shares=SHARES)


def entered(calls: Iterable[Call], outcomes: Iterable[Outcome]) -> Ledger:
    ledger = Ledger(TEXTS, {call.number: call for call in calls})
    ledger.enter(outcomes)
    ledger.close()
    return ledger


@pytest.mark.parametrize(
    ("call", "status", "text", "end"),
    [
        (Call(0), "OK", "one two", End.RIGHT_WORDS),
        (Call(0, door="openai"), "200", "one two", End.RIGHT_WORDS),
        (Call(0), "OK", "three", End.OTHERS_WORDS),
        (Call(0), "OK", "one to", End.WRONG_WORDS),
        (Call(0), "OK", "", End.WRONG_WORDS),
        (Call(0), "RESOURCE_EXHAUSTED", "", End.REFUSED),
        (Call(0, door="http raw"), "429", "", End.REFUSED),
        (Call(0), "INVALID_ARGUMENT", "", End.WRONG_STATUS),
        (Call(0), "CANCELLED", "", End.WRONG_STATUS),
        (Call(0, door="grpc stream"), "UNSEEN", "", End.REFUSED),
        (Call(0), "UNSEEN", "", End.WRONG_STATUS),
        (Call(0, door="http raw"), "500", "", End.WRONG_STATUS),
        (Call(0), "HUNG", "", End.NO_ANSWER),
        (Call(0, door="http raw"), "CLOSED", "", End.NO_ANSWER),
        (Call(0), "CUT", "", End.WRONG_STATUS),
        (Call(0, kind=Kind.CANCELLED), "CUT", "", End.CUT),
        (Call(0, kind=Kind.CANCELLED), "OK", "one two", End.RIGHT_WORDS),
        (Call(0, kind=Kind.CANCELLED), "OK", "three", End.OTHERS_WORDS),
        (Call(0, kind=Kind.DROPPED), "CUT", "", End.CUT),
        (Call(0, kind=Kind.DEADLINE), "DEADLINE_EXCEEDED", "", End.REFUSED),
        (Call(0), "DEADLINE_EXCEEDED", "", End.WRONG_STATUS),
        (Call(0, kind=Kind.SLOW), "OK", "one two", End.RIGHT_WORDS),
        (Call(0, kind=Kind.INVALID, case="noise"), "INVALID_ARGUMENT", "", End.REFUSED),
        (Call(0, kind=Kind.INVALID, case="noise"), "RESOURCE_EXHAUSTED", "", End.REFUSED),
        (Call(0, kind=Kind.INVALID, case="noise"), "OK", "", End.WRONG_STATUS),
        (Call(0, kind=Kind.INVALID, case="noise"), "UNKNOWN", "", End.WRONG_STATUS),
        (Call(0, kind=Kind.INVALID, case="token"), "OK", "one two", End.WRONG_STATUS),
        (Call(0, kind=Kind.HOSTILE, case="endless header"), "OK", "", End.RIGHT_WORDS),
        (Call(0, kind=Kind.HOSTILE, case="endless header"), "OK", "one two", End.OTHERS_WORDS),
        (Call(0, kind=Kind.HOSTILE, case="two lengths"), "200", "one two", End.RIGHT_WORDS),
        (Call(0, kind=Kind.HOSTILE, case="stalled"), "CUT", "", End.CUT),
        (Call(0, kind=Kind.HOSTILE, case="no http"), "CLOSED", "", End.REFUSED),
        (Call(0, kind=Kind.HOSTILE, case="prompt"), "HUNG", "", End.NO_ANSWER),
    ],
)
def test_a_call_ends_in_exactly_one_way(call: Call, status: str, text: str, end: End) -> None:
    assert judge(call, Outcome(0, status, text), TEXTS) is end


def test_a_call_without_an_outcome_is_a_fault_and_so_is_one_that_ends_twice() -> None:
    ledger = entered(
        [Call(0), Call(1)],
        [Outcome(0, "OK", "one two"), Outcome(0, "OK", "one two"), Outcome(9, "OK")],
    )

    assert len(ledger.faults) == 3
    assert ledger.faults[0] == "call 0 ended twice"
    assert ledger.faults[1] == "call 9 ended, but was never to be sent"
    assert ledger.faults[2].startswith("call 1 has no end")
    assert ledger.count() == {"valid": {"right words": 1, "lost": 1}}


def test_a_fault_says_how_to_find_the_call_again() -> None:
    call = Call(4, kind=Kind.INVALID, case="noise", door="openai")
    ledger = entered([call], [Outcome(4, "500", latency_s=1.5)])

    assert ledger.faults == [
        "call 4 (invalid noise, openai, clip 0, plain): wrong status: 500 after 1.50 s"
    ]


def test_accepted_work_is_what_was_sent_without_haste_and_got_its_words() -> None:
    calls = [Call(0), Call(1), Call(2, kind=Kind.SLOW), Call(3, kind=Kind.CANCELLED)]
    outcomes = [Outcome(number, "OK", "one two", latency_s=number) for number in (0, 2, 3)]
    ledger = entered(calls, [*outcomes, Outcome(1, "RESOURCE_EXHAUSTED")])

    assert [outcome.number for outcome in ledger.accepted()] == [0, 2]
    assert ledger.num_overloaded == 1


def test_counts_agree_where_the_server_counts_what_the_clients_saw() -> None:
    calls = [Call(0), Call(1, door="openai"), Call(2), Call(3, kind=Kind.CANCELLED)]
    outcomes = [Outcome(0, "OK", "one two"), Outcome(1, "422"), Outcome(2, "OK"), Outcome(3, "CUT")]
    ledger = entered(calls, outcomes)
    sure = {("grpc", "OK"): 2.0, ("http", "INVALID_ARGUMENT"): 1.0}

    assert compare_counts(ledger, sure) == []
    assert compare_counts(ledger, {**sure, ("grpc", "OK"): 3.0}) == []  # done before it was cut
    assert compare_counts(ledger, {**sure, ("grpc", "CANCELLED"): 1.0}) == []


@pytest.mark.parametrize(
    "counts",
    [
        {("grpc", "OK"): 1.0},  # one is missing
        {("grpc", "OK"): 3.0},  # one too many
        {("grpc", "OK"): 2.0, ("grpc", "CANCELLED"): 1.0},  # nobody cancelled
        {("grpc", "OK"): 2.0, ("http", "OK"): 1.0},  # nobody called
        {},
    ],
)
def test_counts_that_differ_are_a_fault(counts: dict[tuple[str, str], float]) -> None:
    ledger = entered([Call(0), Call(1)], [Outcome(0, "OK"), Outcome(1, "OK")])

    assert compare_counts(ledger, counts)


def test_a_failure_that_only_the_server_saw_is_a_fault() -> None:
    ledger = entered([Call(0, kind=Kind.CANCELLED)], [Outcome(0, "CUT")])

    assert compare_counts(ledger, {("grpc", "INTERNAL"): 1.0}) == [
        "the server counts 1 calls over grpc with INTERNAL"
    ]


def test_a_cut_call_is_not_counted_twice() -> None:
    ledger = entered([Call(0, kind=Kind.CANCELLED)], [Outcome(0, "CUT")])

    assert compare_counts(ledger, {("grpc", "CANCELLED"): 1.0, ("grpc", "OK"): 1.0})


def test_what_ends_before_it_is_a_call_may_be_counted() -> None:
    call = Call(0, kind=Kind.INVALID, case="token", door="grpc")
    ledger = entered([call], [Outcome(0, "UNAUTHENTICATED")])

    assert compare_counts(ledger, {}) == []
    assert compare_counts(ledger, {("grpc", "UNAUTHENTICATED"): 1.0}) == []
    assert compare_counts(ledger, {("grpc", "INTERNAL"): 1.0})


def test_growth_is_that_of_the_floor_after_warm_up() -> None:
    floor = [100.0 + 0.5 * minute for minute in range(11)]
    samples = [900.0] * 300 + [low + burst for low in floor for burst in (30, 0, 70) * 20]

    grown = growth(samples, warm_up=300 / len(samples))

    assert (grown.first, grown.last) == pytest.approx((100, 105))
    assert grown.share == pytest.approx(0.05)
    assert grown.is_over(0.01)
    assert not grown.is_over(0.06)


def test_bursts_are_no_growth() -> None:
    assert growth([100.0] * 60 + [100.0, 190.0] * 270, 0.0).share == pytest.approx(0)


def test_a_short_run_has_five_points() -> None:
    assert growth([5.0, 6.0, 7.0, 8.0, 9.0], 0.0).is_over(0.01, slack=3)
    assert not growth([5.0, 6.0, 7.0, 8.0, 9.0], 0.0).is_over(0.01, slack=4)
    assert not growth([100.0, 95.0, 90.0, 85.0, 80.0], 0.0).is_over(0.01)
    with pytest.raises(ValueError, match="4 samples after warm-up are too few: 5 are needed"):
        growth([1, 2, 3, 4], 0.0)


def test_a_plan_depends_on_its_seed_only() -> None:
    calls = list(PLAN.calls())
    other = Plan(4, PLAN.rate_per_s, PLAN.duration_s, PLAN.num_short, PLAN.num_long, PLAN.shares)

    assert calls == list(PLAN.calls())
    assert calls != list(other.calls())
    assert [call.number for call in calls] == list(range(2_000))
    assert calls[150].due_s == pytest.approx(1.5)


def test_a_plan_has_every_kind_case_door_and_variant() -> None:
    calls = list(PLAN.calls())

    assert {call.kind for call in calls} == set(Kind)
    assert {call.variant for call in calls} == set(VARIANTS)
    assert {call.door for call in calls if call.kind is Kind.VALID} == set(DOORS)
    assert {call.clip for call in calls} == set(range(7))
    for kind, cases in CASES.items():
        assert {call.case for call in calls if call.kind is kind} == set(cases)
        for name, case in cases.items():
            assert {call.door for call in calls if call.case == name} <= set(case.doors)
            assert case.statuses
            assert not case.statuses & (OVERLOADED | {"OK", "200", "HUNG", "INTERNAL", "500"})


def test_the_kinds_with_an_answer_have_texts_for_what_they_ask() -> None:
    texts = {(clip, name) for clip in range(5) for name in VARIANTS} | {(5, "plain"), (6, "plain")}

    assert all((call.clip, call.variant) in texts for call in PLAN.calls())
    assert sum(SHARES.values()) == pytest.approx(1)
    assert set(ANSWERABLE) <= set(SHARES)


def sample(time_s: float, rss_mb: float = 100, health: int = 200, health_s: float = 0.01) -> Sample:
    return Sample(
        time_s, rss_mb, fds=20, connections=5, threads=10, health=health, health_s=health_s
    )


def test_a_verdict_names_each_figure_over_its_bar() -> None:
    samples = [sample(number, rss_mb=100 + 5 * number) for number in range(9)]
    samples.append(sample(9, rss_mb=145, health=503, health_s=3.0))
    verdict = Verdict()

    verdict.check("exit code", 0, 0)
    verdict.check_latency([Outcome(0, "OK", latency_s=14.0)], max_p99_s=12)
    verdict.check_growth(samples, 0.0, 0.01)
    verdict.check_health(samples)

    assert verdict.faults == [
        "p99 s is 14, over the bar of 12",
        "rss_mb grew from 100 to 140, by 40.0 %, over the bar of 1 %",
        "health p99 s is 3, over the bar of 1",
        "health was 503 at 9 s",
    ]


def test_a_few_files_more_are_no_growth_but_memory_is() -> None:
    samples = [replace(sample(i), fds=20 + i // 2, threads=10 + 2 * i) for i in range(7)]
    verdict = Verdict()

    verdict.check_growth(samples, 0.0, 0.01)

    assert verdict.figures["growth of fds"]["last"] > 22
    assert verdict.faults == ["threads grew from 10 to 22, by 120.0 %, over the bar of 1 %"]


def test_a_series_has_what_was_answered_refused_and_held_over_time() -> None:
    calls = [Call(0), Call(1), Call(2, kind=Kind.INVALID, case="noise")]
    outcomes = [
        Outcome(0, "OK", "one two", latency_s=0.5, ended_s=10.0),
        Outcome(1, "RESOURCE_EXHAUSTED", ended_s=80.0),
        Outcome(2, "INVALID_ARGUMENT", ended_s=80.0),  # it is no overload
    ]
    points = series(entered(calls, outcomes), [sample(float(i)) for i in range(90)])

    assert len(points) == 45
    assert [point["answers_per_s"] for point in points if point["answers_per_s"]] == [0.5]
    assert [point["refusals_per_s"] for point in points if point["refusals_per_s"]] == [0.5]
    assert points[5]["p99_s"] == 0.5
    assert points[0]["rss_mb"] == 100
