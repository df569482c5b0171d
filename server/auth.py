"""Authentication by bearer tokens. The server stores their SHA-256 digests only."""

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
    """The call carries no token, or an unknown one."""


@dataclass(frozen=True)
class Access:
    """The tokens that are accepted.

    Attributes:
        digests: SHA-256 of each token in hex, by its name; empty if no token is needed. A fast
            digest is enough: the tokens are random, and 256 bits cannot be guessed.
    """

    digests: dict[str, str]

    @classmethod
    def from_config(cls, config: ServerConfig) -> Access:
        """Read the tokens that the settings name.

        Raises:
            ConfigError: The token file cannot be read or has no entry, an entry is malformed, two
                tokens have the same name, or `host` is reachable from other machines and neither
                tokens nor `allow_anonymous` are set.
        """
        entries = list(config.auth_tokens)
        if config.auth_tokens_file is not None:
            try:
                lines = config.auth_tokens_file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"auth_tokens_file: {error}") from error
            from_file = [line.strip() for line in lines]
            from_file = [line for line in from_file if line and line[0] != "#"]
            if not from_file:  # else a file that is empty by mistake would let anyone call
                raise ConfigError(f"auth_tokens_file: {config.auth_tokens_file} holds no token")
            entries += from_file
        if not entries and not config.allow_anonymous and not _is_loopback(config.host):
            raise ConfigError(
                f"host: {config.host} is reachable from other machines: set auth_tokens_file or "
                "auth_tokens, or allow_anonymous to let anyone call"
            )
        digests: dict[str, str] = {}
        for name, digest in map(_read_entry, entries):
            if digests.setdefault(name, digest) != digest:
                raise ConfigError(f"auth_tokens: two different tokens have the name {name}")
        return cls(digests)

    def check(self, authorization: str | None) -> str:
        """Return the name of a call's token; empty where no token is needed.

        Args:
            authorization: The header or metadata of this name, "Bearer TOKEN"; None if absent.

        Raises:
            Unauthenticated: The header is absent or not a bearer token, or the token is unknown.
        """
        if not self.digests:
            return ""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated("authorization: a bearer token is required")
        digest = digest_of(authorization[len(_SCHEME) :].strip())
        # Compare all of them, each in constant time, so that the duration reveals nothing.
        matches = [
            name for name, known in self.digests.items() if hmac.compare_digest(digest, known)
        ]
        if not matches:
            raise Unauthenticated("authorization: the token is unknown")
        return matches[0]


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token in hex: all that the server stores of it."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(name: str) -> tuple[str, str]:
    """Return a new random token, and its entry NAME:SHA256 for the server's settings.

    Raises:
        ValueError: `name` is empty or has characters other than letters, digits, ".", "_", "-".
    """
    token = f"tm_{secrets.token_urlsafe(32)}"
    entry = f"{name}:{digest_of(token)}"
    if not _ENTRY.fullmatch(entry):
        raise ValueError(f"{name!r} is not a valid name: use letters, digits, . _ - only")
    return token, entry


def _read_entry(entry: str) -> tuple[str, str]:
    match = _ENTRY.fullmatch(entry)
    if match is None:  # the entry is not shown: it may be the token itself
        raise ConfigError("auth_tokens: an entry is not NAME:SHA256; `talkmill token` prints one")
    return match["name"], match["digest"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
