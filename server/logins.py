"""Slows and logs failed logins, by the address that they come from."""

from __future__ import annotations

import ipaddress
import logging

from cachetools import LRUCache

from .quotas import Bucket

_BURST = 5  # failures of one address that are answered at once
_PER_S = 1.0  # and how many a second after them
_MAX_DELAY_S = 5.0
_MAX_ADDRESSES = 4096  # about 2 MB

_log = logging.getLogger(__name__)


class FailedLogins:
    """Says how long the answer to a failed login waits. Plain: instants are given, nobody sleeps.

    Calls with a valid token never wait: else whoever shares an address with a caller, as all do
    behind a proxy, could lock it out. What it holds is bounded: an answer waits `_MAX_DELAY_S` at
    most, so of one address at most `_MAX_DELAY_S * _PER_S` wait, and the least recent of more than
    `_MAX_ADDRESSES` addresses are forgotten.
    """

    def __init__(self) -> None:
        """Start with no failure seen."""
        self._of_address: LRUCache[str, Bucket] = LRUCache(_MAX_ADDRESSES)

    def delay_s(self, peer: str, reason: str, now_s: float) -> float | None:
        """Count and log a failed login; return how long its answer is to wait.

        Args:
            peer: The caller's address; see `address_of`.
            reason: Why it failed, for the log; without the token.
            now_s: The present.

        Returns:
            Seconds; None if as many answers to this address wait already as may: refuse it now.
        """
        address = address_of(peer)
        bucket = self._of_address.get(address)
        if bucket is None:
            bucket = self._of_address[address] = Bucket(_BURST, _PER_S, now_s)
        _log.warning("a login from %s failed: %s", address, reason)  # see `LogLimit`
        wait_s = bucket.wait_s(1.0, now_s)
        if wait_s > _MAX_DELAY_S:
            return None
        bucket.spend(1.0, now_s)
        return wait_s


def address_of(peer: str) -> str:
    """Return who a peer is for limits and logs: its address, of IPv6 the network of 64 bits.

    Args:
        peer: An address, or what gRPC calls a peer: "ipv4:192.0.2.1:50000" or
            "ipv6:%5B2001:db8::1%5D:50000".
    """
    text = peer.replace("%5B", "[").replace("%5D", "]")
    if text.startswith(("ipv4:", "ipv6:")):
        text = text[len("ipv4:") :].rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # a proxy's header may say anything: it does not get into the log
        return "an unknown address"
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return str(address)
    # One host usually has a whole /64 (RFC 6177), and could come from another address each time.
    return str(ipaddress.ip_network((int(address), 64), strict=False))
