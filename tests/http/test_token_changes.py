"""Tokens that come and go while the server runs, and calls with wrong ones."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from fakes import tones_file, words
from http_calls import Http
from served import Refusal
from talkmill.server import grpc_errors
from talkmill.server.auth import Unauthenticated, new_token, wait_if_failed
from talkmill.server.http import endpoint
from waiting import wait_until

TONE = tones_file(10)
ALICE, ALICES_ENTRY = new_token("alice")
BOB, BOBS_ENTRY = new_token("bob")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.txt"
    path.write_text(f"{ALICES_ENTRY}\n", encoding="utf-8")
    return path


@pytest.fixture
def guarded(http: Callable[..., Http], file: Path) -> Http:
    return http(auth_tokens_file=file)


def status(server: Http, token: str) -> int:
    return server.ask(TONE, headers={"authorization": f"Bearer {token}"}).status_code


def over_grpc(server: Http, token: str) -> Refusal | str:
    call = server.served.unary(TONE, metadata=(("authorization", f"Bearer {token}"),))
    try:
        return call.answer().text
    except grpc.RpcError:
        return call.refusal()


def reload(server: Http) -> None:
    server.served.background.server.reload()


def test_a_change_of_the_file_is_noticed(guarded: Http, file: Path) -> None:
    assert (status(guarded, ALICE), status(guarded, BOB)) == (200, 401)
    file.write_text(f"{BOBS_ENTRY}\n", encoding="utf-8")

    wait_until(lambda: status(guarded, ALICE) == 401)
    assert status(guarded, BOB) == 200
    assert over_grpc(guarded, BOB) == words(10)
    assert over_grpc(guarded, ALICE) == Refusal(grpc.StatusCode.UNAUTHENTICATED)


def test_a_file_that_is_replaced_through_a_link_is_noticed(
    http: Callable[..., Http], tmp_path: Path
) -> None:
    old, new, link = tmp_path / "1", tmp_path / "2", tmp_path / "tokens.txt"
    old.write_text(f"{ALICES_ENTRY}\n", encoding="utf-8")
    new.write_text(f"{BOBS_ENTRY}  \n", encoding="utf-8")
    link.symlink_to(old)
    server = http(auth_tokens_file=link)

    (tmp_path / "next").symlink_to(new)
    os.replace(tmp_path / "next", link)

    wait_until(lambda: status(server, ALICE) == 401)
    assert status(server, BOB) == 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no token"),
        (ALICES_ENTRY[:-1].encode(), "NAME:SHA256"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "No such file"),
    ],
    ids=["empty", "cut short", "not text", "gone"],
)
def test_a_broken_file_keeps_the_tokens_and_says_why(
    guarded: Http,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes | None,
    reason: str,
) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with caplog.at_level(logging.ERROR, "talkmill"):
        reload(guarded)

    assert (status(guarded, ALICE), status(guarded, BOB)) == (200, 401)
    # The server may have seen the file while it was written, and have said so before.
    lines = [line for line in caplog.messages if "login" not in line]
    assert all(line.startswith("the tokens stay as they are: auth_tokens") for line in lines)
    assert any(reason in line for line in lines)
    assert str(file.parent) not in caplog.text


def test_a_call_that_runs_ends_although_its_token_is_removed(
    guarded: Http, file: Path, pool: ThreadPoolExecutor
) -> None:
    guarded.model.hold()
    running = pool.submit(status, guarded, ALICE)
    guarded.model.wait_for_calls(1)
    file.write_text(f"{BOBS_ENTRY}\n", encoding="utf-8")
    reload(guarded)
    guarded.model.release()

    assert running.result() == 200
    assert status(guarded, ALICE) == 401


@pytest.fixture
def delays_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays of failed logins, which here are not waited for."""
    waited_s: list[float] = []

    async def note(error: BaseException) -> None:
        if isinstance(error, Unauthenticated):
            waited_s.append(error.delay_s)

    for door in (endpoint, grpc_errors):
        monkeypatch.setattr(door, "wait_if_failed", note)
    return waited_s


@pytest.mark.parametrize("door", ["http", "view", "unary", "stream"])
def test_wrong_tokens_are_slowed_over_every_door_and_valid_ones_are_not(
    guarded: Http, delays_s: list[float], door: str
) -> None:
    wrong = {"authorization": "Bearer wrong"}
    for _ in range(7):
        if door == "http":
            guarded.ask(TONE, headers=wrong)
        elif door == "view":
            guarded.get("/models", headers=wrong)
        else:
            getattr(guarded.served, door)(TONE, metadata=tuple(wrong.items())).refusal()
    assert status(guarded, ALICE) == 200

    assert delays_s[:5] == [0.0] * 5
    assert all(0 < delay_s <= 2 for delay_s in delays_s[5:])
    assert len(delays_s) == 7


def test_the_delay_of_a_failed_login_is_waited_for() -> None:
    error = Unauthenticated("", delay_s=1000)

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(wait_if_failed(error), timeout=0.01))


def test_too_many_wrong_tokens_are_refused_and_valid_ones_are_not(
    guarded: Http, delays_s: list[float]
) -> None:
    answers = [over_grpc(guarded, "wrong") for _ in range(50)]

    assert Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED) in answers
    assert status(guarded, "wrong") == 429
    assert max(delays_s) <= 5
    assert (status(guarded, ALICE), over_grpc(guarded, ALICE)) == (200, words(10))


def test_a_failed_login_is_logged_without_its_token(
    guarded: Http, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert status(guarded, "not-a-token-of-ours") == 401
        assert over_grpc(guarded, "not-a-token-of-ours") != words(10)

    line = "a login from 127.0.0.1 failed: the token is unknown"
    assert caplog.messages.count(line) == 2
    assert "not-a-token-of-ours" not in caplog.text
