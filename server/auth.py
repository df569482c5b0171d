"""Who may call: bearer tokens, known to the server by their digests only."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass

from ..engine import ConfigError, TalkmillError
from .config import ServerConfig

_SCHEME = "bearer "
_ENTRY = re.compile(r"(?P<name>[\w.-]+):(?P<digest>[0-9a-f]{64})")


class Unauthenticated(TalkmillError):
    """The call carries no token, or none that is known."""


@dataclass(frozen=True)
class Access:
    """Which tokens are known.

    Attributes:
        digests: SHA-256 of each token by its name; empty where anyone may call. A fast digest
            will do: the tokens are random, nobody can guess their way through 256 bits.
    """

    digests: dict[str, str]

    @classmethod
    def from_config(cls, config: ServerConfig) -> Access:
        """Return what the settings allow.

        Raises:
            ConfigError: A token file cannot be read or holds none, a name stands for two tokens,
                or everyone could call from anywhere.
        """
        entries = list(config.auth_tokens)
        if config.auth_tokens_file is not None:
            try:
                lines = config.auth_tokens_file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"auth_tokens_file: {error}") from error
            from_file = [line.strip() for line in lines]
            from_file = [line for line in from_file if line and line[0] != "#"]
            if not from_file:  # it was named to keep others out
                raise ConfigError(f"auth_tokens_file: {config.auth_tokens_file} holds no token")
            entries += from_file
        if not entries and not config.allow_anonymous and not _is_loopback(config.host):
            raise ConfigError(
                f"host: {config.host} can be reached from elsewhere: name auth_tokens_file or "
                "auth_tokens, or say allow_anonymous"
            )
        digests: dict[str, str] = {}
        for name, digest in map(_read_entry, entries):
            if digests.setdefault(name, digest) != digest:
                raise ConfigError(f"auth_tokens: {name} stands for two tokens")
        return cls(digests)

    def check(self, authorization: str | None) -> None:
        """Refuse a call without a known token, if tokens are asked for at all.

        Args:
            authorization: The header of that name, "Bearer TOKEN".

        Raises:
            Unauthenticated: There is none, or it is not known.
        """
        if not self.digests:
            return
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated("authorization: a bearer token is needed")
        digest = digest_of(authorization[len(_SCHEME) :].strip())
        # All of them, each in constant time: how long it takes tells nothing.
        matches = [hmac.compare_digest(digest, known) for known in self.digests.values()]
        if not any(matches):
            raise Unauthenticated("authorization: the token is not known")


def digest_of(token: str) -> str:
    """Return what the server keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(name: str) -> tuple[str, str]:
    """Return a new token, and the entry that makes it known.

    Raises:
        ValueError: The name has letters that a name may not have.
    """
    token = f"tm_{secrets.token_urlsafe(32)}"
    entry = f"{name}:{digest_of(token)}"
    if not _ENTRY.fullmatch(entry):
        raise ValueError(f"{name!r} is no name: letters, digits, and . _ - only")
    return token, entry


def _read_entry(entry: str) -> tuple[str, str]:
    match = _ENTRY.fullmatch(entry)
    if match is None:  # not shown: it may be the token itself
        raise ConfigError("auth_tokens: an entry is not NAME:SHA256; `talkmill token` makes them")
    return match["name"], match["digest"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
