"""How failed logins are slowed and logged, at instants that the test chooses."""

from __future__ import annotations

import io
import logging

import pytest

from talkmill.server import logins
from talkmill.server.logins import FailedLogins, address_of
from talkmill.server.logs import LogLimit

PEER = "192.0.2.1"


def test_a_few_failures_are_answered_at_once_and_further_ones_a_second_apart() -> None:
    failed = FailedLogins()

    delays = [failed.delay_s(PEER, "unknown", 0) for _ in range(12)]

    assert delays == [0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0] + [None, None]


def test_a_client_that_waits_for_each_answer_is_slowed_to_one_a_second() -> None:
    failed = FailedLogins()
    now_s, num_answers = 0.0, 0
    while now_s < 60:
        now_s += failed.delay_s(PEER, "unknown", now_s) or 0.0
        num_answers += 1

    assert num_answers <= 60 + 5 + 1


def test_an_address_that_stops_is_answered_at_once_again() -> None:
    failed = FailedLogins()
    for _ in range(20):
        failed.delay_s(PEER, "unknown", 0)

    assert failed.delay_s(PEER, "unknown", 20) == 0


def test_addresses_do_not_slow_each_other() -> None:
    failed = FailedLogins()
    for _ in range(20):
        failed.delay_s(PEER, "unknown", 0)

    assert failed.delay_s("192.0.2.2", "unknown", 0) == 0


def test_the_addresses_that_are_known_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "_MAX_ADDRESSES", 10)
    failed = FailedLogins()
    for number in range(1000):
        failed.delay_s(f"10.0.{number // 250}.{number % 250}", "unknown", 0)

    assert len(failed._of_address) == 10


def test_the_log_names_the_address_and_the_reason_and_is_bounded() -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.addFilter(LogLimit(most=10))
    log = logging.getLogger(logins.__name__)
    log.addHandler(handler)
    failed = FailedLogins()
    for number in range(100):
        failed.delay_s(f"10.0.0.{number}", "the token is unknown", 0)
    log.removeHandler(handler)

    assert lines.getvalue().splitlines() == [
        f"a login from 10.0.0.{number} failed: the token is unknown" for number in range(10)
    ]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("ipv4:192.0.2.1:50000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::/64"),
        ("ipv6:[2001:db8::2]:50000", "2001:db8::/64"),
        ("2001:db8::3", "2001:db8::/64"),
        ("ipv6:%5B::1%5D:50000", "::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "an unknown address"),
        ("unix:", "an unknown address"),
        ("10.0.0.1\nERROR forged", "an unknown address"),
    ],
)
def test_a_peer_is_known_by_its_address(peer: str, address: str) -> None:
    assert address_of(peer) == address
