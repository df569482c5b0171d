"""Authentication by bearer tokens, and what each token may use. Only their digests are stored."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from ..engine import ConfigError, Overloaded, TalkmillError
from .config import ServerConfig
from .logins import FailedLogins
from .quotas import Limits, Quota, Quotas

_SCHEME = "bearer "
_ENTRY = re.compile(r"(?P<name>[\w.-]+):(?P<digest>[0-9a-f]{64})(?P<limits>( +\w+=[\d.]+)*)")
_LIMITS = {"max_requests_per_minute": "requests", "max_audio_s_per_minute": "audio_s"}

_log = logging.getLogger(__name__)


class Unauthenticated(TalkmillError):
    """The call carries no token, or an unknown one.

    Attributes:
        delay_s: Seconds to wait before it is answered; see `FailedLogins`.
    """

    def __init__(self, message: str, delay_s: float = 0.0) -> None:
        """Make the error; see the attribute."""
        super().__init__(message)
        self.delay_s = delay_s


@dataclass(frozen=True)
class Token:
    """One token that is accepted.

    Attributes:
        name: Whose it is.
        digest: Its SHA-256 in hex. A fast digest is enough: the tokens are random, and 256 bits
            cannot be guessed.
        limits: What it may use.
    """

    name: str
    digest: str
    limits: Limits


class Access:
    """The tokens that are accepted, as the settings and the file name them now.

    `reload` may be called from any thread; everything else belongs to the event loop.
    """

    def __init__(self, config: ServerConfig) -> None:
        """Read the tokens that the settings name.

        Raises:
            ConfigError: The token file cannot be read or has no entry, an entry is malformed, two
                tokens have the same name, a limit for each token is set but no token, or `host` is
                reachable from other machines and callers prove themselves neither by token nor by
                certificate, without `allow_anonymous`.
        """
        self._config = config
        self._tokens = _read_tokens(config)
        self._failed = FailedLogins()
        self._quotas = Quotas()
        if self._tokens:
            return
        for setting in _LIMITS:
            if getattr(config, setting) is not None:
                raise ConfigError(f"{setting}: is for each token; set auth_tokens_file")
        is_proven = config.tls_client_ca is not None
        if not is_proven and not config.allow_anonymous and not _is_loopback(config.host):
            raise ConfigError(
                f"host: {config.host} is reachable from other machines: set auth_tokens_file, "
                "auth_tokens or tls_client_ca, or allow_anonymous to let anyone call"
            )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that `reload` reads."""
        file = self._config.auth_tokens_file
        return () if file is None else (file,)

    def reload(self) -> None:
        """Read the tokens again; if they are not valid, keep those that hold now and log why."""
        try:
            tokens = _read_tokens(self._config)
        except ConfigError as error:
            _log.error("the tokens stay as they are: %s", error)
            return
        if tokens != self._tokens:
            self._tokens = tokens
            _log.info("the tokens are read again: there are %d now", len(tokens))

    def check(self, authorization: str | None, peer: str = "") -> str:
        """Return the name of a call's token; empty where no token is needed.

        Args:
            authorization: The header or metadata of this name, "Bearer TOKEN"; None if absent.
            peer: Where the call comes from; see `address_of`.

        Raises:
            Unauthenticated: The header is absent or not a bearer token, or the token is unknown.
            Overloaded: The same, and so many calls from there failed that this one is not delayed
                but refused.
        """
        if not self._tokens:
            return ""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise self._refused("a bearer token is required", peer)
        digest = digest_of(authorization[len(_SCHEME) :].strip())
        # Compare all of them, each in constant time, so that the duration reveals nothing.
        matches = [
            token.name
            for token in self._tokens.values()
            if hmac.compare_digest(digest, token.digest)
        ]
        if not matches:
            raise self._refused("the token is unknown", peer)
        return matches[0]

    def count_request(self, name: str) -> None:
        """Count a request of a token.

        Raises:
            Overloaded: One of the token's limits is used up.
        """
        if (quota := self._quota(name)) is not None:
            quota.take_request(time.monotonic())

    def count_audio(self, name: str, audio_s: float) -> None:
        """Count seconds of audio that were transcribed for a token."""
        if (quota := self._quota(name)) is not None:
            quota.take_audio(audio_s, time.monotonic())

    def _quota(self, name: str) -> Quota | None:
        token = self._tokens.get(name)  # it may have been removed while its call ran
        return None if token is None else self._quotas.of(name, token.limits, time.monotonic())

    def _refused(self, reason: str, peer: str) -> TalkmillError:
        delay_s = self._failed.delay_s(peer, reason, time.monotonic())
        if delay_s is None:
            return Overloaded(f"authorization: {reason}; too many such calls from your address")
        return Unauthenticated(f"authorization: {reason}", delay_s)


async def wait_if_failed(error: BaseException) -> None:
    """Wait as long as the answer to a failed login is to; do not wait for other errors."""
    if isinstance(error, Unauthenticated):
        await asyncio.sleep(error.delay_s)


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


def _read_tokens(config: ServerConfig) -> dict[str, Token]:
    """Return the tokens of the settings and of the file, by their names."""
    entries = list(config.auth_tokens)
    if (file := config.auth_tokens_file) is not None:
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        except OSError as error:  # without the path: the message gets into the log
            raise ConfigError(f"auth_tokens_file: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError("auth_tokens_file: is not UTF-8 text") from error
        from_file = [line for line in lines if line and line[0] != "#"]
        if not from_file:  # else a file that is empty by mistake would let anyone call
            raise ConfigError("auth_tokens_file: holds no token")
        entries += from_file
    default = Limits(config.max_requests_per_minute, config.max_audio_s_per_minute)
    tokens: dict[str, Token] = {}
    for token in (_read_entry(entry, default) for entry in entries):
        if tokens.setdefault(token.name, token) != token:
            raise ConfigError(f"auth_tokens: two different entries have the name {token.name}")
    return tokens


def _read_entry(entry: str, default: Limits) -> Token:
    match = _ENTRY.fullmatch(entry)
    if match is None:  # the entry is not shown: it may be the token itself
        raise ConfigError(
            "auth_tokens: an entry is not NAME:SHA256, as `talkmill token` prints it, with nothing "
            "or limits like max_requests_per_minute=60 after it"
        )
    limits = {"requests": default.requests, "audio_s": default.audio_s}
    for word in match["limits"].split():
        name, _, number = word.partition("=")
        if name not in _LIMITS:
            known = ", ".join(_LIMITS)
            raise ConfigError(f"auth_tokens: {name} of {match['name']} is none of {known}")
        limits[_LIMITS[name]] = _read_limit(name, number)
    return Token(match["name"], match["digest"], Limits(**limits))


def _read_limit(name: str, number: str) -> float:
    try:
        limit = float(number)
    except ValueError:
        limit = 0.0
    if limit < 1:
        raise ConfigError(f"auth_tokens: {name}={number} is not a number of at least 1")
    return limit


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
