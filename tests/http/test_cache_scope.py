"""Whose answers the cache gives: a caller's own, unless callers share it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fakes import tones_file
from http_calls import Http
from talkmill.server.auth import new_token

TONE = tones_file(10)
ALICE, ALICES_ENTRY = new_token("alice")
BOB, BOBS_ENTRY = new_token("bob")


def compute_type(server: Http, door: str, token: str) -> str:
    authorization = f"Bearer {token}"
    if door == "http":
        headers = server.ask(TONE, headers={"authorization": authorization}).headers
        return str(headers["x-compute-type"])
    call = getattr(server.served, door)(TONE, metadata=(("authorization", authorization),))
    call.answer()
    return str(call.trailing_metadata()["x-compute-type"])


@pytest.mark.parametrize("door", ["http", "unary", "stream"])
@pytest.mark.parametrize(("share_cache", "seen_by_bob"), [(False, "cpu"), (True, "cache")])
def test_a_caller_gets_answers_to_its_own_questions_unless_the_cache_is_shared(
    http: Callable[..., Http], door: str, share_cache: bool, seen_by_bob: str
) -> None:
    server = http(
        auth_tokens=(ALICES_ENTRY, BOBS_ENTRY), cache_bytes=2**20, share_cache=share_cache
    )

    assert compute_type(server, door, ALICE) == "cpu"
    assert compute_type(server, door, ALICE) == "cache"
    assert compute_type(server, door, BOB) == seen_by_bob
    assert compute_type(server, door, BOB) == "cache"


def test_without_tokens_all_callers_share_the_cache(http: Callable[..., Http]) -> None:
    server = http(cache_bytes=2**20)

    assert server.ask(TONE).headers["x-compute-type"] == "cpu"
    assert server.ask(TONE).headers["x-compute-type"] == "cache"
