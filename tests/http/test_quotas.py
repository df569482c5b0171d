"""What a token may use a minute, at instants that the test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_files import encode_audio
from fakes import chunk_tones, tones_file, words
from http_calls import Http
from served import Refusal, stream_messages, wire_options
from talkmill.engine import ConfigError, Overloaded
from talkmill.server import ServerConfig
from talkmill.server.auth import Access, new_token
from talkmill.server.quotas import Bucket, Limits, Quota, Quotas
from waiting import wait_until

TONE = tones_file(10)
ALICE, ALICES_ENTRY = new_token("alice")
BOB, BOBS_ENTRY = new_token("bob")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def num_taken(quota: Quota, now_s: float) -> int:
    """Return how many requests are taken at one instant."""
    for count in range(10_000):
        try:
            quota.take_request(now_s)
        except Overloaded:
            return count
    return 10_000


def test_a_minutes_worth_may_be_used_at_once_and_then_comes_back_steadily() -> None:
    quota = Quota(Limits(requests=60), now_s=100)

    assert num_taken(quota, 100) == 60
    assert num_taken(quota, 100.9) == 0
    assert num_taken(quota, 101) == 1
    assert num_taken(quota, 111) == 10
    assert num_taken(quota, 1_000_000) == 60


def test_a_refusal_says_when_the_next_request_is_taken() -> None:
    quota = Quota(Limits(requests=2), now_s=0)
    assert num_taken(quota, 0) == 2

    with pytest.raises(Overloaded, match="2 requests a minute") as refused:
        quota.take_request(10)
    assert refused.value.retry_after_s == pytest.approx(20)
    quota.take_request(10 + refused.value.retry_after_s)


def test_audio_is_paid_for_when_its_length_is_known() -> None:
    quota = Quota(Limits(audio_s=120), now_s=0)
    quota.take_request(0)
    quota.take_audio(600, 0)  # 480 s more than there were

    with pytest.raises(Overloaded, match="120 s of audio a minute") as refused:
        quota.take_request(0)
    assert refused.value.retry_after_s == pytest.approx(240.5)
    quota.take_request(240.5)


def test_a_request_that_the_audio_limit_refuses_is_not_counted() -> None:
    quota = Quota(Limits(requests=1, audio_s=60), now_s=0)
    quota.take_audio(61, 0)
    assert num_taken(quota, 0) == 0

    assert num_taken(quota, 2) == 1


def test_limits_that_change_begin_anew_and_the_same_go_on() -> None:
    quotas = Quotas()
    quotas.of("alice", Limits(requests=1), 0).take_request(0)

    assert num_taken(quotas.of("alice", Limits(requests=1), 0), 0) == 0
    assert num_taken(quotas.of("bob", Limits(requests=1), 0), 0) == 1
    assert num_taken(quotas.of("alice", Limits(requests=3), 0), 0) == 3


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=1, max_size=50),
    st.floats(0.01, 100),
    st.floats(0.001, 10),
)
def test_no_more_is_spent_than_a_bucket_holds_and_gets(
    steps: list[tuple[float, float]], capacity: float, per_s: float
) -> None:
    bucket = Bucket(capacity, per_s, now_s=0)
    now_s = spent = 0.0
    for pause_s, amount in steps:
        now_s += pause_s
        amount = min(amount, capacity)
        if bucket.wait_s(amount, now_s) == 0:
            bucket.spend(amount, now_s)
            spent += amount

    assert spent <= (capacity + now_s * per_s) * (1 + 1e-9)


def test_over_the_limit_both_doors_refuse_one_token_and_not_the_other(
    http: Callable[..., Http],
) -> None:
    server = http(
        auth_tokens=(f"{ALICES_ENTRY} max_requests_per_minute=2", BOBS_ENTRY),
        max_requests_per_minute=600,
    )
    metadata = tuple(bearer(ALICE).items())
    for _ in range(2):
        assert server.ask(TONE, headers=bearer(ALICE)).json() == {"text": words(10)}

    refused = server.ask(TONE, headers=bearer(ALICE))
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    call = server.served.unary(TONE, metadata=metadata)
    assert call.refusal() == Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert "2 requests a minute" in call.details()
    assert server.ask(TONE, headers=bearer(BOB)).json() == {"text": words(10)}


@pytest.mark.parametrize("door", ["http", "unary", "stream"])
def test_seconds_of_audio_count_over_every_door(http: Callable[..., Http], door: str) -> None:
    server = http(auth_tokens=(ALICES_ENTRY,), max_audio_s_per_minute=1)
    long = encode_audio(chunk_tones([10]), "flac", "flac")
    if door == "http":
        server.ask(long, headers=bearer(ALICE))
    else:
        send = getattr(server.served, door)
        send(long, metadata=tuple(bearer(ALICE).items())).answer()

    refused = server.ask(TONE, headers=bearer(ALICE))

    assert refused.status_code == 429
    assert "1 s of audio a minute" in refused.json()["error"]


def test_a_caller_who_leaves_a_stream_pays_for_what_it_has_had(
    http: Callable[..., Http],
) -> None:
    server = http(auth_tokens=(ALICES_ENTRY,), max_audio_s_per_minute=1)
    long = encode_audio(chunk_tones([10, 11, 12]), "flac", "flac")
    server.model.said_s = (0.0, 29.0)
    metadata = tuple(bearer(ALICE).items())
    messages = stream_messages(long, "", wire_options())
    rpc = server.served.stub.TranscribeStream(messages, metadata=metadata)
    next(rpc)
    rpc.cancel()

    wait_until(lambda: server.ask(TONE, headers=bearer(ALICE)).status_code == 429)


@pytest.mark.parametrize("setting", ["max_requests_per_minute", "max_audio_s_per_minute"])
def test_a_limit_for_each_token_needs_tokens(
    server_config: Callable[..., ServerConfig], setting: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{setting}: "):
        Access(server_config(**{setting: 5}))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("max_request_per_minute=1", "max_request_per_minute of alice is none of"),
        ("max_requests_per_minute=0", "max_requests_per_minute=0 is not a number of at least 1"),
        ("max_requests_per_minute=1.1.1", "is not a number"),
        ("max_requests_per_minute=", "NAME:SHA256"),
        ("60", "NAME:SHA256"),
    ],
)
def test_a_wrong_limit_after_an_entry_is_refused(
    server_config: Callable[..., ServerConfig], tmp_path: Path, limit: str, message: str
) -> None:
    file = tmp_path / "tokens.txt"
    file.write_text(f"{ALICES_ENTRY} {limit}\n", encoding="utf-8")

    with pytest.raises(ConfigError, match=message):
        Access(server_config(auth_tokens_file=file))
