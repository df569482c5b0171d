"""The clients of a soak against a real server with a fake model: every way that a call can end."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.corpus import Samples, write_flac
from benchmarks.soaking.clients import Clients, Job, read_job
from benchmarks.soaking.ledger import End, Ledger, Outcome, compare_counts
from benchmarks.soaking.messages import http_text, joined
from benchmarks.soaking.plan import CASES, DOORS, LIVE, SHARES, VARIANTS, Call, Kind, Plan
from benchmarks.soaking.watch import read_counters, take_sample, wait_until_idle
from served import Serve, Served
from talkmill.server.auth import new_token

TOKEN, ENTRY = new_token("soak")
PATIENCE_S = 30.0
WAIT_S = 0.3  # of those that stall


@dataclass(frozen=True)
class Given(Plan):
    """These calls, and no others."""

    given: Sequence[Call] = ()

    def calls(self) -> Iterator[Call]:
        yield from self.given


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(http_port=0, auth_tokens=(ENTRY,))


@pytest.fixture
def job(served: Served, speech: Samples, tmp_path: Path) -> Job:
    clips = [speech[:40_000], speech[-30_000:]]
    files = [write_flac(tmp_path / f"{i}.flac", clip) for i, clip in enumerate(clips)]
    silence = write_flac(tmp_path / "silence.flac", np.zeros(16_000, np.float32))
    http_address = served.background.http_address
    plan = Plan(1, 1.0, 1.0, 2, 0, SHARES)
    names = [str(file) for file in files]
    return Job(served.address, http_address[7:], TOKEN, names, str(silence), plan, 0, PATIENCE_S)


def outcomes_of(job: Job, calls: Sequence[Call], num_clients: int = 0) -> list[Outcome]:
    outcomes: list[Outcome] = []

    async def run() -> None:
        plan = Given(1, 1.0, PATIENCE_S, 2, 0, SHARES, calls)
        given = replace(job, plan=plan, num_clients=num_clients)
        await Clients(given, outcomes.append).run()

    asyncio.run(run())
    return outcomes


def numbered(calls: Sequence[Call]) -> list[Call]:
    return [replace(call, number=number) for number, call in enumerate(calls)]


def texts_of(job: Job) -> dict[tuple[int, str], str]:
    keys = list(itertools.product(range(2), VARIANTS))
    calls = numbered([Call(0, clip=clip, variant=variant) for clip, variant in keys])
    outcomes = outcomes_of(job, calls, num_clients=1)
    assert {outcome.status for outcome in outcomes} == {"OK"}
    return {keys[outcome.number]: outcome.text for outcome in outcomes}


def test_each_door_gives_every_variant_its_words(job: Job, served: Served) -> None:
    texts = texts_of(job)
    calls = numbered(
        [
            Call(0, door=door, clip=clip, variant=variant, kind=kind, wait_s=0.1)
            for door in DOORS
            for clip in range(2)
            for variant in VARIANTS
            for kind in (Kind.VALID, Kind.SLOW)
        ]
    )
    before = read_counters(served.background.http_address, TOKEN)
    ledger = Ledger(texts, {call.number: call for call in calls})
    ledger.enter(outcomes_of(job, calls, num_clients=8))
    ledger.close()
    after = wait_until_idle(served.background.http_address, TOKEN)

    assert all(texts.values())
    assert ledger.faults == []
    assert set(ledger.ends.values()) == {End.RIGHT_WORDS}
    assert after.since(before) == {("grpc", "OK"): 32.0, ("http", "OK"): 64.0}
    assert compare_counts(ledger, after.since(before)) == []


def test_whoever_breaks_off_or_asks_for_what_cannot_be_ends_as_it_should(
    job: Job, served: Served
) -> None:
    kinds = [Kind.CANCELLED, Kind.DROPPED]
    calls = [Call(0, door=door, kind=kind) for door in DOORS for kind in kinds]
    calls += [Call(0, door=door, kind=Kind.DROPPED) for door in LIVE]
    calls += [Call(0, door=door, kind=Kind.DEADLINE, wait_s=1e-3) for door in DOORS[:2]]
    calls += [
        Call(0, door=door, kind=kind, case=name, wait_s=WAIT_S)
        for kind, cases in CASES.items()
        for name, case in cases.items()
        for door in case.doors
    ]
    calls = numbered(calls)
    ledger = Ledger(texts_of(job), {call.number: call for call in calls})
    before = read_counters(served.background.http_address, TOKEN)
    ledger.enter(outcomes_of(job, calls, num_clients=8))
    ledger.close()
    after = wait_until_idle(served.background.http_address, TOKEN)

    assert ledger.faults == []
    assert compare_counts(ledger, after.since(before)) == []
    assert (after.in_progress, after.waiting) == (0, 0)


def test_an_open_loop_sends_each_call_of_its_plan_once(job: Job) -> None:
    plan = Plan(1, 200.0, 0.1, 2, 0, {Kind.VALID: 1.0})
    outcomes: list[Outcome] = []

    async def run() -> None:
        await Clients(replace(job, plan=plan), outcomes.append).run()

    asyncio.run(run())

    assert sorted(outcome.number for outcome in outcomes) == list(range(20))


def test_a_server_that_does_not_answer_is_one_that_hangs(job: Job, served: Served) -> None:
    served.model.hold()
    calls = numbered([Call(0, door="grpc"), Call(0, door="http raw")])

    outcomes = outcomes_of(replace(job, patience_s=0.2), calls)

    assert {outcome.status for outcome in outcomes} == {"HUNG"}


def test_a_client_that_cannot_connect_has_no_answer(job: Job) -> None:
    outcomes = outcomes_of(replace(job, http_address="127.0.0.1:1"), [Call(0, door="http raw")])

    assert [outcome.status for outcome in outcomes] == ["CLOSED"]


def test_a_job_is_the_same_after_its_way_through_a_file(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")

    assert read_job(path) == job


def test_the_pieces_of_an_answer_must_say_what_the_whole_says() -> None:
    assert joined([" one", " two"], "one two") == "one two"
    assert joined([" one"], "one two") != "one two"
    call = Call(0, door="openai events")
    events = [{"type": "transcript.text.delta", "delta": " a"}, {"type": "done", "text": "a"}]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)

    assert http_text(call, f"{lines}data: [DONE]\n\n".encode()) == "a"
    with pytest.raises(ValueError, match="without"):
        http_text(call, lines.encode())


def test_a_sample_has_what_the_server_holds_and_how_it_is(served: Served) -> None:
    http_address = served.background.http_address
    host, _, port = http_address[7:].rpartition(":")
    addresses = (served.address, http_address)
    before = take_sample(os.getpid(), *addresses, 0.0)
    with socket.create_connection((host, int(port))):
        during = take_sample(os.getpid(), *addresses, 0.0)
    nobody = take_sample(os.getpid(), served.address, "http://127.0.0.1:1", 0.0)

    assert (before.health, nobody.health) == (200, 0)
    assert before.rss_mb > 50
    assert before.threads > 5
    assert during.connections == before.connections + 1
